#!/usr/bin/env bash
# Sends one event through the stream and waits until a committed object of the lake accounts for it.
# The event is a real one, of device type `smoke-test`: the report leaves out types with fewer than 500 events a day.
# Environment: NAME (tributary); TRIBUTARY_STREAM ($NAME-events), TRIBUTARY_BUCKET ($NAME-lake-<account>-<region>), WITHIN (120 s);
# account, region and endpoint as for every AWS tool.
set -euo pipefail
cd "$(dirname "$0")/.."

aws=aws
[ ! -x .local/venv/stack/bin/aws ] || aws=.local/venv/stack/bin/aws
export AWS_PAGER='' AWS_DEFAULT_OUTPUT=text
call() {
    "$aws" ${AWS_ENDPOINT_URL:+--endpoint-url "$AWS_ENDPOINT_URL"} "$@"
}

region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$("$aws" configure get region || true)}}
stream=${TRIBUTARY_STREAM:-${NAME:-tributary}-events}
bucket=${TRIBUTARY_BUCKET:-${NAME:-tributary}-lake-$(call sts get-caller-identity --query Account)-$region}
within=${WITHIN:-120}

event_id=smoke-$(date -u +%Y%m%dT%H%M%SZ)-$$
event=$(mktemp)
trap 'rm -f "$event"' EXIT
printf '{"schema_version":1,"event_id":"%s","device_id":"smoke-test","device_type":"smoke-test","event_time":"%s","event_duration":1.0}' \
    "$event_id" "$(date -u +%FT%TZ)" >"$event"
# From a file: both versions of the AWS CLI send its bytes as they are.
read -r shard position < <(call kinesis put-record --stream-name "$stream" --partition-key smoke-test \
    --data "fileb://$event" --query '[ShardId, SequenceNumber]')
echo "$event_id: shard $shard, position $position"

padded() { printf '%056s' "$1" | tr ' ' 0; }

# Whether an object accounts for the position: its audit names the first and the last that it covers.
covers() { # key
    local first last
    read -r first last < <(call s3api head-object --bucket "$bucket" --key "$1" \
        --query '[Metadata."tributary-first-position", Metadata."tributary-last-position"]')
    [[ ! $(padded "$position") < $(padded "$first") && ! $(padded "$position") > $(padded "$last") ]]
}

# In keys, a name that begins like a hidden file has a ! before it.
case $stream in
    [_.]*) shown="!$stream" ;;
    *) shown=$stream ;;
esac

# Names sort by arrival. The event arrived today, or yesterday if midnight has passed since.
newest() {
    local date
    for date in "$(date -u +%F)" "$(date -u -d '-10 minutes' +%F 2>/dev/null || date -u -v-10M +%F)"; do
        # shellcheck disable=SC2016 # the backquotes are JMESPath's
        call s3api list-objects-v2 --bucket "$bucket" --prefix "events/date=$date/$shown.$shard." \
            --query 'sort_by(Contents || `[]`, &LastModified)[-5:].[Key]'
    done | grep '^events/' | sort -ru
}

started=$SECONDS
until [ $((SECONDS - started)) -gt "$within" ]; do
    for key in $(newest || true); do
        if covers "$key"; then
            echo "in the lake after $((SECONDS - started)) s: s3://$bucket/$key"
            exit 0
        fi
    done
    sleep 2
done
echo "smoke-test: $event_id is not in s3://$bucket/events/ after $within s" >&2
exit 1
