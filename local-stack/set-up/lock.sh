#!/usr/bin/env bash
# Resolves every requirements.in to its lock, with hashes and no index address. Pins that still fit are kept;
# UPGRADE=1 takes the newest instead.
# shellcheck source=local-stack/set-up/shell.sh
. "$(dirname -- "$0")/shell.sh"
cd -- "$(dirname -- "$0")/../.."
unset PIP_FIND_LINKS UV_FIND_LINKS
export UV_CUSTOM_COMPILE_COMMAND='make lock'

uv=.local/venv/uv/bin/uv
compile() { # lock, extra arguments
    local lock=$1
    shift
    echo "$lock"
    "$uv" pip compile --quiet --no-config --generate-hashes --no-emit-index-url --no-emit-find-links \
        --python-version 3.11 ${UPGRADE:+--upgrade} --output-file "$lock" "$@" "${lock%.lock}.in"
}

compile local-stack/set-up/bootstrap.lock
compile local-stack/set-up/build-constraints.lock
# LocalStack 4.8.1 states no upper bounds and does not start with what has come out long after it.
compile local-stack/set-up/stack.lock --exclude-newer 2025-10-01
compile local-stack/set-up/deploy.lock --exclude-newer 2025-10-01
compile local-stack/set-up/audit.lock
compile local-stack/set-up/plot.lock
compile local-stack/set-up/monitor.lock
compile local-stack/set-up/monitor-test.lock
compile emr/requirements.lock
compile local-stack/set-up/build.lock
