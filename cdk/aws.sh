# shellcheck shell=bash
# What the scripts of this folder have in common. Sourced, from the root of the repository.
# Settings come from where the CDK has them, cdk/cdk.json; NAME, ARCHITECTURE, ARTIFACTS and FUNCTIONS override them.

if [ -z "${AWS_CLI:-}" ]; then
    AWS_CLI=aws
    [ ! -x .local/venv/stack/bin/aws ] || AWS_CLI=.local/venv/stack/bin/aws
fi
export AWS_CLI AWS_PAGER=''
# shellcheck source=cdk/region.sh
. cdk/region.sh

call() {
    "$AWS_CLI" ${AWS_ENDPOINT_URL:+--endpoint-url "$AWS_ENDPOINT_URL"} --output text "$@"
}

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# A setting of cdk.json, or what it is without one.
setting() { # name, default
    python3 - "${CDK_JSON:-cdk/cdk.json}" "$1" "$2" <<'PYTHON'
import json
import sys

file, name, default = sys.argv[1:]
with open(file) as opened:
    value = json.load(opened)["context"].get("tributary", {}).get(name, default)
print(value if isinstance(value, str) else json.dumps(value))
PYTHON
}

# shellcheck disable=SC2034 # for whoever sources this
name=${NAME:-$(setting name tributary)}

region() {
    [ -n "${AWS_REGION:-}" ] || fail "no region: set AWS_REGION to that of the deployment"
    echo "$AWS_REGION"
}

account() {
    call sts get-caller-identity --query Account
}

# The functions of the deployment, by the names of their binaries.
functions() {
    if [ -n "${FUNCTIONS:-}" ]; then
        echo "$FUNCTIONS"
        return
    fi
    [ "$(setting stream true)" = false ] || echo ingest-kinesis
    [ -z "$(setting kafka '')" ] || echo ingest-redpanda
}
