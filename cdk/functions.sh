#!/usr/bin/env bash
# What the deployed functions run. CloudFormation makes them and brings code and settings into $LATEST; only this moves
# `live`, which the event source mappings invoke, and only to a version that proves itself.
#     cdk/functions.sh build              compile for Lambda, into target/deploy/<architecture>/
#     cdk/functions.sh promote            make a version of $LATEST and point `live` at it, if it passes
#     cdk/functions.sh deploy             the same with the code that is built: code without CloudFormation
#     cdk/functions.sh rollback [N]       point `live` back at what it was before, or at version N
#     cdk/functions.sh status             which versions are live, and were before
# A version passes when it starts and answers a batch of no records, raises no alarm as a canary, and one event then reaches
# the lake. Else `live` goes back to where it was. `previous` remembers the version that was live before.
# Environment: NAME, ARCHITECTURE, ARTIFACTS, FUNCTIONS (else cdk.json's); CONTRACT, which `build` puts beside the code
# (functions/events/contract.toml); CANARY_PERCENT (0: none) of the invocations for CANARY_MINUTES (5); LEAVE_OUT="invoke smoke-test" where Lambda invokes nothing; account, region, endpoint as for every AWS tool.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=cdk/aws.sh
. cdk/aws.sh

architecture=${ARCHITECTURE:-$(setting architecture arm64)}
artifacts=${ARTIFACTS:-target/deploy/$architecture}
contract=${CONTRACT:-functions/events/contract.toml}
percent=${CANARY_PERCENT:-0}
minutes=${CANARY_MINUTES:-5}
read -ra binaries <<<"$(functions | tr '\n' ' ')"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PATH="$PWD/.local/venv/build/bin:$PATH"

[[ $percent =~ ^[0-9]{1,2}$ ]] || fail "CANARY_PERCENT is '$percent', must be a whole number from 0 to 99"
[[ $minutes =~ ^[0-9]{1,3}$ ]] || fail "CANARY_MINUTES is '$minutes', must be a whole number from 0 to 999"

left_out() { [[ " ${LEAVE_OUT:-} " == *" $1 "* ]]; }

build() {
    local flag arguments=() one
    case $architecture in
    arm64) flag=--arm64 ;;
    x86_64) flag=--x86-64 ;;
    *) fail "ARCHITECTURE is '$architecture', must be arm64 or x86_64" ;;
    esac
    for one in "${binaries[@]}"; do arguments+=(--bin "$one"); done
    # Before minutes of compiling: what is wrong with the contract.
    cargo run --quiet --locked --package events --example contract -- check "$contract"
    cargo lambda build --release --locked --package ingest "$flag" "${arguments[@]}" --lambda-dir "$artifacts"
    for one in "${binaries[@]}"; do cp "$contract" "$artifacts/$one/contract.toml"; done
    check
}

check() { # that Lambda can run what is built
    local one files=()
    for one in "${binaries[@]}"; do files+=("$(cd "$artifacts" && pwd)/$one/bootstrap"); done
    (cd cdk && node --import tsx bin/check-artifact.ts "$architecture" "${files[@]}")
}

# The version that an alias of a function points at; nothing if there is no such alias.
version_of() { # function, alias
    call lambda get-alias --function-name "$1" --name "$2" --query FunctionVersion 2>"$work/error" && return
    grep -q ResourceNotFound "$work/error" || cat "$work/error" >&2
}

live_version() { # function
    local version
    version=$(version_of "$1" live)
    [ -n "$version" ] || fail "there is no function $1 with an alias 'live': make deploy comes first"
    echo "$version"
}

point() { # function, alias, version
    # Without the weights of a canary, too.
    call lambda update-alias --function-name "$1" --name "$2" --function-version "$3" \
        --routing-config 'AdditionalVersionWeights={}' >"$work/answer"
}

remember() { # function, version
    if [ -n "$(version_of "$1" previous)" ]; then
        point "$1" previous "$2"
    else
        call lambda create-alias --function-name "$1" --name previous --function-version "$2" >"$work/answer"
    fi
}

upload() { # function, binary
    python3 - "$artifacts/$2" "$work/package.zip" <<'PYTHON'
import pathlib
import sys
import zipfile

folder, package = sys.argv[1:]
with zipfile.ZipFile(package, "w") as archive:
    for name, mode in (("bootstrap", 0o755), ("contract.toml", 0o644)):
        entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
        entry.external_attr = mode << 16
        archive.writestr(entry, (pathlib.Path(folder) / name).read_bytes(), zipfile.ZIP_DEFLATED)
PYTHON
    put_code "$1"
}

put_code() { # function; the package is there
    call lambda update-function-code --function-name "$1" --zip-file "fileb://$work/package.zip" >"$work/answer"
    call lambda wait function-updated --function-name "$1"
}

# So that the next version is not made of what has been taken back.
restore_latest() { # function, version
    local code
    code=$(call lambda get-function --function-name "$1" --qualifier "$2" --query Code.Location)
    curl --fail --silent --show-error --output "$work/package.zip" "$code"
    put_code "$1"
}

# Whether a version starts and answers: a batch of no records commits nothing.
answers() { # function, binary, version
    left_out invoke && return
    case $2 in
    ingest-kinesis) echo '{"Records": []}' ;;
    *) echo '{"eventSource": "SelfManagedKafka", "records": {}}' ;;
    esac >"$work/event.json"
    local error
    error=$(call lambda invoke --function-name "$1" --qualifier "$3" --payload "fileb://$work/event.json" \
        --query FunctionError "$work/answer") || return
    [ "$error" = None ] && return
    echo "$1: version $3 does not answer a batch of no records: $(cat "$work/answer")" >&2
    return 1
}

# Names of the deployment's alarms that are on; NoData and ReportOverdue are about what is not there, not about code.
alarms() {
    call cloudwatch describe-alarms --alarm-name-prefix "$name-" --state-value ALARM --query 'MetricAlarms[].[AlarmName]' |
        grep -vE '^$|^None$|-(NoData|ReportOverdue|ReportFailed|ReportTimedOut)(-kafka)?$' | sort
}

# Called as a condition, where bash does not stop at a command that fails: each says so itself.
# Some invocations for some minutes: https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
canary() { # function, version, version that is live
    [ "$percent" -gt 0 ] || return 0
    local on_before on_now until=$((SECONDS + minutes * 60))
    on_before=$(alarms || true)
    call lambda update-alias --function-name "$1" --name live --function-version "$3" \
        --routing-config "AdditionalVersionWeights={$2=$(printf '0.%02d' "$percent")}" >"$work/answer" || return
    echo "$1: $percent % of the invocations go to version $2 for $minutes min"
    while [ "$SECONDS" -lt "$until" ]; do
        sleep "${CANARY_POLL:-15}"
        on_now=$(comm -13 <(echo "$on_before") <(alarms || true))
        if [ -n "$on_now" ]; then
            point "$1" live "$3"
            echo "$1: version $2 has raised ${on_now//$'\n'/, }: live stays version $3" >&2
            return 1
        fi
    done
}

smoke_test() { # binary
    # A topic is written to by Kafka's clients, which are not here.
    [ "$1" = ingest-kinesis ] || return 0
    left_out smoke-test || "${SMOKE_TEST:-cdk/smoke-test.sh}"
}

promote() {
    local binary named before candidate
    for binary in "${binaries[@]}"; do
        named=$name-$binary
        before=$(live_version "$named")
        # The number of the newest version, if it is $LATEST to the letter.
        candidate=$(call lambda publish-version --function-name "$named" --query Version)
        call lambda wait published-version-active --function-name "$named" --qualifier "$candidate"
        if [ "$candidate" = "$before" ]; then
            smoke_test "$binary" || fail "$named: version $before, which is live, fails"
            echo "$named: live is version $before, as before"
            continue
        fi
        if ! { answers "$named" "$binary" "$candidate" && canary "$named" "$candidate" "$before"; }; then
            restore_latest "$named" "$before"
            fail "$named: live stays version $before"
        fi
        point "$named" live "$candidate"
        if ! smoke_test "$binary"; then
            point "$named" live "$before"
            restore_latest "$named" "$before"
            fail "$named: version $candidate has not passed, live is version $before again"
        fi
        remember "$named" "$before"
        echo "$named: live was version $before, is version $candidate"
    done
}

deploy() {
    local binary
    check
    for binary in "${binaries[@]}"; do live_version "$name-$binary" >"$work/answer"; done
    for binary in "${binaries[@]}"; do upload "$name-$binary" "$binary"; done
    promote
}

# A version is code and configuration. The alias moves first: that is the rollback.
rollback() { # version, or empty
    local binary named before target
    for binary in "${binaries[@]}"; do
        named=$name-$binary
        before=$(live_version "$named")
        target=${1:-$(version_of "$named" previous)}
        [ -n "$target" ] || fail "$named: live is version $before, and none was live before it"
        call lambda get-function-configuration --function-name "$named" --qualifier "$target" >"$work/answer" 2>&1 ||
            fail "$named: there is no version $target"
        point "$named" live "$target"
        remember "$named" "$before"
        echo "$named: live was version $before, is version $target"
        restore_latest "$named" "$target"
    done
}

status() {
    local binary previous
    for binary in "${binaries[@]}"; do
        previous=$(version_of "$name-$binary" previous)
        echo "$name-$binary: live is version $(live_version "$name-$binary"), before it ${previous:-none}"
    done
}

case ${1:-} in
build) build ;;
promote) promote ;;
deploy) deploy ;;
rollback) rollback "${2:-}" ;;
status) status ;;
*)
    echo "usage: cdk/functions.sh build | promote | deploy | rollback [VERSION] | status" >&2
    exit 2
    ;;
esac
