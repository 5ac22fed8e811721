# shellcheck shell=sh
# The names and addresses that every part of the local stack shares. Each can be overridden by an environment variable
# of the same name. Sourced by the Makefile's recipes, and by a shell that wants to look at the stack:
#     . local-stack/env.sh && .local/venv/stack/bin/aws s3 ls "s3://$TRIBUTARY_BUCKET/events/"

export AWS_ENDPOINT_URL="${AWS_ENDPOINT_URL:-http://127.0.0.1:4566}"
export AWS_REGION="${AWS_REGION:-us-east-1}"
export AWS_DEFAULT_REGION="$AWS_REGION" # the name that the AWS CLI reads

# LocalStack takes any key. A profile or a session of a real account must not get in between.
export AWS_ACCESS_KEY_ID="${AWS_ACCESS_KEY_ID:-test}"
export AWS_SECRET_ACCESS_KEY="${AWS_SECRET_ACCESS_KEY:-test}"
export AWS_EC2_METADATA_DISABLED=true
unset AWS_PROFILE AWS_SESSION_TOKEN

export TRIBUTARY_BUCKET="${TRIBUTARY_BUCKET:-tributary-lake}"
export TRIBUTARY_STREAM="${TRIBUTARY_STREAM:-tributary-events}"
export TRIBUTARY_BROKERS="${TRIBUTARY_BROKERS:-127.0.0.1:9092}" # of the topic, with BROKER=redpanda
export TRIBUTARY_SHARDS="${TRIBUTARY_SHARDS:-4}"
export TRIBUTARY_ON_FAILURE_QUEUE="${TRIBUTARY_ON_FAILURE_QUEUE:-tributary-on-failure}"

# A proxy of the surrounding network has no way to this machine's loopback interface.
export NO_PROXY="${NO_PROXY:+$NO_PROXY,}127.0.0.1,localhost"
export no_proxy="$NO_PROXY"
