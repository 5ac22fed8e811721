/** The scripts of this folder, over an AWS CLI that is played: which version is live after what, and in which region. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

import { elfHeader } from "./support.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FAKE = fileURLToPath(new URL("fake-aws.mjs", import.meta.url));

interface Version {
  readonly code: string;
  readonly config: string;
}

interface State {
  functions: Record<
    string,
    { latest: Version; versions: Record<string, Version>; aliases: Record<string, string>; weights?: string }
  >;
  calls: string[];
  alarms?: string[];
  configuredRegion?: string;
  outputs?: Record<string, string>;
}

/** An account with whatever CloudFormation and the scripts have made in it. */
class Account {
  readonly folder = mkdtempSync(join(tmpdir(), "tributary-scripts-"));
  private readonly file = join(this.folder, "state.json");

  constructor(given: Partial<State> = {}) {
    writeFileSync(this.file, JSON.stringify({ functions: {}, calls: [], ...given }));
    // Passes what does not call itself broken, like a row that reaches the lake.
    writeFileSync(
      join(this.folder, "smoke-test"),
      `#!/usr/bin/env bash
node -e '
const { functions } = JSON.parse(require("fs").readFileSync(process.env.FAKE_AWS_STATE));
const { versions, aliases } = functions[process.env.NAME + "-ingest-kinesis"];
process.exit(versions[aliases.live].code.startsWith("broken") ? 1 : 0)'
`,
      { mode: 0o755 },
    );
  }

  get state(): State {
    return JSON.parse(readFileSync(this.file, "utf8")) as State;
  }

  change(how: (state: State) => void): void {
    const state = this.state;
    how(state);
    writeFileSync(this.file, JSON.stringify(state));
  }

  /** CloudFormation makes the function with its first version and the alias. */
  create(code: string, name = "tributary", config = "a"): void {
    this.change(({ functions }) => {
      const first = { code, config };
      functions[`${name}-ingest-kinesis`] = { latest: { ...first }, versions: { 1: first }, aliases: { live: "1" } };
    });
  }

  destroy(name = "tributary"): void {
    this.change(({ functions }) => {
      // eslint-disable-next-line @typescript-eslint/no-dynamic-delete
      delete functions[`${name}-ingest-kinesis`];
    });
  }

  /** CloudFormation brings code and settings into $LATEST, forth or back. */
  stack(latest: Version, name = "tributary"): void {
    this.change(({ functions }) => {
      const made = functions[`${name}-ingest-kinesis`];
      assert(made);
      made.latest = latest;
    });
  }

  private environment(more: Record<string, string | undefined>): Record<string, string | undefined> {
    return {
      PATH: process.env.PATH,
      HOME: this.folder,
      AWS_CLI: FAKE,
      FAKE_AWS_STATE: this.file,
      NAME: "tributary",
      AWS_REGION: "eu-west-1",
      ARTIFACTS: join(this.folder, "artifacts"),
      SMOKE_TEST: join(this.folder, "smoke-test"),
      ...more,
    };
  }

  /** Runs a script while this process goes on, so that it can be its server. */
  async serving(script: string, more: Record<string, string>): Promise<{ status: number | null; said: string }> {
    const child = spawn(join(ROOT, script), { env: this.environment(more) });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (said += data.toString()));
    const status = await new Promise<number | null>((resolve) => child.on("close", resolve));
    return { status, said };
  }

  /** Runs a command, by default of functions.sh; gives back its status and what it said. */
  run(command: string[], more: Record<string, string | undefined> = {}, script = "cdk/functions.sh") {
    const environment = this.environment(more);
    const { status, stdout, stderr } = spawnSync(join(ROOT, script), command, { encoding: "utf8", env: environment });
    return { status, said: stdout + stderr };
  }

  build(code: string): void {
    mkdirSync(join(this.folder, "artifacts/ingest-kinesis"), { recursive: true });
    const program = Buffer.concat([elfHeader(0xb7), Buffer.from(`code:${code};`)]);
    writeFileSync(join(this.folder, "artifacts/ingest-kinesis/bootstrap"), program);
    writeFileSync(join(this.folder, "artifacts/ingest-kinesis/contract.toml"), "the contract");
  }

  deploy(code: string, more: Record<string, string> = {}) {
    this.build(code);
    return this.run(["deploy"], more);
  }

  live(name = "tributary"): Version {
    const made = this.state.functions[`${name}-ingest-kinesis`];
    const version = made?.versions[made.aliases.live ?? ""];
    assert(version, "there is a live version");
    return version;
  }
}

type Step = [what: (account: Account) => unknown, live: string];
const good = (account: Account, { status, said }: { status: number | null; said: string }): void => {
  assert.equal(status, 0, said);
  assert.equal(
    account.state.functions["tributary-ingest-kinesis"]?.weights ?? "AdditionalVersionWeights={}",
    "AdditionalVersionWeights={}",
  );
};
const bad = ({ status, said }: { status: number | null; said: string }): void => {
  assert.equal(status, 1, said);
};

/** `live` is the newest code that passed its smoke test, after any of these. "code/settings" of what is live after each step. */
const SEQUENCES: Readonly<Record<string, Step[]>> = {
  "a first deployment that failed, and a second with newer code": [
    [
      (account) => {
        account.create("one");
        account.destroy();
        account.create("two");
        good(account, account.run(["promote"]));
      },
      "two/a",
    ],
  ],
  "destroyed and deployed again": [
    [
      (account) => {
        account.create("one");
        good(account, account.run(["promote"]));
      },
      "one/a",
    ],
    [
      (account) => {
        account.destroy();
        account.create("two");
        good(account, account.run(["promote"]));
      },
      "two/a",
    ],
  ],
  "a change of settings that CloudFormation takes back, after new code": [
    [
      (account) => {
        account.create("one");
        good(account, account.deploy("two"));
      },
      "two/a",
    ],
    [
      (account) => {
        account.stack({ code: "one", config: "b" });
      },
      "two/a",
    ],
    [
      (account) => {
        account.stack({ code: "one", config: "a" });
      },
      "two/a",
    ],
  ],
  "new code, then a stack with new settings": [
    [
      (account) => {
        account.create("one");
        good(account, account.deploy("two"));
      },
      "two/a",
    ],
    [
      (account) => {
        account.stack({ code: "two", config: "b" });
        good(account, account.run(["promote"]));
      },
      "two/b",
    ],
  ],
  "code that fails, then a stack with new settings": [
    [
      (account) => {
        account.create("one");
        bad(account.deploy("broken"));
      },
      "one/a",
    ],
    [
      (account) => {
        account.change(({ functions }) => {
          const made = functions["tributary-ingest-kinesis"];
          if (made) made.latest = { ...made.latest, config: "b" };
        });
        good(account, account.run(["promote"]));
      },
      "one/b",
    ],
  ],
  "a second name beside the first": [
    [
      (account) => {
        account.create("one");
        good(account, account.deploy("two"));
        account.create("three", "second");
        assert.equal(account.run(["promote"], { NAME: "second" }).status, 0);
        assert.equal(account.live("second").code, "three");
      },
      "two/a",
    ],
  ],
  "back to what was live before, not to what failed in between, and forth again": [
    [
      (account) => {
        account.create("one");
        good(account, account.deploy("two"));
        bad(account.deploy("broken"));
        bad(account.deploy("crashing"));
      },
      "two/a",
    ],
    [
      (account) => {
        good(account, account.run(["rollback"]));
      },
      "one/a",
    ],
    [
      (account) => {
        good(account, account.run(["rollback"]));
      },
      "two/a",
    ],
    [
      (account) => {
        good(account, account.run(["rollback", "1"]));
      },
      "one/a",
    ],
    // What was taken back is not what the next settings are made with.
    [
      (account) => {
        account.change(({ functions }) => {
          const made = functions["tributary-ingest-kinesis"];
          if (made) made.latest = { ...made.latest, config: "b" };
        });
        good(account, account.run(["promote"]));
      },
      "one/b",
    ],
  ],
};

for (const [name, steps] of Object.entries(SEQUENCES)) {
  test(`live is the newest code that passed: ${name}`, () => {
    const account = new Account();
    for (const [what, live] of steps) {
      what(account);
      const { code, config } = account.live();
      assert.equal(`${code}/${config}`, live);
    }
  });
}

test("code that does not answer a batch of no records never goes live, and says so", () => {
  const account = new Account();
  account.create("one");
  const { status, said } = account.deploy("crashing");
  assert.equal(status, 1);
  assert.match(said, /version 2 does not answer a batch of no records/);
  assert(!account.state.calls.some((call) => call.startsWith("lambda update-alias")), "live was never moved");
});

test("a canary that raises an alarm is taken back, and one that was on before does not count", () => {
  const account = new Account({ alarms: ["tributary-LagHigh"] });
  account.create("one");
  const canary = { CANARY_PERCENT: "10", CANARY_MINUTES: "0", CANARY_POLL: "0" };
  good(account, account.deploy("two", canary));
  const raised = new Account();
  raised.create("one");
  raised.build("two");
  // The alarm comes on between the first look and the second.
  writeFileSync(
    join(raised.folder, "aws"),
    `#!/usr/bin/env bash
case " $* " in *" cloudwatch "*) [ -e "${raised.folder}/looked" ] && { echo tributary-FunctionErrors; exit; }; touch "${raised.folder}/looked"; exit ;; esac
exec ${FAKE} "$@"
`,
    { mode: 0o755 },
  );
  const { status, said } = raised.run(["deploy"], {
    ...canary,
    CANARY_MINUTES: "1",
    AWS_CLI: join(raised.folder, "aws"),
  });
  assert.equal(status, 1, said);
  assert.match(said, /version 2 has raised tributary-FunctionErrors: live stays version 1/);
  assert.equal(raised.live().code, "one");
  assert.equal(raised.state.functions["tributary-ingest-kinesis"]?.weights, "AdditionalVersionWeights={}");
});

test("a canary that cannot be set up is no canary that has passed", () => {
  const account = new Account();
  account.create("one");
  account.build("two");
  const aws = join(account.folder, "aws");
  writeFileSync(aws, `#!/usr/bin/env bash\ncase " $* " in *"Weights={2="*) exit 1 ;; esac\nexec ${FAKE} "$@"\n`, {
    mode: 0o755,
  });
  bad(account.run(["deploy"], { AWS_CLI: aws, CANARY_PERCENT: "10", CANARY_MINUTES: "0" }));
  assert.equal(account.live().code, "one");
});

test("there is nothing to go back to before there was something else, and no version that never was", () => {
  const account = new Account();
  account.create("one");
  assert.match(account.run(["rollback"]).said, /live is version 1, and none was live before it/);
  assert.match(account.run(["rollback", "7"]).said, /there is no version 7/);
  assert.match(account.run(["promote"], { CANARY_PERCENT: "100" }).said, /CANARY_PERCENT is '100', must be/);
});

test("without a function there is one line that says what comes first", () => {
  const { status, said } = new Account().run(["promote"]);
  assert.equal(status, 1);
  assert.equal(
    said,
    "functions.sh: there is no function tributary-ingest-kinesis with an alias 'live': make deploy comes first\n",
  );
});

test("name, architecture and functions are those of cdk.json, unless the environment says otherwise", () => {
  const account = new Account();
  account.create("one", "events");
  const settings = join(account.folder, "cdk.json");
  writeFileSync(settings, JSON.stringify({ context: { tributary: { name: "events" } } }));
  const given = { CDK_JSON: settings, NAME: undefined };
  assert.match(account.run(["status"], given).said, /^events-ingest-kinesis: live is version 1, before it none$/m);
  writeFileSync(
    settings,
    JSON.stringify({ context: { tributary: { name: "events", stream: false, kafka: { topic: "t" } } } }),
  );
  assert.match(account.run(["status"], given).said, /there is no function events-ingest-redpanda/);
  assert.match(account.run(["status"], { ...given, NAME: "other" }).said, /there is no function other-ingest-redpanda/);
});

test("both names of the region are set for every tool, whichever was given; AWS_REGION counts, and then the configuration", () => {
  const region = (given: Record<string, string | undefined>, configuredRegion?: string): string => {
    const account = new Account(configuredRegion === undefined ? {} : { configuredRegion });
    account.create("one");
    account.run(["status"], { AWS_REGION: undefined, ...given });
    const calls = account.state.calls.filter((call) => call.startsWith("lambda"));
    assert(calls.length > 0);
    const [first = ""] = new Set(calls.map((call) => call.split(" ").slice(2).join(" ")));
    return first;
  };
  assert.equal(region({ AWS_REGION: "eu-west-1" }), "eu-west-1 eu-west-1");
  assert.equal(region({ AWS_DEFAULT_REGION: "eu-west-2" }), "eu-west-2 eu-west-2");
  assert.equal(
    region({ AWS_REGION: "eu-west-1", AWS_DEFAULT_REGION: "us-east-1" }, "ap-south-1"),
    "eu-west-1 eu-west-1",
  );
  assert.equal(region({}, "ap-south-1"), "ap-south-1 ap-south-1");
});

test("every script that calls AWS takes its region from the one place", () => {
  for (const file of [
    "cdk/functions.sh",
    "cdk/smoke-test.sh",
    "cdk/redrive.sh",
    "cdk/deploy-dashboards.sh",
    "emr/submit",
    "local-stack/provision.sh",
    "Makefile",
  ]) {
    const text = readFileSync(join(ROOT, file), "utf8");
    assert.match(text, /\. cdk\/aws\.sh|\. .*cdk\/region\.sh/, file);
    assert.doesNotMatch(text, /configure get region/, file);
  }
});

test("the dashboards reach the workspace with their data source, as somebody who is gone afterwards", async () => {
  const account = new Account({ outputs: { GrafanaId: "g-1", GrafanaEndpoint: "unused" } });
  const seen: {
    url: string;
    token: string;
    body: { dashboard?: { uid: string }; type?: string; overwrite?: boolean };
  }[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (data: Buffer) => (body += data.toString()));
    request.on("end", () => {
      const { url = "", headers } = request;
      seen.push({ url, token: headers.authorization ?? "", body: JSON.parse(body) as (typeof seen)[number]["body"] });
      response.writeHead(url === "/api/datasources" ? 409 : 200).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const { status, said } = await account.serving("cdk/deploy-dashboards.sh", {
    GRAFANA_URL: `http://127.0.0.1:${String(port)}`,
    NO_PROXY: "127.0.0.1",
  });
  server.close();
  assert.equal(status, 0, said);
  assert.deepEqual(
    seen.map(({ url, body }) => `${url} ${body.type ?? body.dashboard?.uid ?? ""}`),
    ["/api/datasources cloudwatch", "/api/dashboards/db tributary-lake", "/api/dashboards/db tributary-pipeline"],
  );
  assert(seen.every(({ token }) => token === "Bearer secret"));
  assert(account.state.calls.some((call) => call.startsWith("grafana delete-workspace-service-account ")));
});

test("without a workspace the dashboards have nowhere to go, and one line says so", () => {
  const { status, said } = new Account().run([], {}, "cdk/deploy-dashboards.sh");
  assert.equal(status, 1);
  assert.match(
    said,
    /^deploy-dashboards\.sh: tributary-monitoring has no GrafanaId: deploy it with managedGrafana=true first$/m,
  );
});

/** The AWS CLI as far as cdk/smoke-test.sh uses it: what lies in the lake is what `lake` lists, one key and its bounds a line. */
function lakeWith(
  account: Account,
  lake: { before?: string; after?: string; rejected?: string },
): Record<string, string> {
  const file = (name: string, content: string): string => {
    writeFileSync(join(account.folder, name), content);
    return join(account.folder, name);
  };
  const [before, after] = [file("before", lake.before ?? ""), file("after", lake.after ?? lake.before ?? "")];
  const rejected = file("rejected", lake.rejected ?? "");
  const aws = join(account.folder, "aws");
  writeFileSync(
    aws,
    `#!/usr/bin/env bash
listed=${before}; [ "$(cat "${account.folder}/listings" 2>/dev/null | wc -l)" -lt 2 ] || listed=${after}
case " $* " in *" --prefix "*) echo "$*" | grep -o "[a-z]*/date=[^ ]*" >>"${account.folder}/prefixes" ;; esac
case " $* " in
*" put-record "*) cp "$(echo "$*" | grep -o "/[^ ]*/event")" "${account.folder}/event"; echo "shard-0 100" ;;
*" list-objects-v2 "*" events/"*) cut -d" " -f1 "$listed"; echo >>"${account.folder}/listings" ;;
*" list-objects-v2 "*" quarantine/"*) [ ! -s ${rejected} ] || echo quarantine/x ;;
*" head-object "*) while read -r key first last; do case " $* " in *" $key "*) echo "$first $last" ;; esac; done <"$listed" ;;
*" get-object "*) destination=$(echo "$*" | grep -o "[^ ]*/rejected"); cat ${rejected} >"$destination" ;;
*" get-caller-identity "*) echo 123456789012 ;;
esac
`,
    { mode: 0o755 },
  );
  return { AWS_CLI: aws, WITHIN: "1" };
}

const smoke = (lake: Parameters<typeof lakeWith>[1]): { status: number | null; said: string } => {
  const account = new Account();
  return account.run([], lakeWith(account, lake), "cdk/smoke-test.sh");
};

test("the smoke test passes when an object covers the event, and nothing in quarantine does", () => {
  const { status, said } = smoke({ after: "events/a 90 110\n" });
  assert.equal(status, 0, said);
  assert.match(said, /in the lake after \d+ s: s3:\/\/tributary-lake-123456789012-eu-west-1\/events\/a/);
});

test("the smoke event is of the contract, with an id and a time of its own", () => {
  const account = new Account();
  account.run([], lakeWith(account, { after: "events/a 90 110\n" }), "cdk/smoke-test.sh");
  const sent = JSON.parse(readFileSync(join(account.folder, "event"), "utf8")) as Record<string, unknown>;
  const template = JSON.parse(
    readFileSync(new URL("../../functions/events/schema/smoke-event.json", import.meta.url), "utf8"),
  ) as Record<string, unknown>;
  assert.deepEqual(Object.keys(sent), Object.keys(template));
  assert.match(String(sent.event_id), /^smoke-\d{8}T\d{6}Z-\d+$/);
  assert(Math.abs(Date.parse(String(sent.event_time)) - Date.now()) < 60_000);
});

test("a smoke event that is rejected fails the smoke test, though an object covers its position", () => {
  const { status, said } = smoke({
    after: "events/a 90 110\n",
    rejected: '{"position":"100","reason":"missing_field"}\n',
  });
  assert.equal(status, 1, said);
  assert.match(said, /was rejected \("missing_field"\)/);
  assert.equal(smoke({ after: "events/a 90 110\n", rejected: '{"position":"1000","reason":"x"}\n' }).status, 0);
});

test("behind a backlog a shard that moves passes the smoke test, and one that stands still fails it", () => {
  const moving = smoke({ before: "events/a 10 20\n", after: "events/a 10 20\nevents/b 21 30\n" });
  assert.equal(moving.status, 0, moving.said);
  assert.match(moving.said, /^behind a backlog: .* shard shard-0 moves, .*events\/b$/m);
  const still = smoke({ before: "events/a 10 20\n" });
  assert.equal(still.status, 1, still.said);
  assert.match(still.said, /shard shard-0 has committed nothing/);
});

test("the smoke test looks for a stream whose name begins like a hidden file where its keys are", () => {
  for (const [stream, shown] of Object.entries({ events: "events", _e: "!_e", ".e": "!.e", "!e": "!!e" })) {
    const account = new Account();
    const given = { ...lakeWith(account, { after: "events/a 90 110\n" }), TRIBUTARY_STREAM: stream };
    assert.equal(account.run([], given, "cdk/smoke-test.sh").status, 0);
    const asked = readFileSync(join(account.folder, "prefixes"), "utf8").replace(/date=[\d-]+/g, "date");
    const wanted = ["events", "quarantine"].map((prefix) => `${prefix}/date/${shown}.shard-0.`);
    assert.deepEqual([...new Set(asked.trim().split("\n"))].sort(), wanted, stream);
  }
});
