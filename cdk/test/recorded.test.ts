/** Every request that a part really made is allowed by its role, and every permission of a role has been used by one. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import {
  ACCOUNT,
  guardOf,
  implied,
  isAllowed,
  policiesOf,
  REGION,
  type Policies,
  type Policy,
  type Request,
} from "./iam.ts";
import { KAFKA, make, MSK, MSK_IAM } from "./support.ts";
import { UNRECORDED } from "./unrecorded.ts";

interface Recorded extends Request {
  readonly principal: string;
  readonly missing?: boolean;
}

/** What `make record-permissions` has seen. Numbers and ids in names are 0 there. */
const RECORDED = Object.values(
  JSON.parse(readFileSync(new URL("recorded-requests.json", import.meta.url), "utf8")) as Record<string, Recorded[]>,
)
  .flat()
  // Lambda publishes AWS/Lambda by itself, without anybody's role.
  .filter(({ principal, action }) => !principal.startsWith("poller-") || action.startsWith("kinesis:"));

/** Whose role a part has on AWS. Lambda's pollers have the function's; they are played by the local event source. */
const ROLES: Readonly<Record<string, string>> = {
  "ingest-kinesis": "ingest/KinesisIngestRole",
  "poller-kinesis": "ingest/KinesisIngestRole",
  "ingest-redpanda": "ingest/KafkaIngestRole",
  report: "query/NightlyJobRole",
  averages: "query/NightlyJobRole",
  compact: "query/NightlyJobRole",
  "report-table": "query/NightlyJobRole",
  "validate-table": "query/NightlyJobRole",
  validate: "query/NightlyJobRole",
  deploy: "deploy-role/Role",
  redrive: "ingest/RedriveRole",
};

const bucket = (suffix: string): string => `arn:aws:s3:::tributary-${suffix}-${ACCOUNT}-${REGION}`;

/** The recording's names in place of which stands what the deployment `tributary` calls them. */
function deployed({ action, resource, context }: Recorded): Request {
  const named = resource
    .replace(/^arn:aws:s3:::(\w+(-\w+)?)(?=\/|$)/, (_, suffix: string) => bucket(suffix))
    .replace(/:stream\/events$/, ":stream/tributary-events")
    .replace(/:function:(?=[\w-]+)/, ":function:tributary-")
    .replace(/:role\/job$/, ":role/NightlyJobRole")
    .replace(/(:glue:.+:(?:database|table))\/history(?=\/|$)/, "$1/tributary_history");
  return { action, resource: named, ...(context ? { context } : {}) };
}

const show = ({ action, resource, context }: Request): string =>
  `${action} on ${resource}${context ? ` with ${JSON.stringify(context)}` : ""}`;

/** What of a part's requests is refused. */
async function refusals(principal: string, policy: Policy, policies: Policies, role?: string): Promise<string[]> {
  const refused: string[] = [];
  for (const recorded of RECORDED.filter((each) => each.principal === principal)) {
    const request = deployed(recorded);
    const missing = recorded.missing === true;
    for (const each of [request, ...implied(request, missing, policies.encrypted)]) {
      if (await isAllowed(each, policy, guardOf(each, policies), role)) continue;
      refused.push(each === request ? show(each) : `${show(each)}, for ${show(request)}`);
    }
  }
  return refused;
}

test("every part that a role is for has been recorded, and nobody else", () => {
  const found = new Set(RECORDED.map(({ principal }) => principal));
  assert.deepEqual([...found].sort(), [...Object.keys(ROLES), "submit", "submit-cluster"].sort());
});

for (const [variant, given] of Object.entries({
  "S3's own keys": {},
  "a key of the deployment": { kmsKey: "create" },
})) {
  const policies = policiesOf(make({ ...given, kafka: KAFKA }));
  for (const [principal, role] of Object.entries(ROLES)) {
    test(`what ${principal} asks for is allowed to its role, with ${variant}`, async () => {
      const policy = policies.roles.get(role);
      assert(policy, role);
      assert.deepEqual(await refusals(principal, policy, policies, policies.roleNames.get(role)), []);
    });
  }
}

/** `emr/submit-policy.json`, with the names of the recording in place of its own. */
function submitters(): Policy {
  const text = readFileSync(new URL("../../emr/submit-policy.json", import.meta.url), "utf8");
  const filled = text
    .replaceAll("REGION", REGION)
    .replaceAll("ACCOUNT", ACCOUNT)
    .replaceAll("/APPLICATION", "/0")
    .replaceAll("JOB_ROLE_ARN", `arn:aws:iam::${ACCOUNT}:role/NightlyJobRole`)
    .replaceAll("/CLUSTER", "/j-0")
    .replaceAll("arn:aws:s3:::ARTIFACTS", bucket("artifacts"))
    .replaceAll("arn:aws:s3:::LAKE", bucket("lake"));
  return JSON.parse(filled) as Policy;
}

for (const principal of ["submit", "submit-cluster"]) {
  test(`what ${principal} asks for is what emr/submit-policy.json allows`, async () => {
    assert.deepEqual(await refusals(principal, submitters(), policiesOf(make())), []);
  });
}

test("emr/submit-policy.json allows nothing that is not asked for", () => {
  // Moto has no such action, so that nothing came as far.
  const unseen = ["elasticmapreduce:CancelSteps", "elasticmapreduce:GetPersistentAppUIPresignedURL"];
  const asked = new Set(RECORDED.filter(({ principal }) => principal.startsWith("submit")).map(({ action }) => action));
  const allowed = submitters().Statement.flatMap(({ Action }) => list(Action));
  assert.deepEqual(
    allowed.filter((action) => !asked.has(action) && !unseen.includes(action)),
    [],
  );
});

const list = (value: string | readonly string[]): readonly string[] => (typeof value === "string" ? [value] : value);

interface Permission {
  readonly role: string;
  readonly alone: Policy;
  readonly policies: Policies;
}

/** `role Sid action` of every permission that all variants give. */
function permissions(all: Policies[]): Map<string, Permission> {
  const found = new Map<string, Permission>();
  for (const policies of all) {
    for (const [role, { Version, Statement }] of policies.roles) {
      for (const statement of Statement) {
        for (const action of list(statement.Action)) {
          const alone = { Version, Statement: [{ ...statement, Action: action }] };
          found.set(`${role} ${statement.Sid} ${action}`, { role, alone, policies });
        }
      }
    }
  }
  return found;
}

const EVERY_VARIANT = [{ kmsKey: "create", kafka: MSK, managedGrafana: true }, { kafka: MSK_IAM }, { kafka: KAFKA }];

test("every permission of a role is used by a recorded request, or says why it is there", async () => {
  const all = EVERY_VARIANT.map((given) => policiesOf(make(given)));
  const unused: string[] = [];
  for (const [name, { role, alone, policies }] of permissions(all)) {
    const parts = Object.entries(ROLES).filter(([, each]) => each === role);
    const requests = RECORDED.filter(({ principal }) => parts.some(([part]) => part === principal)).flatMap((each) => {
      const request = deployed(each);
      return [request, ...implied(request, each.missing === true, true)];
    });
    const used = await Promise.all(
      requests
        .filter(({ action }) => name.endsWith(` ${action}`))
        .map((request) => isAllowed(request, alone, guardOf(request, policies), policies.roleNames.get(role))),
    );
    if (!used.includes(true)) unused.push(name);
  }
  const reasons = new Map(
    UNRECORDED.flatMap(({ role, sid, actions, why }) => actions.map((action) => [`${role} ${sid} ${action}`, why])),
  );
  assert.deepEqual(
    unused.filter((name) => !reasons.has(name)),
    [],
    "used by nothing that was recorded, and no reason is given",
  );
  assert.deepEqual(
    [...reasons.keys()].filter((name) => !unused.includes(name)),
    [],
    "a reason is given in vain",
  );
});

test("the finding that this is for: a role that lists by prefix alone is refused the bare key of a folder", async () => {
  const policies = policiesOf(make());
  const prefixAlone: Policy = {
    Version: "2012-10-17",
    Statement: [
      { Sid: "List", Effect: "Allow", Action: "s3:ListBucket", Resource: bucket("lake"), ...underEvents },
      { Sid: "Read", Effect: "Allow", Action: "s3:GetObject", Resource: `${bucket("lake")}/events/*` },
    ],
  };
  const refused = await refusals("report", prefixAlone, policies);
  assert(refused.includes(`s3:GetObject on ${bucket("lake")}/events`), refused.join("\n"));
  assert(refused.some((each) => each.startsWith(`s3:ListBucket on ${bucket("lake")}, for`)));
});

const underEvents = { Condition: { StringLike: { "s3:prefix": ["events", "events/*"] } } };

test("the table and the tags by which objects expire are the jobs' alone, whatever a role of the account may do", async () => {
  const policies = policiesOf(make());
  const everything: Policy = {
    Version: "2012-10-17",
    Statement: [{ Sid: "All", Effect: "Allow", Action: "s3:*", Resource: "*" }],
  };
  const jobRole = policies.roleNames.get("query/NightlyJobRole");
  assert.equal(jobRole, `tributary-job-${REGION}`);
  const on = (action: string, key: string): Request => ({ action, resource: `${bucket("lake")}/${key}` });
  for (const request of [
    on("s3:PutObject", "table/history/events/metadata/1.json"),
    on("s3:DeleteObject", "table/history/events/data/1.parquet"),
    on("s3:PutObjectTagging", "events/date=2026-11-22/1.parquet"),
    on("s3:PutObjectTagging", "rollups/date=2026-11-22/1.parquet"),
  ]) {
    assert.equal(await isAllowed(request, everything, guardOf(request, policies), jobRole), true, show(request));
    assert.equal(await isAllowed(request, everything, guardOf(request, policies), "admin"), false, show(request));
  }
  for (const prefix of ["events", "rollups", "quarantine"]) {
    const request = on("s3:DeleteObject", `${prefix}/date=2026-11-22/1.parquet`);
    assert.equal(await isAllowed(request, everything, guardOf(request, policies), jobRole), false, show(request));
  }
});
