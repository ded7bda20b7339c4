# Thin: each line is a command that anyone can type.
cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/pump
deny := $(cache)/cargo-deny-0.20.2

.PHONY: test check

## test: every test
test:
	cargo test --locked --workspace

## check: formatting, lints, licences
check: $(deny)/bin/cargo-deny
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(deny)/bin/cargo-deny --locked check bans licenses sources

$(deny)/bin/cargo-deny:
	cargo install --locked --quiet --root $(deny) cargo-deny@0.20.2
