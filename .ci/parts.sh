#!/usr/bin/env bash
# Runs make verbs one after the other, stops at the first that fails, and ends with a table of their times.
#     .ci/parts.sh VERB...
# shellcheck source=local-stack/set-up/shell.sh
. "$(dirname -- "$0")/../local-stack/set-up/shell.sh"
cd -- "$(dirname -- "$0")/.."

table=
total=0
row() { # name, seconds
    table+=$(printf '  %-19s %5d s' "$1" "$2")$'\n'
}

for verb in "$@"; do
    printf '\n== %s\n' "$verb"
    started=$SECONDS
    if ! make "$verb"; then
        printf '\n%s== %s failed after %d s\n' "$table" "$verb" "$((SECONDS - started))" >&2
        exit 1
    fi
    row "$verb" "$((SECONDS - started))"
    total=$((total + SECONDS - started))
done
row total "$total"
printf '\n%s' "$table"
