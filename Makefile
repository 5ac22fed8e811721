# The front door. `make help` lists every verb; CI calls the same ones.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

env := . local-stack/env.sh
lake := .local/venv/lake/bin/python
tools := .local/venv/build/bin
shell_scripts := $(wildcard local-stack/*.sh .ci/run)
set_up := local-stack/prerequisites.sh && local-stack/set-up.sh
is_set_up := { test -x $(lake) || { echo "nothing is set up yet: make setup" >&2; exit 1; }; }
local := $(is_set_up) && $(env) && PYTHONPATH=local-stack $(lake) -m tributary_local

.PHONY: help
help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  \033[1m%-19s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##### The pipeline on this machine

.PHONY: demo setup services up down status logs produce report validate verify
demo: ## from nothing to the verified report: set up, start, send events, wait, report, verify (SEED=n repeats a run, BROKER=redpanda takes a topic)
	@started=$$(date +%s); $(set_up) && $(local) demo --started-at "$$started" $(if $(SEED),--seed $(SEED))

setup: ## check the prerequisites and install and build everything that is locked, under .local/ and target/
	@$(set_up)

services: ## start LocalStack alone, with bucket, stream and queue, for work on a single part; needs no build
	@local-stack/prerequisites.sh && local-stack/set-up.sh lake stack $(if $(filter redpanda,$(BROKER)),kafka binaries,kinesis) && $(local) up --without-event-source

up: ## start the local stack: LocalStack with bucket, stream and queue, and the event source
	@$(set_up) && $(local) up

down: ## stop the local stack and leave no process behind
	@$(local) down

status: ## what of the local stack runs, and how far each shard is
	@$(local) status

logs: ## follow the logs of the local stack (Ctrl-C ends it)
	@$(local) logs $(ARGS)

produce: ## send events to the local stack: make produce ARGS="--events 1000 --rate 200"
	@$(set_up) && $(local) produce -- $(ARGS)

report: ## the Spark report over the lake, as CSV: out/p95_event_duration.csv
	@local-stack/set-up.sh lake jars && $(local) report

validate: ## check every object of the lake with Spark: schema, nulls, doubled ids, audit counts
	@local-stack/set-up.sh lake jars && $(local) validate

verify: ## compare the ledgers of what was sent with the lake, and the report with DuckDB's
	@local-stack/set-up.sh lake jars && $(local) verify

##### Checks

.PHONY: test lint format unit spark-test stack-test end-to-end end-to-end-redpanda deny bench
test: ## everything below in one go, with the time of each part: lint, unit, spark-test, stack-test, both end-to-end runs
	@local-stack/parts.sh setup lint unit spark-test stack-test end-to-end end-to-end-redpanda

lint: ## formatting and lints of Rust, Python and shell; warnings are errors
	@local-stack/set-up.sh build
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	$(tools)/ruff check --quiet
	$(tools)/ruff format --check --quiet
	$(tools)/shellcheck $(shell_scripts)

format: ## format Rust and Python in place
	@local-stack/set-up.sh build
	cargo fmt --all
	$(tools)/ruff check --fix
	$(tools)/ruff format

unit: ## unit, property and snapshot tests of the Rust workspace
	cargo test --workspace --locked --quiet

spark-test: ## tests of the Spark jobs
	@local-stack/set-up.sh lake jars
	PYTHONPATH=emr $(lake) -m pytest -q emr

stack-test: ## tests of the local stack's orchestration
	@local-stack/set-up.sh lake
	PYTHONPATH=local-stack $(lake) -m pytest -q local-stack/tests

end-to-end: ## the demo's path with few events on a stack of its own, function and event source killed in mid-run
	@$(set_up) && $(local) end-to-end $(if $(SEED),--seed $(SEED))

end-to-end-redpanda: ## the same over a topic instead of a stream
	@$(MAKE) end-to-end BROKER=redpanda $(if $(SEED),SEED=$(SEED))

deny: ## licences, advisories, sources of the Rust dependencies; needs cargo-deny and network
	cargo deny --locked check

# cargo-lambda compiles x86-64 functions for this processor.
bench_cargo := RUSTFLAGS="$(if $(filter x86_64,$(shell uname -m)),-C target-cpu=haswell)" cargo
bench_event := $(CURDIR)/.local/bench/event.json
bench: ## the function and two Python peers on one batch of 10,000 records, as ratios; then its stages one by one
	@$(set_up)
	@$(bench_cargo) build --release --locked --quiet -p pipeline --example batch
	@$(lake) functions/pipeline/benches/compare.py --producer target/lambda/producer/bootstrap \
		--batch target/release/examples/batch --function target/lambda/ingest-kinesis/bootstrap --event $(bench_event)
	@BENCH_EVENT=$(bench_event) $(bench_cargo) bench --locked --quiet -p pipeline --bench stages

.PHONY: simulate
simulate: ## the simulation for as long as one likes: make simulate SEEDS=1000000, or SEED=7 with its whole traces
	@$(if $(SEED),SEED=$(SEED),SEEDS=$(or $(SEEDS),100000)) cargo test --locked --quiet -p ingest --test simulation \
		-- --nocapture every_accepted_event

##### Housekeeping

.PHONY: lock clean
lock: ## resolve the Python locks anew (UPGRADE=1 takes the newest versions)
	@local-stack/set-up.sh lock-tools && local-stack/lock.sh

clean: ## stop the stack and delete what builds and runs have left behind
	@! test -x $(lake) || { $(local) down; }
	rm -rf .local out target
