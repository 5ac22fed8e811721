#!/usr/bin/env bash
# Puts grafana/dashboards into the Amazon Managed Grafana workspace of the deployment (managedGrafana), with CloudWatch as their
# data source. Repeatable: dashboards are known by their uid. It makes a service account for these minutes and deletes it
# (https://docs.aws.amazon.com/grafana/latest/userguide/service-accounts.html).
# Environment: NAME; GRAFANA_URL (the workspace's address); account, region as for every AWS tool.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=cdk/aws.sh
. cdk/aws.sh

output() {
    local value
    value=$(call cloudformation describe-stacks --stack-name "$name-monitoring" \
        --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue")
    [ -n "$value" ] && [ "$value" != None ] || fail "$name-monitoring has no $1: deploy it with managedGrafana=true first"
    echo "$value"
}

workspace=$(output GrafanaId)
url=${GRAFANA_URL:-https://$(output GrafanaEndpoint)}
deployed_to=$(region)

work=$(mktemp -d)
service_account=''
clean_up() {
    [ -z "$service_account" ] || call grafana delete-workspace-service-account --workspace-id "$workspace" \
        --service-account-id "$service_account" >"$work/answer"
    rm -rf "$work"
}
trap clean_up EXIT
# A data source is an administrator's to make.
service_account=$(call grafana create-workspace-service-account --workspace-id "$workspace" --grafana-role ADMIN \
    --name "tributary-deploy-$(date -u +%Y%m%dT%H%M%SZ)-$$" --query id)
(
    umask 077
    printf 'Authorization: Bearer %s' "$(call grafana create-workspace-service-account-token --workspace-id "$workspace" \
        --service-account-id "$service_account" --name deploy --seconds-to-live 900 --query serviceAccountToken.key)" >"$work/header"
)

# Any status of those named is an answer; the token is in a file, where no list of processes shows it.
post() { # path, file, statuses that are well
    local status
    status=$(curl --silent --show-error --header "@$work/header" --header 'Content-Type: application/json' \
        --data "@$2" --output "$work/answer" --write-out '%{http_code}' "$url$1")
    [[ " $3 " == *" $status "* ]] || fail "$url$1 answers $status: $(head -c 300 "$work/answer")"
}

# 409: there is one of that name.
printf '{"name": "CloudWatch", "type": "cloudwatch", "access": "proxy", "isDefault": true,
    "jsonData": {"authType": "ec2_iam_role", "defaultRegion": "%s"}}' "$deployed_to" >"$work/datasource.json"
post /api/datasources "$work/datasource.json" '200 409'
for file in grafana/dashboards/*.json; do
    { printf '{"overwrite": true, "message": "make deploy-dashboards", "dashboard": ' && cat "$file" && printf '}'; } >"$work/dashboard.json"
    post /api/dashboards/db "$work/dashboard.json" 200
    echo "$url: $(basename "$file" .json)"
done
