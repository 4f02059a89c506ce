# What can be done here. Each target installs what it needs.
#
#   make demo         build, and show the main job on a small model
#   make test         all tests that need no peers
#   make interop      tests with the Python and JavaScript clients, OpenSSL and a real model
#   make interop-go   tests with cosign (builds it once, some minutes) and with Go's transparency logs
#   make bench        compare speed with the peers, in one run (a quarter of an hour, 5 GB of disk), and then:
#   make bench-registry  a registry of a million models and ten million decisions (an hour; DECISIONS=1000000 takes minutes)
#   make sanitize     bulla-hash under AddressSanitizer and Miri (nightly compiler)
#   make test-aarch64 bulla-hash on an emulated ARM processor
#   make fuzz         fuzz every parser (SECONDS_EACH=60 by default)
#   make check        format, lints, import rules

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := test
CARGO ?= cargo
SECONDS_EACH ?= 60
export CARGO_TERM_COLOR ?= auto

.PHONY: demo test check interop interop-go bench bench-registry sanitize test-aarch64 fuzz fuzz-short tools

tools:
	@tools/install

demo: tools
	@echo "Building Bulla; the first time takes a minute or two." >&2
	@$(CARGO) run --locked --quiet --package bulla-cli -- demo

test:
	@tools/install postgresql
	$(CARGO) test --locked --workspace

check: tools
	$(CARGO) fmt --all --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --locked --workspace --all-targets -- --deny warnings
	$(CARGO) test --locked --quiet --package bulla-testkit --test imports

interop: tools
	$(CARGO) build --locked --package bulla-cli
	python=$$(interop/install-python) && node=$$(interop/install-node) && \
	BULLA=$(CURDIR)/target/debug/bulla NODE_PEERS="$$node" "$$python/bin/pytest" -q -p no:cacheprovider \
	    --ignore interop/tests/test_cosign.py --ignore interop/tests/test_go_log.py interop/tests

interop-go: tools
	$(CARGO) build --locked --package bulla-cli
	$(CARGO) build --locked --package bulla-log --example throughput
	cd interop/go-log && go build -o $(CURDIR)/target/go-log .
	python=$$(interop/install-python) && cosign=$$(interop/install-go) && \
	BULLA=$(CURDIR)/target/debug/bulla COSIGN="$$cosign/cosign" GO_LOG=$(CURDIR)/target/go-log \
	THROUGHPUT=$(CURDIR)/target/debug/examples/throughput \
	    "$$python/bin/pytest" -q -p no:cacheprovider interop/tests/test_cosign.py interop/tests/test_go_log.py

bench: tools
	$(CARGO) bench --locked --package bulla-hash
	$(CARGO) build --locked --release --package bulla-cli
	$(CARGO) build --locked --release --package bulla-hash --example limits
	python=$$(interop/install-python) && b3sum=$$(interop/install-b3sum) && \
	BULLA=$(CURDIR)/target/release/bulla LIMITS=$(CURDIR)/target/release/examples/limits \
	    B3SUM="$$b3sum/b3sum" "$$python/bin/python" interop/bench.py
	$(MAKE) bench-registry

# A million models and ten million decisions, made up, in SQLite and in PostgreSQL: what rests on a key, and a decision that is known.
# An hour or more, 30 GB of disk, 5 GB of memory; DECISIONS=1000000 takes minutes.
MODELS ?= 1000000
DECISIONS ?= 10000000
bench-registry:
	@tools/install postgresql
	$(CARGO) build --locked --release --package bulla-registry --example scale
	mkdir -p target/bench && rm -f target/bench/registry.db*
	target/release/examples/scale target/bench/registry.db --models $(MODELS) --decisions $(DECISIONS)
	target/release/examples/scale postgres --models $(MODELS) --decisions $(DECISIONS)
	rm -f target/bench/registry.db*

# Every back end of bulla-hash but those of other processors, with each access to memory checked; the
# nightly compiler is only needed here.
sanitize: tools
	tools/install-nightly
	RUSTFLAGS="-Zsanitizer=address" ASAN_OPTIONS="handle_sigbus=0" $(CARGO) +nightly test --locked --package bulla-hash \
	    --target $$(rustc -vV | sed -n 's/^host: //p') --target-dir target/sanitize --tests
	MIRIFLAGS="-Zmiri-disable-isolation" RUSTFLAGS="-C target-feature=+sha,+avx2" \
	    BULLA_TEST_BACKENDS="portable $$([ $$(uname -m) != x86_64 ] || echo 'avx2 sha-ni')" \
	    $(CARGO) +nightly miri test --locked --package bulla-hash --target-dir target/miri --test sha256

# The same suite on an emulated ARM processor.
test-aarch64: tools
	tools/install-aarch64
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu" \
	BULLA_TEST_BACKENDS="aarch64 portable" \
	    $(CARGO) test --locked --package bulla-hash --target aarch64-unknown-linux-gnu --tests

fuzz: tools
	@fuzz/run $(SECONDS_EACH)

fuzz-short: tools
	@fuzz/run 5
