#!/usr/bin/env bash
# Sends through the deployed function again what did not land; repeats until nothing is left.
#     cdk/redrive.sh given-up             batches in the on-failure bucket; what is done with is deleted
#     cdk/redrive.sh quarantine [PREFIX]  quarantined records after a fix, such as date=2026-11-28/; they stay where they are
# Status 1 when something did not go through; it can be repeated. Environment: NAME; account, region as for every AWS tool.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=cdk/aws.sh
. cdk/aws.sh

what=${1:-}
prefix=${2:-}
case $what in
given-up | quarantine) ;;
*)
    echo "usage: cdk/redrive.sh given-up | quarantine [PREFIX]" >&2
    exit 2
    ;;
esac
[[ $prefix =~ ^[A-Za-z0-9=/._!-]*$ ]] || fail "PREFIX is '$prefix', must be the beginning of a key below quarantine/"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
after='' status=0 more=true
while [ "$more" = true ]; do
    printf '{"what": "%s", "prefix": "%s", "after": "%s"}' "$what" "$prefix" "$after" >"$work/event.json"
    # As long as the function may take, and once: a second run beside the first would only do the same work.
    error=$(AWS_MAX_ATTEMPTS=1 call lambda invoke --cli-read-timeout 900 --function-name "$name-redrive" \
        --payload "fileb://$work/event.json" --query FunctionError "$work/answer.json")
    [ "$error" = None ] || fail "$(cat "$work/answer.json")"
    read -r more after failed < <(python3 - "$work/answer.json" <<'PYTHON'
import json
import sys

with open(sys.argv[1]) as file:
    answer = json.load(file)
for line in answer["failed"]:
    print(line, file=sys.stderr)
print(f"{answer['sent']} batches, {answer['records']} records", file=sys.stderr)
# A key has no blanks; without one there is a hyphen, for the shell that reads this.
print(json.dumps(answer["more"]), answer["after"] or "-", len(answer["failed"]))
PYTHON
    )
    [ "$after" != - ] || after=''
    [ "$failed" = 0 ] || status=1
done
exit "$status"
