# What can be done here. Each target installs what it needs.
#
#   make demo         build, and show the main job on a small model
#   make test         all tests that need no peers
#   make interop      tests with the Python reference, OpenSSL and a real model
#   make interop-go   tests with cosign (builds it once, some minutes)
#   make bench        compare speed with the peers, in one run
#   make fuzz         fuzz every parser (SECONDS_EACH=60 by default)
#   make check        format, lints, import rules

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := test
CARGO ?= cargo
SECONDS_EACH ?= 60
export CARGO_TERM_COLOR ?= auto

.PHONY: demo test check interop interop-go bench fuzz fuzz-short tools

tools:
	@tools/install

demo: tools
	@echo "Building Bulla; the first time takes a minute or two." >&2
	@$(CARGO) run --locked --quiet --package bulla-cli -- demo

test: tools
	$(CARGO) test --locked --workspace

check: tools
	$(CARGO) fmt --all --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --locked --workspace --all-targets -- --deny warnings
	$(CARGO) test --locked --quiet --package bulla-testkit --test imports

interop: tools
	$(CARGO) build --locked --package bulla-cli
	python=$$(interop/install-python) && \
	BULLA=$(CURDIR)/target/debug/bulla "$$python/bin/pytest" -q -p no:cacheprovider \
	    --ignore interop/tests/test_cosign.py interop/tests

interop-go: tools
	$(CARGO) build --locked --package bulla-cli
	python=$$(interop/install-python) && cosign=$$(interop/install-go) && \
	BULLA=$(CURDIR)/target/debug/bulla COSIGN="$$cosign/cosign" \
	    "$$python/bin/pytest" -q -p no:cacheprovider interop/tests/test_cosign.py

bench: tools
	$(CARGO) build --locked --release --package bulla-cli
	python=$$(interop/install-python) && \
	BULLA=$(CURDIR)/target/release/bulla "$$python/bin/python" interop/bench.py

fuzz: tools
	@fuzz/run $(SECONDS_EACH)

fuzz-short: tools
	@fuzz/run 5
