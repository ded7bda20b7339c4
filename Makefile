# Thin: each line is a command that anyone can type.
cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/pump
deny := $(cache)/cargo-deny-0.20.2

.PHONY: demo test check chaos simulate setup

## demo: made-up traffic through the log into files, with a live summary; nothing to install
demo:
	cargo run --locked --quiet --no-default-features --features demo -- demo

## test: every test; installs the servers it needs first
test: setup
	cargo test --locked --workspace

## check: formatting, lints, licences, and where versions may come from
check: $(deny)/bin/cargo-deny
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(deny)/bin/cargo-deny --locked check bans licenses sources
	cargo test --locked --test suite layout

## chaos: what takes too long for every day: a hundred rounds of kills, huge records, older servers
chaos:
	scripts/setup.sh chaos
	PUMP_TEST_KILL_ROUNDS=100 PUMP_TEST_SEARCH_KILLS=60 cargo test --locked --test suite -- --include-ignored \
		kills_at_random kills_in_the_middle memory_stays elasticsearch_7

## simulate: more runs of the simulation than a test run has (SEEDS=50000 FIRST=0); with SEED=7 that one, told in full
simulate:
ifdef SEED
	PUMP_SIMULATE_SEED=$(SEED) cargo test --locked -p pump-sources --lib -- --ignored --nocapture simulation::tests::one_seed
else
	PUMP_SIMULATE_SEEDS=$(or $(SEEDS),50000) PUMP_SIMULATE_FIRST=$(or $(FIRST),0) \
		cargo test --locked --release -p pump-sources --lib -- --nocapture simulation::tests::nothing_is_lost
endif

setup:
	scripts/setup.sh

$(deny)/bin/cargo-deny:
	cargo install --locked --quiet --root $(deny) cargo-deny@0.20.2
