# Everything that can be done here; `make help` lists it.
SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)

TOOLS := target/tools
CARGO_LAMBDA_VERSION := 1.9.2
CARGO_DENY_VERSION := 0.20.2
CARGO_LAMBDA := $(TOOLS)/cargo-lambda-$(CARGO_LAMBDA_VERSION)
CARGO_DENY := $(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION)

.DEFAULT_GOAL := help
.PHONY: help setup run test check fmt fmt-check clippy deny

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing (apt, as root) or say what to install
	@scripts/setup.sh

run: setup ## Start everything on this machine [PORT=8080 DATA_DIR=./data ADMIN_EMAIL=... ADMIN_PASSWORD=...]
	@exec cargo run --package video-converter -- run

test: setup $(CARGO_LAMBDA) ## Run all tests, against real servers started for the run
	@cargo build --workspace --bins --tests
	@cargo run --quiet --package testkit --bin with-stack -- cargo test --workspace

check: fmt-check clippy deny ## Check format, lints, licences and dependencies

fmt: setup ## Format the code
	@cargo fmt --all

fmt-check: setup
	@cargo fmt --all --check

clippy: setup
	@cargo clippy --workspace --all-targets --locked -- --deny warnings

deny: $(CARGO_DENY)
	@scripts/deny.sh $(TOOLS)/bin/cargo-deny

# The Lambda emulator, for the tests that run our functions under AWS Lambda's interface.
$(CARGO_LAMBDA):
	@scripts/setup.sh python3-venv
	python3 -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet cargo-lambda==$(CARGO_LAMBDA_VERSION)
	@touch $@

$(CARGO_DENY):
	@scripts/setup.sh
	cargo install cargo-deny --version $(CARGO_DENY_VERSION) --locked --quiet --root $(TOOLS)
	@touch $@
