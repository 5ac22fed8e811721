//! The binary that Lambda starts: without a contract it does not.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

const BINARIES: [&str; 2] = [
    env!("CARGO_BIN_EXE_ingest-kinesis"),
    env!("CARGO_BIN_EXE_ingest-redpanda"),
];

/// Starts a function whose contract is in `file`. No Runtime API answers at its address.
fn start(binary: &str, file: &Path) -> Output {
    Command::new(binary)
        .env_clear()
        .envs([
            ("AWS_LAMBDA_FUNCTION_NAME", "ingest"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
            ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9"),
            ("AWS_REGION", "us-east-1"),
            ("TRIBUTARY_BUCKET", "lake"),
        ])
        .env("TRIBUTARY_CONTRACT", file)
        .output()
        .unwrap()
}

#[test]
fn the_function_does_not_start_without_a_contract_that_holds() {
    let folder = std::env::temp_dir().join(format!("tributary-start-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let ours = events::contract::OURS;
    for (name, content, said) in [
        (
            "nowhere.toml",
            None,
            "cannot be read: No such file or directory (os error 2)",
        ),
        (
            "empty.toml",
            Some(String::new()),
            "is empty; it must say where the fields of an event are",
        ),
        (
            "windows.toml",
            Some(ours.replace('\n', "\r\n")),
            "ends as Windows has it (CR LF); save the file with LF alone",
        ),
        (
            "mark.toml",
            Some(format!("\u{FEFF}{ours}")),
            "begins with a byte order mark; save the file as UTF-8 without one",
        ),
        (
            "twice.toml",
            Some(ours.replace("\"device_id\"", "\"event_id\"")),
            "is the field of id already (line 10)",
        ),
    ] {
        let file = folder.join(name);
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        for binary in BINARIES {
            let output = start(binary, &file);
            assert_eq!(output.status.code(), Some(1), "{name}");
            let log = String::from_utf8(output.stdout).unwrap();
            let [line] = log.lines().collect::<Vec<_>>()[..] else {
                panic!("not one line: {log}");
            };
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let error = line["error"].as_str().unwrap();
            assert!(error.starts_with(file.to_str().unwrap()), "{error}");
            assert!(error.ends_with(said), "{error}");
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}
