# shellcheck shell=sh
# The names and addresses that every part of the local stack shares; TRIBUTARY_… and AWS_ENDPOINT_URL can be overridden by
# the environment. `closed` adds it to the environment of every verb; a shell that wants to look at the stack sources it:
#     . local-stack/env.sh && .local/venv/stack/bin/aws s3 ls "s3://$TRIBUTARY_BUCKET/events/"

# Of the many ways to point an AWS SDK somewhere else (an endpoint for one service, a profile, FIPS, …) none is left.
for tributary_name in $(env | sed -n 's/^\(AWS_[A-Za-z0-9_]*\)=.*/\1/p'); do
    [ "$tributary_name" = AWS_ENDPOINT_URL ] || unset "$tributary_name"
done
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
# LocalStack takes any key, but one of 12 digits for the id of an account.
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
export AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1 # the latter is the name that the AWS CLI reads

export AWS_ENDPOINT_URL="${AWS_ENDPOINT_URL:-http://127.0.0.1:4566}"
export TRIBUTARY_BROKERS="${TRIBUTARY_BROKERS:-127.0.0.1:9092}" # of the topic, with BROKER=redpanda
export TRIBUTARY_SPARK_MASTER="${TRIBUTARY_SPARK_MASTER:-local[2]}"
export TRIBUTARY_BUCKET="${TRIBUTARY_BUCKET:-tributary-lake}"
export TRIBUTARY_STREAM="${TRIBUTARY_STREAM:-tributary-events}"
export TRIBUTARY_SHARDS="${TRIBUTARY_SHARDS:-4}"
export TRIBUTARY_ON_FAILURE_QUEUE="${TRIBUTARY_ON_FAILURE_QUEUE:-tributary-on-failure}"

# A proxy of the surrounding network has no way to this machine's loopback interface.
export NO_PROXY="${NO_PROXY:+$NO_PROXY,}127.0.0.1,localhost"
export no_proxy="$NO_PROXY"

# A name may be looked up anywhere, so that the one for this machine is not handed on.
for tributary_name in AWS_ENDPOINT_URL=http:// TRIBUTARY_BROKERS=; do
    tributary_scheme=${tributary_name#*=}
    tributary_name=${tributary_name%%=*}
    tributary_value=
    eval "tributary_value=\$$tributary_name"
    tributary_port=${tributary_value%/}
    tributary_port=${tributary_port##*:}
    case $tributary_port in *[!0-9]* | '') tributary_port=none ;; esac
    case ${tributary_value%/} in
    "${tributary_scheme}127.0.0.1:$tributary_port" | "${tributary_scheme}localhost:$tributary_port")
        export "$tributary_name=${tributary_scheme}127.0.0.1:$tributary_port"
        ;;
    *)
        echo "$tributary_name is '$tributary_value'; the local stack needs ${tributary_scheme}127.0.0.1:PORT" >&2
        return 1
        ;;
    esac
done
case $TRIBUTARY_SPARK_MASTER in
local | local\[*\]) ;;
*)
    echo "TRIBUTARY_SPARK_MASTER is '$TRIBUTARY_SPARK_MASTER'; the local stack needs local[CORES]" >&2
    return 1
    ;;
esac
unset tributary_name tributary_scheme tributary_value tributary_port
