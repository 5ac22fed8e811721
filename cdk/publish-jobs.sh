#!/usr/bin/env bash
# Puts the report job where the schedule finds it: s3://<artifacts bucket>/jobs/. (emr/submit brings its own copy.)
# Environment: NAME (tributary); account, region and endpoint as for every AWS tool.
set -euo pipefail
cd "$(dirname "$0")/.."

aws=aws
[ ! -x .local/venv/stack/bin/aws ] || aws=.local/venv/stack/bin/aws
export AWS_PAGER=''
call() {
    "$aws" ${AWS_ENDPOINT_URL:+--endpoint-url "$AWS_ENDPOINT_URL"} "$@"
}

region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$("$aws" configure get region || true)}}
: "${region:?set AWS_REGION to the region of the deployment}"
account=$(call sts get-caller-identity --query Account --output text)
jobs=s3://${NAME:-tributary}-artifacts-$account-$region/jobs

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
PYTHONPATH=emr PYTHONDONTWRITEBYTECODE=1 python3 - "$folder" <<'PYTHON'
import sys
from pathlib import Path

from tributary_emr.artifacts import artifacts

report = artifacts("report")
for key, content in ((report.package_key, report.package), (report.entry_point_key, report.entry_point)):
    Path(sys.argv[1], Path(key).name).write_bytes(content)
PYTHON
# The package goes first: an entry point never finds an older one beside it.
for file in tributary_emr.zip report.py; do
    call s3 cp --only-show-errors "$folder/$file" "$jobs/$file"
done
echo "$jobs"
