#!/usr/bin/env bash
# Creates the bucket, the stream and the on-failure queue, or brings those that exist to the state described here. Safe to
# repeat: it deletes nothing and resets no data. With AWS_ENDPOINT_URL set it talks to the local stack, without it to the
# account and region of the AWS CLI's usual configuration.
#
#   TRIBUTARY_BUCKET            bucket name (required; unique world-wide on AWS)
#   BROKER                      default kinesis; redpanda: the stream is a topic, which `event-source topic` makes
#   TRIBUTARY_STREAM            default tributary-events
#   TRIBUTARY_SHARDS            default 4; sets the count of a new stream, never changes an existing one
#   TRIBUTARY_RETENTION_HOURS   default 24; 24..8760; only ever raised
#   TRIBUTARY_ON_FAILURE_QUEUE  default tributary-on-failure
#   TRIBUTARY_KMS_KEY           a KMS key (id, ARN or alias) for bucket and stream; default: SSE-S3 and Kinesis' own key
#   TRIBUTARY_QUARANTINE_DAYS   default 90; quarantined records are deleted after so many days
#
# The bucket gets the rules that the CDK gives it, from cdk/lib/lake-bucket. Versioning stays off: every object is created
# once and never overwritten, so there are no versions to keep.
# shellcheck source=local-stack/set-up/shell.sh
. "$(dirname -- "$0")/set-up/shell.sh"
cd -- "$(dirname -- "$0")/.."

bucket=${TRIBUTARY_BUCKET:?set TRIBUTARY_BUCKET to the name of the bucket}
broker=${BROKER:-kinesis}
stream=${TRIBUTARY_STREAM:-tributary-events}
shards=${TRIBUTARY_SHARDS:-4}
retention=${TRIBUTARY_RETENTION_HOURS:-24}
queue=${TRIBUTARY_ON_FAILURE_QUEUE:-tributary-on-failure}
key=${TRIBUTARY_KMS_KEY:-}
quarantine_days=${TRIBUTARY_QUARANTINE_DAYS:-90}

positive() { # name, value
    if ! [[ $2 =~ ^[1-9][0-9]{0,5}$ ]]; then
        echo "provision: $1 is '$2'; it must be a whole number above 0" >&2
        exit 1
    fi
}
positive TRIBUTARY_SHARDS "$shards"
positive TRIBUTARY_RETENTION_HOURS "$retention"
positive TRIBUTARY_QUARANTINE_DAYS "$quarantine_days"

aws=aws
[ ! -x .local/venv/stack/bin/aws ] || aws=.local/venv/stack/bin/aws
export AWS_PAGER='' AWS_DEFAULT_OUTPUT=text AWS_CLI=$aws
# shellcheck source=cdk/region.sh
. cdk/region.sh

call() {
    "$aws" ${AWS_ENDPOINT_URL:+--endpoint-url "$AWS_ENDPOINT_URL"} "$@"
}

# Runs a call that creates something; an answer that says it is there already is as good.
create() { # pattern of that answer, call
    local exists=$1 said
    shift
    if ! said=$(call "$@" 2>&1) && ! grep -qE "$exists" <<<"$said"; then
        echo "provision: aws $1 $2: ${said#$'\n'}" >&2
        return 1
    fi
}

rules() { # partition, file of cdk/lib/lake-bucket: its text, about this bucket
    sed -e "s|\${bucket}|$bucket|g" -e "s|\${partition}|$1|g" -e "s|\"\${quarantineDays}\"|$quarantine_days|g" \
        "cdk/lib/lake-bucket/$2"
}

make_bucket() {
    local region partition=aws location=() encryption='{"SSEAlgorithm": "AES256"}'
    region=${AWS_REGION:-us-east-1}
    case $region in
    cn-*) partition='aws-cn' ;;
    us-gov-*) partition='aws-us-gov' ;;
    esac
    # us-east-1 is the one region that must not be named.
    [ "$region" = us-east-1 ] || location=(--create-bucket-configuration "LocationConstraint=$region")
    create BucketAlreadyOwnedByYou s3api create-bucket --bucket "$bucket" "${location[@]+"${location[@]}"}"

    [ -z "$key" ] || encryption="{\"SSEAlgorithm\": \"aws:kms\", \"KMSMasterKeyID\": \"$key\"}"
    local waits=()
    call s3api put-public-access-block --bucket "$bucket" --public-access-block-configuration \
        'BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true' &
    waits+=($!)
    call s3api put-bucket-encryption --bucket "$bucket" --server-side-encryption-configuration \
        "{\"Rules\": [{\"ApplyServerSideEncryptionByDefault\": $encryption, \"BucketKeyEnabled\": true}]}" >/dev/null &
    waits+=($!)
    call s3api put-bucket-ownership-controls --bucket "$bucket" --ownership-controls \
        'Rules=[{ObjectOwnership=BucketOwnerEnforced}]' &
    waits+=($!)
    # LocalStack keeps the policy without enforcing it, so its plain-HTTP endpoint goes on working.
    call s3api put-bucket-policy --bucket "$bucket" --policy "$(rules "$partition" policy.json)" &
    waits+=($!)
    call s3api put-bucket-lifecycle-configuration --bucket "$bucket" \
        --lifecycle-configuration "$(rules "$partition" lifecycle.json)" >/dev/null &
    waits+=($!)
    all "${waits[@]}"
}

# Waits until the stream can be changed; prints its retention in hours and its encryption type.
active_stream() {
    local status retained encryption
    for _ in $(seq 60); do
        read -r status retained encryption < <(call kinesis describe-stream-summary --stream-name "$stream" \
            --query 'StreamDescriptionSummary.[StreamStatus, RetentionPeriodHours, EncryptionType]')
        if [ "$status" = ACTIVE ]; then
            echo "$retained $encryption"
            return
        fi
        sleep 2
    done
    echo "provision: stream $stream is still ${status:-not described} after two minutes" >&2
    return 1
}

make_stream() {
    local state retained encryption
    create ResourceInUseException kinesis create-stream --stream-name "$stream" --shard-count "$shards"
    state=$(active_stream)
    read -r retained encryption <<<"$state"
    if [ "$retained" -lt "$retention" ]; then
        call kinesis increase-stream-retention-period --stream-name "$stream" --retention-period-hours "$retention"
        active_stream >/dev/null
    fi
    # The stream can be written and read while the encryption is being switched on.
    if [ "$encryption" != KMS ]; then
        call kinesis start-stream-encryption --stream-name "$stream" --encryption-type KMS \
            --key-id "${key:-alias/aws/kinesis}"
    fi
}

make_queue() {
    # 14 days, the longest that SQS keeps a message: time enough to find and redrive a failed batch.
    create QueueAlreadyExists sqs create-queue --queue-name "$queue" \
        --attributes SqsManagedSseEnabled=true,MessageRetentionPeriod=1209600
}

all() { # process ids; fails if one of them failed
    local process status=0
    for process in "$@"; do wait "$process" || status=1; done
    return "$status"
}

made=()
make_bucket &
made+=($!)
make_queue &
made+=($!)
if [ "$broker" = kinesis ]; then
    make_stream &
    made+=($!)
fi
all "${made[@]}"
[ "$broker" = kinesis ] && what="stream $stream, "
echo "bucket $bucket, ${what:-}queue $queue"
