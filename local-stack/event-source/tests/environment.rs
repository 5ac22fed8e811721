//! The execution environment, with a real process behind it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use event_source::lambda::MAXIMUM_PAYLOAD_BYTES;
use event_source::lambda::environment::{FunctionLog, FunctionSettings, InvocationEnd};
use event_source::lambda::function::Function;
use serde_json::Value;
use uuid::Uuid;

struct Bench {
    function: Function,
    directory: tempfile::TempDir,
}

impl Bench {
    fn new(modes: &str, timeout: Duration) -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let receipts = directory.path().join("receipts").display().to_string();
        let path = std::env::var("PATH").expect("PATH");
        let settings = FunctionSettings {
            artifact: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/fake_function.py"),
            name: "fake".to_owned(),
            memory_mb: 256,
            timeout,
            region: "us-east-1".to_owned(),
            account: "000000000000".to_owned(),
            variables: vec![
                ("FAKE_MODE".to_owned(), modes.to_owned()),
                ("FAKE_RECEIPTS".to_owned(), receipts),
                ("PATH".to_owned(), path),
            ],
            log: FunctionLog::open(&directory.path().join("function.log")).expect("log"),
            reaper: None,
        };
        Self {
            function: Function::new(settings),
            directory,
        }
    }

    async fn invoke(&self) -> InvocationEnd {
        let payload = br#"{"Records":[]}"#.to_vec();
        self.function.invoke(Uuid::new_v4(), payload).await
    }

    fn file(&self, name: &str) -> String {
        let path: PathBuf = self.directory.path().join(name);
        std::fs::read_to_string(path).unwrap_or_default()
    }

    fn receipts(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).expect("JSON");
        self.file("receipts").lines().map(parse).collect()
    }

    fn reports(&self) -> Vec<String> {
        let log = self.file("function.log");
        let reports = log.lines().filter(|line| line.starts_with("REPORT"));
        reports.map(str::to_owned).collect()
    }
}

const LONG: Duration = Duration::from_secs(20);

fn failure(end: InvocationEnd) -> String {
    match end {
        InvocationEnd::Failed(reason) => reason,
        InvocationEnd::Answered(body) => panic!("answered with {} bytes", body.len()),
        InvocationEnd::NotInvoked(reason) => panic!("not invoked: {reason}"),
    }
}

fn is_alive(process: &Value) -> bool {
    // A zombie that is not yet waited for has no command line.
    std::fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_is_reused_warm_and_reports_its_start_once() {
    let bench = Bench::new("ok", LONG);
    for _ in 0..3 {
        assert!(matches!(bench.invoke().await, InvocationEnd::Answered(_)));
    }
    let receipts = bench.receipts();
    assert_eq!(receipts.len(), 3);
    assert!(
        receipts
            .iter()
            .all(|receipt| receipt["process"] == receipts[0]["process"])
    );
    let reports = bench.reports();
    assert_eq!(reports.len(), 3);
    for (index, report) in reports.iter().enumerate() {
        assert!(
            report.contains("\tMemory Size: 256 MB\tMax Memory Used: "),
            "{report}"
        );
        assert_eq!(report.contains("Init Duration"), index == 0, "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_function_is_told_its_true_deadline() {
    let bench = Bench::new("ok", LONG);
    bench.invoke().await;
    let remaining = bench.receipts()[0]["remaining_ms"]
        .as_i64()
        .expect("number");
    assert!((15_000..=20_000).contains(&remaining), "{remaining}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_function_sees_what_lambda_sets_and_nothing_else_of_ours() {
    let bench = Bench::new("environment", LONG);
    let InvocationEnd::Answered(body) = bench.invoke().await else {
        panic!("no answer")
    };
    let answer: Value = serde_json::from_slice(&body).expect("JSON");
    let variables = answer["variables"].as_object().expect("variables");
    for (name, value) in [
        ("AWS_LAMBDA_FUNCTION_NAME", "fake"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/fake"),
        ("AWS_REGION", "us-east-1"),
        ("TZ", ":UTC"),
    ] {
        assert_eq!(variables[name], value);
    }
    for name in ["CARGO_MANIFEST_DIR", "HOME"] {
        assert!(!variables.contains_key(name), "{name}");
    }
    assert_eq!(
        answer["pid"], answer["group"],
        "the process leads its own group"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_time_out_the_process_is_killed_and_the_next_invocation_starts_cold() {
    let bench = Bench::new("hang", Duration::from_secs(1));
    let started = Instant::now();
    assert_eq!(
        failure(bench.invoke().await),
        "Task timed out after 1.00 seconds"
    );
    assert!(started.elapsed() < Duration::from_secs(8));
    let first = bench.receipts()[0]["process"].clone();
    failure(bench.invoke().await);
    assert_ne!(bench.receipts()[1]["process"], first);
    assert!(!is_alive(&first));
    assert!(bench.reports()[1].contains("Init Duration"));
    assert!(bench.reports()[1].contains("Status: timeout"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_mid_invocation_fails_it_and_the_next_one_starts_cold() {
    let bench = Bench::new("ok,crash", LONG);
    assert!(matches!(bench.invoke().await, InvocationEnd::Answered(_)));
    assert_eq!(
        failure(bench.invoke().await),
        "Runtime.ExitError: exited with exit status: 3"
    );
    assert!(matches!(bench.invoke().await, InvocationEnd::Answered(_)));
    assert!(bench.reports()[2].contains("Init Duration"));
    assert!(
        bench
            .file("function.log")
            .contains("crashing in mid-invocation")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_between_invocations_costs_nothing_but_a_cold_start() {
    let bench = Bench::new("ok-then-exit", LONG);
    for _ in 0..3 {
        assert!(matches!(bench.invoke().await, InvocationEnd::Answered(_)));
    }
    assert_eq!(bench.receipts().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_function_fails_the_invocation_and_keeps_the_environment() {
    let bench = Bench::new("error,ok", LONG);
    assert_eq!(failure(bench.invoke().await), "Refused: told to fail");
    assert!(matches!(bench.invoke().await, InvocationEnd::Answered(_)));
    assert_eq!(
        bench.receipts()[0]["process"],
        bench.receipts()[1]["process"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_over_six_megabytes_is_refused_and_fails_the_invocation() {
    let bench = Bench::new("huge,ok", LONG);
    let reason = failure(bench.invoke().await);
    assert!(
        reason.starts_with("Function.ResponseSizeTooLarge"),
        "{reason}"
    );
    assert!(matches!(bench.invoke().await, InvocationEnd::Answered(_)));
    assert!(bench.file("function.log").contains("response: 413"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_over_six_megabytes_never_reaches_the_function() {
    let bench = Bench::new("ok", LONG);
    let payload = vec![b' '; MAXIMUM_PAYLOAD_BYTES + 1];
    let end = bench.function.invoke(Uuid::new_v4(), payload).await;
    assert!(matches!(end, InvocationEnd::NotInvoked(_)), "{end:?}");
    assert!(bench.receipts().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_start_is_told_with_its_reason_and_the_next_attempt_waits() {
    for (mode, reason) in [
        ("init-error", "Config: no bucket"),
        ("init-exit", "its last output: TRIBUTARY_BUCKET is not set"),
    ] {
        let bench = Bench::new(mode, LONG);
        let InvocationEnd::NotInvoked(told) = bench.invoke().await else {
            panic!("{mode} was invoked")
        };
        assert!(told.contains(reason), "{told}");
        let started = Instant::now();
        bench.invoke().await;
        assert!(started.elapsed() >= Duration::from_millis(450));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_invocations_have_a_process_each() {
    let bench = Bench::new("slow", LONG);
    let (first, second) = tokio::join!(bench.invoke(), bench.invoke());
    assert!(matches!(first, InvocationEnd::Answered(_)));
    assert!(matches!(second, InvocationEnd::Answered(_)));
    let receipts = bench.receipts();
    assert_ne!(receipts[0]["process"], receipts[1]["process"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_process_is_left_when_the_function_is_stopped() {
    let bench = Bench::new("ok", LONG);
    bench.invoke().await;
    let process = bench.receipts()[0]["process"].clone();
    assert!(is_alive(&process));
    bench.function.stop();
    for _ in 0..50 {
        if !is_alive(&process) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("process {process} is left");
}
