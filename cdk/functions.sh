#!/usr/bin/env bash
# The code of the deployed functions: CloudFormation makes the functions, this moves what they run.
#     cdk/functions.sh build              compile for Lambda, into target/deploy/<architecture>/
#     cdk/functions.sh deploy             publish what is built as a new version, and point `live` at it
#     cdk/functions.sh rollback [N]       point `live` back at version N, or at the one before
# Environment: NAME (tributary), ARCHITECTURE (arm64 or x86_64), ARTIFACTS (target/deploy/$ARCHITECTURE),
# FUNCTIONS (ingest-kinesis); account, region and endpoint as for every AWS tool.
set -euo pipefail
cd "$(dirname "$0")/.."

name=${NAME:-tributary}
architecture=${ARCHITECTURE:-arm64}
artifacts=${ARTIFACTS:-target/deploy/$architecture}
read -ra functions <<<"${FUNCTIONS:-ingest-kinesis}"
export AWS_PAGER='' PATH="$PWD/.local/venv/build/bin:$PATH"

aws=aws
[ ! -x .local/venv/stack/bin/aws ] || aws=.local/venv/stack/bin/aws
call() {
    "$aws" ${AWS_ENDPOINT_URL:+--endpoint-url "$AWS_ENDPOINT_URL"} --output text lambda "$@"
}

fail() {
    echo "functions.sh: $*" >&2
    exit 1
}

build() {
    local flag binaries=() one
    case $architecture in
    arm64) flag=--arm64 ;;
    x86_64) flag=--x86-64 ;;
    *) fail "ARCHITECTURE is '$architecture', must be arm64 or x86_64" ;;
    esac
    for one in "${functions[@]}"; do binaries+=(--bin "$one"); done
    cargo lambda build --release --locked "$flag" "${binaries[@]}" --lambda-dir "$artifacts"
    check
}

check() { # that Lambda can run what is built
    local one files=()
    for one in "${functions[@]}"; do files+=("$PWD/$artifacts/$one/bootstrap"); done
    (cd cdk && node --import tsx bin/check-artifact.ts "$architecture" "${files[@]}")
}

live_version() { # function
    call get-alias --function-name "$1" --name live --query FunctionVersion
}

# cargo-lambda would make a function that does not exist, with a role and settings of its own.
must_exist() { # function
    live_version "$1" >/dev/null || fail "there is no function $1 with an alias 'live': make deploy comes first"
}

deploy() {
    local one named before
    check
    for one in "${functions[@]}"; do must_exist "$name-$one"; done
    for one in "${functions[@]}"; do
        named=$name-$one
        before=$(live_version "$named")
        cargo lambda deploy "$named" --alias live --binary-path "$artifacts/$one/bootstrap" \
            ${AWS_ENDPOINT_URL:+--endpoint-url "$AWS_ENDPOINT_URL"} >/dev/null
        rm -f "$artifacts/$one/bootstrap.zip"
        call wait function-updated --function-name "$named"
        echo "$named: live was version $before, is version $(live_version "$named")"
    done
}

# The newest version below one; empty if there is none.
version_before() { # function, version
    call list-versions-by-function --function-name "$1" --query 'Versions[].[Version]' |
        grep -E '^[0-9]+$' | sort -n | awk -v live="$2" '$1 < live { found = $1 } END { print found }'
}

# A version is code and configuration. The alias moves first: that is the rollback. Then the code goes back into
# $LATEST, so that the next version which CloudFormation publishes is not made of what was just taken back.
rollback() { # version, or empty
    local one named before target code
    package=$(mktemp)
    trap 'rm -f "$package"' EXIT
    for one in "${functions[@]}"; do
        named=$name-$one
        must_exist "$named"
        before=$(live_version "$named")
        target=${1:-$(version_before "$named" "$before")}
        [ -n "$target" ] || fail "$named: live is version $before, and there is none before it"
        code=$(call get-function --function-name "$named" --qualifier "$target" --query Code.Location) ||
            fail "$named: there is no version $target"
        call update-alias --function-name "$named" --name live --function-version "$target" >/dev/null
        echo "$named: live was version $before, is version $target"
        curl --fail --silent --show-error --output "$package" "$code"
        call update-function-code --function-name "$named" --zip-file "fileb://$package" >/dev/null
        call wait function-updated --function-name "$named"
    done
}

case ${1:-} in
build) build ;;
deploy) deploy ;;
rollback) rollback "${2:-}" ;;
*)
    echo "usage: cdk/functions.sh build | deploy | rollback [VERSION]" >&2
    exit 2
    ;;
esac
