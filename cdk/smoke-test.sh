#!/usr/bin/env bash
# Sends one event through the stream and waits until it is a row of a committed object of the lake.
# The event is a real one, by the contract (`make contract` writes it): of device type `smoke-test` where any is allowed. The
# report leaves out types with fewer than 500 events a day.
# Fails when the event lands in quarantine, and when its shard stands still. Behind a backlog it cannot arrive in time: then
# objects that its shard commits meanwhile show that events reach the lake, and the test says so and passes.
# Environment: NAME (cdk.json's); TRIBUTARY_STREAM ($NAME-events), TRIBUTARY_BUCKET ($NAME-lake-<account>-<region>), WITHIN (120 s);
# account, region and endpoint as for every AWS tool.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=cdk/aws.sh
. cdk/aws.sh

stream=${TRIBUTARY_STREAM:-$name-events}
bucket=${TRIBUTARY_BUCKET:-$name-lake-$(account)-$(region)}
within=${WITHIN:-120}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
event_id=smoke-$(date -u +%Y%m%dT%H%M%SZ)-$$
sed -e "s/@id@/$event_id/g; s/@time@/$(date -u +%FT%TZ)/g; s/@epoch_s@/$(date +%s)/g" functions/events/schema/smoke-event.json |
    tr -d '\n' >"$work/event"

# In keys, a name that begins like a hidden file has a ! before it.
case $stream in
    [_.!]*) shown="!$stream" ;;
    *) shown=$stream ;;
esac

# Names sort by arrival. The event arrived today, or yesterday if midnight has passed since.
newest() { # prefix
    local date
    for date in "$(date -u +%F)" "$(date -u -d '-10 minutes' +%F 2>/dev/null || date -u -v-10M +%F)"; do
        # shellcheck disable=SC2016 # the backquotes are JMESPath's
        call s3api list-objects-v2 --bucket "$bucket" --prefix "$1date=$date/$shown.$shard." \
            --query 'sort_by(Contents || `[]`, &LastModified)[-5:].[Key]'
    done | grep "^$1" | sort -ru
}

# From a file: both versions of the AWS CLI send its bytes as they are.
read -r shard position < <(call kinesis put-record --stream-name "$stream" --partition-key smoke-test \
    --data "fileb://$work/event" --query '[ShardId, SequenceNumber]')
echo "$event_id: shard $shard, position $position"
newest events/ >"$work/before" || true

padded() { printf '%056s' "$1" | tr ' ' 0; }

# Whether an object accounts for the position: its audit names the first and the last that it covers.
covers() { # key
    local first last
    read -r first last < <(call s3api head-object --bucket "$bucket" --key "$1" \
        --query '[Metadata."tributary-first-position", Metadata."tributary-last-position"]')
    [[ ! $(padded "$position") < $(padded "$first") && ! $(padded "$position") > $(padded "$last") ]]
}

# The reason for which the event was rejected; nothing if it was not. Rejected records are stored before rows are.
rejection() {
    local key
    for key in $(newest quarantine/ || true); do
        call s3api get-object --bucket "$bucket" --key "$key" "$work/rejected" >"$work/answer"
        grep "\"position\":\"$position\"" "$work/rejected" | grep -o '"reason":"[a-z_0-9]*"' && return
    done
    return 0
}

fail_if_rejected() {
    local reason
    reason=$(rejection)
    [ -z "$reason" ] || fail "$event_id was rejected (${reason#*:}): its bytes are in s3://$bucket/quarantine/"
}

started=$SECONDS
until [ $((SECONDS - started)) -gt "$within" ]; do
    fail_if_rejected
    for key in $(newest events/ || true); do
        if covers "$key"; then
            fail_if_rejected
            echo "in the lake after $((SECONDS - started)) s: s3://$bucket/$key"
            exit 0
        fi
    done
    sleep 2
done
newest events/ >"$work/after" || true
moved=$(comm -13 <(sort "$work/before") <(sort "$work/after") | tail -1)
[ -n "$moved" ] || fail "$event_id is not in s3://$bucket/events/ after $within s, and shard $shard has committed nothing"
echo "behind a backlog: not in the lake after $within s, but shard $shard moves, s3://$bucket/$moved"
