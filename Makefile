# The front door. `make help` lists every verb; CI calls the same ones.
SHELL := bash
.SHELLFLAGS := -p -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# What would make bash, grep and cargo do something else than is written here.
unexport BASH_ENV ENV CDPATH GLOBIGNORE SHELLOPTS BASHOPTS GREP_OPTIONS POSIXLY_CORRECT $(filter BASH_FUNC_%,$(.VARIABLES))
unexport RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET CARGO_BUILD_TARGET_DIR
export CARGO_TARGET_DIR := $(CURDIR)/target

# The local stack's environment: not that of the shell.
closed := bash -p local-stack/closed
lake := .local/venv/lake/bin/python
monitor := .local/venv/monitor/bin/python
tools := .local/venv/build/bin
shell_scripts := $(wildcard local-stack/*.sh local-stack/closed local-stack/set-up/*.sh local-stack/emulators/*/*.sh .cargo/*.sh .ci/* emr/submit cdk/*.sh)
set_up := $(closed) true && local-stack/set-up/prerequisites.sh && local-stack/set-up/set-up.sh
is_set_up := { test -x $(lake) || { echo "nothing is set up yet: make setup" >&2; exit 1; }; }
# CONTRACT=FILE: function, producer and jobs hold events to that contract, not to functions/events/contract.toml.
with_contract := $(if $(CONTRACT),TRIBUTARY_CONTRACT="$(abspath $(CONTRACT))")
local := $(is_set_up) && $(closed) env PYTHONPATH=local-stack $(with_contract) $(lake) -m tributary_local

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
	@$(closed) true && local-stack/set-up/prerequisites.sh && local-stack/set-up/set-up.sh lake stack $(if $(filter redpanda,$(BROKER)),kafka binaries,kinesis) && $(local) up --without-event-source

up: ## start the local stack: LocalStack with bucket, stream and queue, and the event source
	@$(set_up) && $(local) up

down: ## stop the local stack and leave no process behind
	@$(local) down

status: ## what of the local stack runs, and how far each shard is
	@$(local) status

logs: ## follow the logs of the local stack (Ctrl-C ends it)
	@$(local) logs $(ARGS)

.PHONY: monitor
monitor: ## the dashboards on a page of this machine, live, without Grafana (Ctrl-C ends it)
	@local-stack/set-up/set-up.sh monitor && exec $(closed) env PYTHONPATH=local-stack $(monitor) -m tributary_monitor

produce: ## send events to the local stack: make produce ARGS="--events 1000 --rate 200"
	@$(set_up) && $(local) produce -- $(ARGS)

report: ## the Spark report over the lake, as CSV: out/p95_event_duration.csv (ARGS="--outlier-scope day")
	@local-stack/set-up/set-up.sh lake jars && $(local) report -- $(ARGS)

.PHONY: averages
averages: ## the average value per device and minute, as CSV: out/averages.csv (ARGS="--day 2026-11-22")
	@local-stack/set-up/set-up.sh lake jars && $(local) averages -- $(ARGS)

.PHONY: compact check-table
compact: ## load the new objects into the table, tag them, and keep the table in order (ARGS="--help")
	@local-stack/set-up/set-up.sh lake jars && $(local) compact -- $(ARGS)

check-table: ## the table by PyIceberg and DuckDB, without Spark, against the objects; for a table that is up to date
	@local-stack/set-up/set-up.sh lake && $(local) check-table

.PHONY: submit
submit: ## run the report on EMR and fetch its CSV: make submit ARGS="--help"
	@local-stack/set-up/set-up.sh lake && emr/submit $(ARGS)

validate: ## check every object of the lake with Spark: schema, nulls, doubled ids, audit counts (ARGS="--allow-doubled")
	@local-stack/set-up/set-up.sh lake jars && $(local) validate -- $(ARGS)

verify: ## compare the ledgers of what was sent with the lake, and the report with DuckDB's (ARGS="--outlier-scope day")
	@local-stack/set-up/set-up.sh lake jars && $(local) verify -- $(ARGS)

##### Your events

contract_of := cargo run --quiet --locked --package events --example contract --
.PHONY: contract contract-check send
contract: ## show the fields of the contract, and write what follows from it: JSON Schema, README, columns (CONTRACT=FILE only shows)
	@$(contract_of) show $(or $(CONTRACT),functions/events/contract.toml)
	@$(if $(CONTRACT),true,$(contract_of) generate)

send: ## send your own events to the local stack, one JSON object a line, and see the row or the reason of each (FILE=events.jsonl)
	@test -n "$(FILE)" || { echo "send: FILE is not set: make send FILE=events.jsonl" >&2; exit 2; }
	@$(local) send "$(abspath $(FILE))"

contract-check: ## refuse a contract that would break readers of the lake's last objects (CONTRACT=FILE, LAKE=bucket: one on AWS)
	@local-stack/set-up/set-up.sh lake
	@columns=$$(mktemp) && trap 'rm -f "$$columns"' EXIT && \
		$(contract_of) columns $(or $(CONTRACT),functions/events/contract.toml) >"$$columns" && \
		$(if $(LAKE),env TRIBUTARY_BUCKET=$(LAKE),$(closed) env) PYTHONPATH=emr $(lake) -m tributary_emr.contract_check "$$columns"

##### Checks

.PHONY: test lint format unit spark-test stack-test grafana-test end-to-end end-to-end-redpanda chaos deny bench
test: ## set-up, lints, all tests, a deployment and two end-to-end runs, with the time of each part (not chaos, fuzz, bench, deny)
	@.ci/parts.sh setup lint unit spark-test stack-test grafana-test cdk-test test-deploy end-to-end end-to-end-redpanda

lint: ## formatting and lints of TypeScript, Rust, Python and shell; warnings are errors
	@local-stack/set-up/set-up.sh build grafana cdk
	npm run --silent --prefix grafana lint
	npm run --silent --prefix cdk lint
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	cargo metadata --locked --quiet --format-version 1 --manifest-path functions/pipeline/fuzz/Cargo.toml >/dev/null
	@tree=$$(cargo tree --locked --workspace --exclude simulation --edges normal --prefix none); \
		! grep '^arrow' <<<"$$tree" || { echo "lint: functions would have Arrow in them: functions/pipeline/src/columns.rs" >&2; exit 1; }
	$(tools)/ruff check --quiet
	$(tools)/ruff format --check --quiet
	$(tools)/shellcheck $(shell_scripts)

format: ## format TypeScript, Rust and Python in place
	@local-stack/set-up/set-up.sh build grafana cdk
	npm run --silent --prefix grafana format
	npm run --silent --prefix cdk format
	cargo fmt --all
	$(tools)/ruff check --fix
	$(tools)/ruff format

unit: ## unit, property and snapshot tests of the Rust workspace
	cargo test --workspace --locked --quiet

spark-test: ## tests of the Spark jobs
	@local-stack/set-up/set-up.sh lake jars
	PYTHONPATH=emr $(lake) -m pytest -q emr

stack-test: ## tests of the local stack's orchestration
	@local-stack/set-up/set-up.sh lake
	PYTHONPATH=local-stack:local-stack/emulators/localstack $(lake) -m pytest -q local-stack/tests

.PHONY: check-panels monitor-test
check-panels: ## every query of every dashboard against the running local stack; a refused or an empty one fails
	@local-stack/set-up/set-up.sh monitor && $(closed) env PYTHONPATH=local-stack $(monitor) -m tributary_monitor.check $(ARGS)

monitor-test: ## the page with the dashboards in a real browser, while events flow (SCREENSHOTS=1 renews the README's)
	@{ command -v chromium && command -v chromedriver; } >/dev/null || \
		{ echo "monitor-test: no chromium with chromedriver. Install: Debian  apt install chromium chromium-driver" >&2; exit 1; }
	@$(set_up) && local-stack/set-up/set-up.sh monitor-test && $(local) up
	@$(closed) env SCREENSHOTS=$(SCREENSHOTS) .local/venv/monitor-test/bin/python -m pytest -q local-stack/tributary_monitor/browser_tests

grafana-test: ## dashboards and alarms as code: drift, tests
	@local-stack/set-up/set-up.sh grafana
	@cd grafana && npm run --silent check && npm run --silent test

end-to-end: ## the demo's path with few events on a stack of its own, function and event source killed in mid-run
	@$(set_up) && $(local) end-to-end $(if $(SEED),--seed $(SEED))

end-to-end-redpanda: ## the same over a topic instead of a stream
	@$(MAKE) end-to-end BROKER=redpanda $(if $(SEED),SEED=$(SEED))

chaos: ## minutes of kills, freezes and S3 faults on a stack of its own, then the account (MINUTES=3 SEED=n WITHOUT=kinds)
	@$(set_up) && $(local) chaos $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) \
		$(foreach kind,$(WITHOUT),--without $(kind))

deny: ## licences, advisories, sources of the Rust dependencies; needs cargo-deny and network
	cargo deny --locked check

.PHONY: audit lint-workflows
audit: deny ## advisories about every lock of the repository; needs cargo-deny and network
	cargo deny --locked --manifest-path functions/pipeline/fuzz/Cargo.toml check --config "$(CURDIR)/deny.toml" advisories
	@local-stack/set-up/set-up.sh audit
	@status=0; for lock in $$(git ls-files '*package-lock.json'); do \
		echo "$$lock"; npm audit --prefix "$$(dirname "$$lock")" --package-lock-only --audit-level=moderate || status=1; done; \
	for lock in $$(git ls-files '*.lock' ':!*Cargo.lock'); do \
		echo "$$lock"; .local/venv/audit/bin/pip-audit --disable-pip --require-hashes --requirement "$$lock" || status=1; done; \
	exit $$status

lint-workflows: ## the workflows of .github; needs actionlint (go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12)
	@command -v actionlint >/dev/null || { echo "lint-workflows: actionlint is not on the PATH; make help says where it is from" >&2; exit 1; }
	@PATH="$$PWD/$(tools):$$PATH" actionlint

bench_event := $(CURDIR)/.local/bench/event.json
bench: ## the function and two Python peers on one batch of 10,000 records, as ratios; then its stages one by one
	@$(set_up) && local-stack/set-up/set-up.sh bench-batch bench-bare bench-stages
	@$(lake) functions/benches/compare.py --built target/lambda --event "$(bench_event)"
	@BENCH_EVENT="$(bench_event)" target/lambda/bench-stages/bootstrap --bench

.PHONY: bench-window bench-growth bench-freshness bench-backlog bench-wait bench-lake
bench-window: ## what a window takes: memory for 1 to 10 million ids, and a cold start with 200 objects of 5,000 ids on the local S3
	@$(MAKE) services
	@local-stack/set-up/set-up.sh bench-window-memory bench-window-rebuild
	@for ids in 1000000 5000000 10000000; do target/lambda/bench-window-memory/bootstrap "$$ids"; done
	@$(closed) target/lambda/bench-window-rebuild/bootstrap

bench-growth: ## how the pure part grows with the window, the batch, and the partitions of an event, drawn into functions/growth.svg
	@$(set_up) && local-stack/set-up/set-up.sh plot bench-batch bench-window-memory
	@.local/venv/plot/bin/python functions/benches/growth.py --built target/lambda --plot functions/growth.svg

bench-freshness: ## how old a row is when DuckDB can read it, for both brokers (SECONDS=60)
	@$(set_up) && local-stack/set-up/set-up.sh kafka && $(local) bench-freshness $(if $(SECONDS),--seconds $(SECONDS))

bench-backlog: ## a topic with two million events waiting, carried into the local S3 and into one that answers at once (EVENTS=2000000)
	@$(set_up) && local-stack/set-up/set-up.sh kafka bench-s3-at-once
	@$(local) bench-backlog $(if $(EVENTS),--events $(EVENTS))

bench-wait: ## what a warm invocation is billed for when S3 and CloudWatch answer as late as AWS's
	@local-stack/set-up/set-up.sh bench-billed-time && target/lambda/bench-billed-time/bootstrap

bench-lake: ## the table against the objects: reports before and after, a night after 30 and 300 days (OBJECTS=20000 ROWS=200)
	@local-stack/set-up/set-up.sh lake jars binaries bench-lake-objects
	@$(closed) env PYTHONPATH=emr TRIBUTARY_SPARK_COMPILER=4 $(lake) emr/benches/lake.py --folder "$(CURDIR)/.local/bench-lake" --built target/lambda \
		--objects $(or $(OBJECTS),20000) --rows $(or $(ROWS),200)

.PHONY: chaos-lake
chaos-lake: ## minutes of compactions that are killed at random while objects arrive, and of jobs whose executors are (MINUTES=5 SEED=n)
	@local-stack/set-up/set-up.sh lake jars
	@TABLE_CHAOS_SECONDS=$$(($(or $(MINUTES),5) * 60)) $(if $(SEED),TABLE_CHAOS_SEED=$(SEED)) PYTHONPATH=emr \
		$(lake) -m pytest -q emr/tests/test_compact_chaos.py emr/tests/test_executors_lost.py

.PHONY: simulate
simulate: ## the simulation for as long as one likes, of both brokers or one: make simulate SEEDS=1000000 BROKER=redpanda, or SEED=7 with its whole trace
	@cargo run --release --locked --quiet -p simulation --bin simulate -- $(if $(BROKER),--broker $(BROKER)) \
		$(if $(SEED),--seed $(SEED),$(if $(SEEDS),--seeds $(SEEDS)))

##### AWS. NAME, ARCHITECTURE (arm64 or x86_64), FUNCTIONS, and ARGS="-c tributary:shards=2" for the CDK; see cdk/README.md

cdk := local-stack/set-up/set-up.sh cdk && . cdk/region.sh && cd cdk && node_modules/.bin/cdk
cdk_settings := $(if $(ARCHITECTURE),-c tributary:architecture=$(ARCHITECTURE)) $(if $(NAME),-c tributary:name=$(NAME)) $(ARGS)
on_aws := NAME=$(NAME) ARCHITECTURE=$(ARCHITECTURE) FUNCTIONS="$(FUNCTIONS)" CONTRACT="$(CONTRACT)"

.PHONY: cdk-test test-deploy bootstrap synth diff deploy functions deploy-functions rollback-functions smoke-test record-permissions
cdk-test: ## the CDK stacks: permissions against recorded requests, snapshots, cdk-nag, cost, the scripts, generated documents
	@local-stack/set-up/set-up.sh cdk
	@cd cdk && npm run --silent check && npm run --silent test

test-deploy: ## the rehearsal on a LocalStack of its own, as far as that goes; its table says what was left out
	@local-stack/set-up/set-up.sh lake stack deploy kinesis cdk binaries
	@$(closed) env PYTHONPATH=local-stack $(lake) -m tributary_local.runs.deployment

bootstrap: ## once for each account and region: what the CDK itself needs there
	@$(cdk) bootstrap $(cdk_settings)

synth: ## the templates, into cdk/cdk.out, with cdk-nag's findings as errors; needs make functions
	@$(cdk) synth --quiet $(cdk_settings)

diff: ## what make deploy would change in the account
	@$(cdk) diff $(cdk_settings)

deploy: ## the stacks into the account and region of the AWS CLI's configuration, then their code and settings go live
	@$(cdk) deploy --all $(if $(APPROVED),--require-approval never) $(cdk_settings)
	@$(on_aws) cdk/functions.sh promote

functions: ## compile the functions for Lambda, into target/deploy/<architecture>
	@local-stack/set-up/set-up.sh build cdk && $(on_aws) cdk/functions.sh build

deploy-functions: ## publish the compiled functions as new versions that are live: code only
	@local-stack/set-up/set-up.sh build cdk && $(on_aws) cdk/functions.sh deploy

rollback-functions: ## make the version that was live before live again, or VERSION=n
	@$(on_aws) cdk/functions.sh rollback $(VERSION)

smoke-test: ## one event through the deployed stream, until it is a row of the lake
	@$(if $(NAME),NAME=$(NAME)) cdk/smoke-test.sh

.PHONY: redrive rehearse deploy-dashboards
deploy-dashboards: ## grafana/dashboards into the Amazon Managed Grafana workspace of the deployment
	@$(if $(NAME),NAME=$(NAME)) cdk/deploy-dashboards.sh

redrive: ## send through the deployed function again what did not land: WHAT=given-up, or WHAT=quarantine PREFIX=date=2026-11-28/
	@$(if $(NAME),NAME=$(NAME)) cdk/redrive.sh $(or $(WHAT),given-up) $(PREFIX)

rehearse: ## a whole life of a deployment on the account: prints a bound on its cost, asks, and leaves nothing (ARGS="--yes")
	@local-stack/set-up/set-up.sh lake cdk build && . cdk/region.sh && PYTHONPATH=local-stack $(lake) -m tributary_local.runs.rehearsal $(ARGS)

record-permissions: ## what each part asks of AWS, recorded on stacks of their own, for cdk-test to hold the roles to
	@$(set_up) && local-stack/set-up/set-up.sh kafka deploy cdk && $(closed) env PYTHONPATH=local-stack $(lake) -m tributary_local.recording.record $(PARTS)

# libFuzzer needs flags that only nightly compilers take by themselves.
fuzz_targets := envelope kafka_envelope record compressed aggregate window_rebuild
.PHONY: fuzz
fuzz: ## hostile inputs against the pure core, MINUTES=2 for each target; a crash is kept, and fails (TARGETS="record")
	@test -x .local/cargo-fuzz/bin/cargo-fuzz || \
		cargo install --locked --quiet --root .local/cargo-fuzz --version 0.13.2 cargo-fuzz
	@mkdir -p $(addprefix .local/fuzz/,$(fuzz_targets))
	@for target in $(or $(TARGETS),$(fuzz_targets)); do \
		RUSTC_BOOTSTRAP=1 PATH="$$PWD/.local/cargo-fuzz/bin:$$PATH" cargo fuzz run --fuzz-dir functions/pipeline/fuzz "$$target" \
			".local/fuzz/$$target" "functions/pipeline/fuzz/corpus/$$target" -- -max_total_time=$$(($(or $(MINUTES),2) * 60)) \
			-rss_limit_mb=1024 -malloc_limit_mb=256 -print_final_stats=1 -verbosity=1; \
	done

##### Housekeeping

.PHONY: document
document: ## write cdk/COST.md and the table of settings in cdk/README.md anew
	@local-stack/set-up/set-up.sh cdk
	@cd cdk && npm run --silent document

.PHONY: dashboards lock clean
dashboards: ## write grafana/dashboards/*.json anew from grafana/src
	@local-stack/set-up/set-up.sh grafana
	@cd grafana && npm run --silent generate

lock: ## resolve the Python locks anew (UPGRADE=1 takes the newest versions)
	@local-stack/set-up/set-up.sh lock-tools && local-stack/set-up/lock.sh

clean: ## stop the stack and delete what builds and runs have left behind
	@! test -x $(lake) || { $(local) down; }
	rm -rf .local out target grafana/node_modules cdk/node_modules cdk/cdk.out
