//! `event-source redrive`, with a function's process behind it and a bucket in memory before it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use event_source::kinesis::envelope::Envelope;
use event_source::kinesis::given_up::Batch;
use event_source::kinesis::record::Record;
use event_source::mapping::given_up::Condition;
use event_source::mapping::given_up::GivenUp;
use event_source::mapping::position::Position;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::process::Command;
use uuid::Uuid;

/// By path, which begins with the bucket.
type Objects = Arc<Mutex<BTreeMap<String, String>>>;

async fn s3(State(objects): State<Objects>, method: Method, uri: Uri) -> (StatusCode, String) {
    let mut objects = objects.lock().expect("objects");
    let error = |code| format!("<Error><Code>{code}</Code><Message>no</Message></Error>");
    let query = uri.query().unwrap_or_default();
    if query.contains("list-type=2") {
        if uri.path().trim_end_matches('/') != "/failed" {
            return (StatusCode::NOT_FOUND, error("NoSuchBucket"));
        }
        let prefix = query
            .split('&')
            .find_map(|part| part.strip_prefix("prefix="));
        let prefix = prefix.unwrap_or_default().replace("%2F", "/");
        let keys = objects
            .keys()
            .filter_map(|path| path.strip_prefix("/failed/"));
        let contents: Vec<String> = keys
            .filter(|key| key.starts_with(&prefix))
            .map(|key| format!("<Contents><Key>{key}</Key></Contents>"))
            .collect();
        let list = format!("<ListBucketResult>{}</ListBucketResult>", contents.concat());
        return (StatusCode::OK, list);
    }
    if method == Method::DELETE {
        if uri.path().contains("undeletable") {
            return (StatusCode::FORBIDDEN, error("AccessDenied"));
        }
        objects.remove(uri.path());
        return (StatusCode::NO_CONTENT, String::new());
    }
    match objects.get(uri.path()) {
        Some(object) => (StatusCode::OK, object.clone()),
        None => (StatusCode::NOT_FOUND, error("NoSuchKey")),
    }
}

/// The document for records at these positions of a shard.
fn given_up(shard: &str, numbers: &[u64]) -> String {
    let record = |number: &u64| Record {
        sequence_number: Position::from(*number),
        partition_key: "key".into(),
        data: bytes::Bytes::from_static(b"{}"),
        arrival: 0,
        payload_bytes: 0,
    };
    let records: Vec<Record> = numbers.iter().map(record).collect();
    let given_up = GivenUp {
        request_id: Uuid::nil(),
        function_arn: "function",
        batch: Batch {
            stream_arn: "stream",
            shard,
            records: &records,
        },
        condition: Condition::RetryAttemptsExhausted,
        invocations: 1,
        at: 0,
    };
    let payload = Envelope::new(shard, "stream", "us-east-1", "role").payload(&records);
    given_up.invocation_record(Some(&String::from_utf8(payload).expect("UTF-8")))
}

struct Bench {
    objects: Objects,
    address: SocketAddr,
    directory: tempfile::TempDir,
}

impl Bench {
    /// A bucket `failed` with these objects, by key.
    async fn with(objects: &[(&str, String)]) -> Self {
        let path = |(key, object): &(&str, String)| (format!("/failed/{key}"), object.clone());
        let objects: Objects = Arc::new(Mutex::new(objects.iter().map(path).collect()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(s3).with_state(Arc::clone(&objects));
        tokio::spawn(async { axum::serve(listener, router).await });
        Self {
            objects,
            address,
            directory: tempfile::tempdir().expect("directory"),
        }
    }

    /// `modes`: what the function does, one for each invocation of a process.
    fn command(&self, modes: &str, arguments: &[&str]) -> Command {
        let path = std::env::var("PATH").expect("PATH");
        let function =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/fake_function.py");
        let mut command = Command::new(env!("CARGO_BIN_EXE_event-source"));
        command
            .current_dir(self.directory.path())
            .env_clear()
            .env("AWS_ENDPOINT_URL", format!("http://{}", self.address))
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .arg("redrive")
            .arg("--function")
            .arg(function)
            .arg(format!("--function-env=PATH={path}"))
            .arg(format!("--function-env=FAKE_MODE={modes}"))
            .arg(format!(
                "--function-env=FAKE_RECEIPTS={}",
                self.receipts().display()
            ))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn redrive(&self, modes: &str, arguments: &[&str]) -> Output {
        let output = self.command(modes, arguments).output().await;
        output.expect("the event source starts")
    }

    fn receipts(&self) -> std::path::PathBuf {
        self.directory.path().join("receipts")
    }

    /// First and last record of each invocation, as `<shard>:<position>`.
    fn invocations(&self) -> Vec<[String; 2]> {
        let receipts = std::fs::read_to_string(self.receipts()).unwrap_or_default();
        let bounds = |line: &str| {
            let receipt: Value = serde_json::from_str(line).expect("JSON");
            let records = receipt["records"].as_array().expect("records");
            [&records[0], &records[records.len() - 1]]
                .map(|record| record.as_str().expect("text").to_owned())
        };
        receipts.lines().map(bounds).collect()
    }

    fn keys(&self) -> Vec<String> {
        let objects = self.objects.lock().expect("objects");
        let key = |path: &String| path.trim_start_matches("/failed/").to_owned();
        objects.keys().map(key).collect()
    }
}

/// The line that names the object and says this of it.
#[track_caller]
fn assert_said(output: &Output, object: &str, what: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    let mut lines = text.lines().filter(|line| line.contains(object));
    assert!(
        lines.any(|line| line.contains(what)),
        "{object}: {what}\n{text}"
    );
}

#[track_caller]
fn assert_ended(output: &Output, status: i32, totals: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().last().unwrap_or_default();
    assert!(last.ends_with(totals), "{text}");
    assert_eq!(output.status.code(), Some(status), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_is_redriven_in_the_order_of_shards_and_positions() {
    let bench = Bench::with(&[
        ("aws/1", given_up("shardId-000000000001", &[5])),
        ("aws/2", given_up("shardId-000000000000", &[10, 11])),
        ("aws/3", given_up("shardId-000000000000", &[9])),
        ("other", given_up("shardId-000000000000", &[1])),
    ])
    .await;
    let output = bench.redrive("ok", &["s3://failed/aws/"]).await;
    assert_ended(&output, 0, "redriven=3 failed=0 not_tried=0 not_found=0");
    assert_said(
        &output,
        "s3://failed/aws/2",
        r#"redriven shard="shardId-000000000000" first=10 last=11 records=2"#,
    );
    let [zero, one] = ["shardId-000000000000", "shardId-000000000001"];
    assert_eq!(
        bench.invocations(),
        [
            [format!("{zero}:9"), format!("{zero}:9")],
            [format!("{zero}:10"), format!("{zero}:11")],
            [format!("{one}:5"), format!("{one}:5")],
        ]
    );
    assert_eq!(bench.keys().len(), 4, "nothing is removed unless asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_there_means_that_object_alone_and_no_object_comes_twice() {
    let bench = Bench::with(&[
        ("aws/1", given_up("shardId-000000000000", &[1])),
        ("aws/10", given_up("shardId-000000000000", &[10])),
    ])
    .await;
    let output = bench
        .redrive("ok", &["s3://failed/aws/1", "s3://failed/aws/1"])
        .await;
    assert_ended(&output, 0, "redriven=1 failed=0 not_tried=0 not_found=0");
    assert_eq!(bench.invocations().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_not_done_is_tried_once_and_kept_and_the_others_go_on() {
    let bench = Bench::with(&[
        ("done", given_up("shardId-000000000000", &[1])),
        ("partial", given_up("shardId-000000000000", &[2, 3, 4])),
        ("error", given_up("shardId-000000000000", &[5])),
        ("crash", given_up("shardId-000000000000", &[6])),
        ("done-cold", given_up("shardId-000000000000", &[7])),
    ])
    .await;
    // The process after the crash begins with the first mode again.
    let arguments = ["--remove", "s3://failed"];
    let output = bench.redrive("ok,partial,error,crash", &arguments).await;
    assert_ended(&output, 1, "redriven=2 failed=3 not_tried=0 not_found=0");
    let said = [
        ("partial", "partly done: handed back from 3 on"),
        ("error", "failed: Refused: told to fail"),
        (
            "crash",
            "failed: Runtime.ExitError: exited with exit status: 3",
        ),
    ];
    for (object, what) in said {
        assert_said(&output, &format!("s3://failed/{object}"), what);
    }
    assert_eq!(bench.invocations().len(), 5);
    assert_eq!(bench.keys(), ["crash", "error", "partial"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_cannot_be_removed_is_a_failure_that_says_the_batch_is_done() {
    let object = given_up("shardId-000000000000", &[1]);
    let bench = Bench::with(&[("undeletable", object)]).await;
    let output = bench.redrive("ok", &["--remove", "s3://failed/"]).await;
    assert_ended(&output, 1, "redriven=0 failed=1 not_tried=0 not_found=0");
    let said = "redriven, but not removed: AccessDenied";
    assert_said(&output, "undeletable", said);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_signal_the_invocation_in_flight_ends_and_the_rest_is_not_tried() {
    let bench = Bench::with(&[
        ("aws/1", given_up("shardId-000000000000", &[1])),
        ("aws/2", given_up("shardId-000000000000", &[2])),
    ])
    .await;
    let redrive = bench.command("slow", &["s3://failed/aws/"]).spawn();
    let redrive = redrive.expect("the event source starts");
    while bench.invocations().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let process = redrive.id().expect("running").try_into().expect("small");
    kill(Pid::from_raw(process), Signal::SIGTERM).expect("signalled");
    let output = redrive.wait_with_output().await.expect("ended");
    assert_ended(&output, 1, "redriven=1 failed=0 not_tried=1 not_found=0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_invocation_record_is_named_with_the_rule_and_the_others_go_on() {
    let without_payload = given_up("shardId-000000000000", &[1]);
    let without_payload = without_payload
        .split(r#","payload""#)
        .next()
        .expect("split");
    let bench = Bench::with(&[
        ("aws/1", format!("{without_payload}}}")),
        ("aws/2", "PAR1".to_owned()),
        ("aws/3", given_up("shardId-000000000000", &[3])),
    ])
    .await;
    let output = bench.redrive("ok", &["--remove", "s3://failed/aws"]).await;
    assert_ended(&output, 1, "redriven=1 failed=2 not_tried=0 not_found=0");
    assert_said(&output, "s3://failed/aws/1", "has no payload");
    assert_said(
        &output,
        "s3://failed/aws/2",
        "is not Lambda's invocation record",
    );
    assert_eq!(bench.keys(), ["aws/1", "aws/2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_found_nothing_is_redriven_and_that_is_a_failure() {
    let bench = Bench::with(&[]).await;
    let output = bench
        .redrive("ok", &["s3://failed/aws/", "s3://elsewhere/aws/"])
        .await;
    assert_ended(&output, 1, "redriven=0 failed=0 not_tried=0 not_found=2");
    assert_said(
        &output,
        "s3://failed/aws/",
        "no object has this key or prefix",
    );
    assert_said(&output, "s3://elsewhere/aws/", "NoSuchBucket");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_does_not_start_is_not_tried_with_the_next_batch() {
    let bench = Bench::with(&[
        ("aws/1", given_up("shardId-000000000000", &[1])),
        ("aws/2", given_up("shardId-000000000000", &[2])),
    ])
    .await;
    let output = bench.redrive("init-exit", &["s3://failed/aws/"]).await;
    assert_ended(&output, 1, "redriven=0 failed=1 not_tried=1 not_found=0");
    assert_said(&output, "s3://failed/aws/1", "TRIBUTARY_BUCKET is not set");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_address_is_a_usage_error() {
    let bench = Bench::with(&[]).await;
    let output = bench.redrive("ok", &["failed/aws"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert_said(
        &output,
        "failed/aws",
        "must be s3://<bucket>/<key or prefix>",
    );
}
