# Thin: each line is a command that anyone can type.
cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/pump
deny := $(cache)/cargo-deny-0.20.2
fuzzer := $(cache)/cargo-fuzz-0.13.2
targets := $(or $(TARGETS),msgpack protobuf pipeline frames)
# Without a sanitizer the stable compiler does, and there is no unsafe code of ours that one would watch.
fuzz := PATH="$(fuzzer)/bin:$$PATH" cargo fuzz run --fuzz-dir fuzz --sanitizer none
# One test of the simulation. cargo runs nothing, and is content, once it has another name: so it is looked for first.
define simulation
cargo test --locked $(1) -p pump-sources --lib -- --exact --list $(2) | grep '^1 test,'
$(3) cargo test --locked $(1) -p pump-sources --lib -- --exact --include-ignored --nocapture $(2)
endef

.PHONY: demo test check chaos simulate fuzz fuzz-keep new-sink new-source setup build-packages

## demo: made-up traffic through the log into files, with a live summary; nothing to install
demo:
	cargo run --locked --quiet --no-default-features --features demo -- demo

## test: every test; installs the servers it needs first
test: setup
	cargo test --locked --workspace

## check: formatting, lints, licences, where versions may come from, and what plugins are written against
check: build-packages $(deny)/bin/cargo-deny
	cargo fmt --all --check
	cargo fmt --check --manifest-path examples/own-sink/Cargo.toml
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(deny)/bin/cargo-deny --locked check bans licenses sources
	cargo test --locked --test suite -- layout:: interface::

## chaos: what takes too long for every day: a hundred rounds of kills, huge records, older servers
chaos:
	scripts/setup.sh chaos
	PUMP_TEST_KILL_ROUNDS=100 PUMP_TEST_SEARCH_KILLS=60 PUMP_TEST_S3_KILLS=20 PUMP_TEST_DEAD_SECONDS=60 \
		PUMP_TEST_KAFKA_RECORDS=1000000 \
		cargo test --locked --test suite -- --include-ignored \
		each_of_five_sinks kills_at_random kills_in_the_middle memory_stays elasticsearch_7 a_dead_sink a_disk_that_fills a_broker_that_stops

## simulate: more runs of the simulation than a test run has (SEEDS=50000 FIRST=0); with SEED=7 that one, told in full
simulate:
ifdef SEED
	$(call simulation,,redis_list::simulation::tests::one_seed,PUMP_SIMULATE_SEED=$(SEED))
else
	$(call simulation,--release,redis_list::simulation::tests::nothing_is_lost_whatever_goes_wrong,\
		PUMP_SIMULATE_SEEDS=$(or $(SEEDS),50000) PUMP_SIMULATE_FIRST=$(or $(FIRST),0))
endif

## fuzz: each target for ten minutes (SECONDS_EACH=60 TARGETS="msgpack frames" to change it); see fuzz/README.md
fuzz: $(fuzzer)/bin/cargo-fuzz
	set -e; for target in $(targets); do \
		mkdir -p fuzz/target/found/$$target; \
		$(fuzz) $$target fuzz/target/found/$$target fuzz/corpus/$$target -- \
			-max_total_time=$(or $(SECONDS_EACH),600) -max_len=4096 -print_final_stats=1; \
	done

## fuzz-keep: of what `make fuzz` found, what reaches code that the corpus does not reach becomes a part of it
fuzz-keep: $(fuzzer)/bin/cargo-fuzz
	set -e; for target in $(targets); do \
		$(fuzz) $$target fuzz/corpus/$$target fuzz/target/found/$$target -- -set_cover_merge=1 -use_counters=0; \
	done

## new-sink: NAME=x begins a sink that compiles, runs and passes its tests; what is to be filled in is marked
new-sink:
	scripts/new-plugin.sh sink "$(NAME)"

## new-source: NAME=x, the same for a source
new-source:
	scripts/new-plugin.sh source "$(NAME)"

setup:
	scripts/setup.sh

build-packages:
	scripts/setup.sh build

$(deny)/bin/cargo-deny:
	cargo install --locked --quiet --root $(deny) cargo-deny@0.20.2

$(fuzzer)/bin/cargo-fuzz:
	cargo install --locked --quiet --root $(fuzzer) cargo-fuzz@0.13.2
