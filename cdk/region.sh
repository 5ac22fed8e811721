# shellcheck shell=bash
# The region under both of its names, for whatever is run from here. Sourced.
# The CDK and most SDKs read AWS_REGION, the AWS CLI 1 and boto3 read AWS_DEFAULT_REGION alone
# (https://docs.aws.amazon.com/sdkref/latest/guide/feature-region.html): with one of them set, or with both set differently,
# two tools of one deployment would act in two regions. AWS_REGION counts, then AWS_DEFAULT_REGION, then the configuration.
if [ -z "${AWS_REGION:-}" ]; then
    AWS_REGION=${AWS_DEFAULT_REGION:-$("${AWS_CLI:-aws}" configure get region 2>/dev/null || true)}
fi
if [ -n "$AWS_REGION" ]; then
    export AWS_REGION AWS_DEFAULT_REGION=$AWS_REGION
else
    unset AWS_REGION
fi
