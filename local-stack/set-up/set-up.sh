#!/usr/bin/env bash
# Installs, under .local/, everything that the repository's locks pin, and builds the binaries. Each part is done once per
# content of its locks: the stamp of a part is a copy of what it was installed from. Works without network from then on.
#     local-stack/set-up/set-up.sh [PART]...
# Without a part: what the demo needs, with the broker that BROKER names (kinesis or redpanda).
# shellcheck source=local-stack/set-up/shell.sh
. "$(dirname -- "$0")/shell.sh"
cd -- "$(dirname -- "$0")/../.."
# What names mirrors, proxies and certificates stays. What would install or build something else, or elsewhere, goes.
unset VIRTUAL_ENV PIP_REQUIRE_VIRTUALENV PIP_FIND_LINKS PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER PIP_PYTHON
unset UV_FIND_LINKS UV_PYTHON UV_SYSTEM_PYTHON UV_TARGET UV_PREFIX UV_PROJECT_ENVIRONMENT NODE_ENV NODE_OPTIONS MAVEN_ARGS
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET CARGO_BUILD_TARGET_DIR CARGO_BUILD_BUILD_DIR
unset "${!CARGO_PROFILE_@}" "${!CARGO_LAMBDA_@}"
for name in "${!npm_config_@}" "${!NPM_CONFIG_@}"; do
    case $name in *registry | *REGISTRY | *ca | *CA | *cafile | *CAFILE | *proxy | *PROXY | *cache | *CACHE | *config | *CONFIG) ;;
    *) unset "$name" ;;
    esac
done
export CARGO_TARGET_DIR="$PWD/target"

stamps=.local/stamps
mkdir -p "$stamps" .local/venv

say() { printf '  %s\n' "$*"; }

done_with() { # part, files it is made from
    cat "${@:2}" | cmp -s - "$stamps/$1"
}

stamp() { # part, files it is made from
    cat "${@:2}" >"$stamps/$1"
}

fresh_venv() { # path
    rm -rf "$1"
    python3.11 -m venv "$1"
}

uv=.local/venv/uv/bin/uv
bootstrap() {
    if done_with uv local-stack/set-up/bootstrap.lock && [ -x "$uv" ]; then return; fi
    say "uv (installs the Python locks)"
    fresh_venv .local/venv/uv
    .local/venv/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
        --requirement local-stack/set-up/bootstrap.lock
    stamp uv local-stack/set-up/bootstrap.lock
}

python_lock() { # name of the venv, its lock, what it is for
    local venv=.local/venv/$1
    if done_with "$1" "$2" && [ -x "$venv/bin/python" ]; then return; fi
    bootstrap
    say "Python environment '$1': $3"
    fresh_venv "$venv"
    "$uv" pip sync --quiet --no-config --compile-bytecode --require-hashes \
        --build-constraints local-stack/set-up/build-constraints.lock --python "$venv/bin/python" "$2"
    stamp "$1" "$2"
}

kinesis() {
    local at=.local/kinesis-local from=local-stack/set-up/kinesis-local patch=local-stack/emulators/patch-kinesis-local.mjs
    local made_from=("$from/package-lock.json" "$patch")
    if done_with kinesis "${made_from[@]}" && [ -d "$at/node_modules/kinesis-local" ]; then return; fi
    say "kinesis-local (the Kinesis emulator that LocalStack runs)"
    rm -rf "$at"
    mkdir -p "$at"
    cp "$from/package.json" "$from/package-lock.json" "$from/.npmrc" "$at/"
    npm ci --prefix "$at" --loglevel=error --no-progress >/dev/null
    node "$patch" "$at/node_modules/kinesis-local/main.js"
    stamp kinesis "${made_from[@]}"
}

grafana() {
    # Node finds packages beside the sources that import them, so these are not under .local/.
    if done_with grafana grafana/package-lock.json && [ -d grafana/node_modules ]; then return; fi
    say "Grafana's SDK for dashboards as code"
    npm ci --prefix grafana --ignore-scripts --loglevel=error --no-progress >/dev/null
    stamp grafana grafana/package-lock.json
}

cdk() {
    if done_with cdk cdk/package-lock.json && [ -d cdk/node_modules ]; then return; fi
    say "the AWS CDK"
    npm ci --prefix cdk --ignore-scripts --loglevel=error --no-progress >/dev/null
    stamp cdk cdk/package-lock.json
}

maven_jars() { # part and directory, pom, what they are
    if done_with "$1" "$2" && [ -d ".local/$1" ]; then return; fi
    say "$3"
    rm -rf ".local/$1"
    # -C: an artifact that does not match its published checksum fails the set-up.
    mvn --batch-mode --quiet -Dstyle.color=never -C --file "$2" dependency:copy-dependencies \
        -DoutputDirectory="$PWD/.local/$1" | sed $'s/\x1b\\[[0-9;]*m//g' # Maven resets colours that it never set
    stamp "$1" "$2"
}

binaries() {
    local name
    [ -x target/lambda/ingest-kinesis/bootstrap ] || say "Rust release build of functions, producer, event source (minutes)"
    release ingest-kinesis ingest-redpanda producer event-source
    # As in the package on Lambda.
    for name in ingest-kinesis ingest-redpanda; do
        cmp -s functions/events/contract.toml "target/lambda/$name/contract.toml" || cp functions/events/contract.toml "target/lambda/$name/"
    done
}

release() { # names of binaries
    local built=target/lambda-built name host
    # The simulation reads Parquet by way of Arrow: with it, the functions would have it, too.
    local arguments=(build --release --locked --quiet --workspace --exclude simulation)
    for name in "$@"; do arguments+=(--bin "$name"); done
    # One command for all of them: what they share is compiled once, with one linker and one set of flags.
    if [ "$(uname -s)" = Linux ]; then
        PATH="$PWD/.local/venv/build/bin:$PATH" cargo lambda "${arguments[@]}" --skip-target-check --lambda-dir "$built"
    else
        # A Linux artifact does not run here; the same sources, built for this machine, do.
        host=$(rustc -vV | sed -n 's/^host: //p')
        # Named, so that a target in the user's configuration of cargo is not taken.
        cargo "${arguments[@]}" --target "$host"
        for name in "$@"; do
            mkdir -p "$built/$name"
            cp "target/$host/release/$name" "$built/$name/bootstrap"
        done
    fi
    # Renamed into place: a binary that runs cannot be written to, but it can be replaced.
    for name in "$@"; do
        mkdir -p "target/lambda/$name"
        cmp -s "$built/$name/bootstrap" "target/lambda/$name/bootstrap" ||
            mv -f "$built/$name/bootstrap" "target/lambda/$name/bootstrap"
    done
}

part() {
    case $1 in
    lake) python_lock lake emr/requirements.lock "Spark, DuckDB, the orchestrator" ;;
    stack) python_lock stack local-stack/set-up/stack.lock "LocalStack, the AWS CLI" ;;
    build) python_lock build local-stack/set-up/build.lock "cargo-lambda with zig, ruff, shellcheck" ;;
    lock-tools) bootstrap ;;
    kinesis) kinesis ;;
    monitor) python_lock monitor local-stack/set-up/monitor.lock "the page with the dashboards" ;;
    monitor-test) python_lock monitor-test local-stack/set-up/monitor-test.lock "the browser test of that page" ;;
    grafana) grafana ;;
    cdk) cdk ;;
    audit) python_lock audit local-stack/set-up/audit.lock "pip-audit" ;;
    plot) python_lock plot local-stack/set-up/plot.lock "matplotlib" ;;
    deploy) python_lock deploy local-stack/set-up/deploy.lock "LocalStack with all that a deployment needs" ;;
    kafka) maven_jars kafka local-stack/set-up/kafka/pom.xml "Apache Kafka (the broker in Redpanda's place)" ;;
    jars) maven_jars jars emr/pom.xml "S3A and Iceberg jars for Spark" ;;
    binaries)
        part build
        binaries
        ;;
    bench-*)
        part build
        release "$1"
        ;;
    *)
        echo "set-up.sh: no part '$1'; there are lake, stack, build, kinesis, kafka, jars, binaries, monitor, monitor-test, grafana, cdk, deploy, audit, plot, and bench-batch and the other programs of functions/benches" >&2
        exit 2
        ;;
    esac
}

broker=${BROKER:-kinesis}
if [ "$#" -eq 0 ]; then
    case $broker in
    kinesis) set -- lake stack kinesis jars binaries monitor ;;
    redpanda) set -- lake stack kafka jars binaries monitor ;;
    *)
        echo "set-up.sh: BROKER is '$broker'; it must be kinesis or redpanda" >&2
        exit 1
        ;;
    esac
fi
for name in "$@"; do part "$name"; done
