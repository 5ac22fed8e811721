//! The ledger's lines, and that it is never overwritten.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use events::Reason;
use producer::batch::Position;
use producer::generate::{Expected, Kind, Outcome};
use producer::ledger::Ledger;
use uuid::Uuid;

fn write(ledger: &mut Ledger, sequence_number: &str, expected: Expected) {
    let position = Position {
        shard: "shardId-000000000002".to_owned(),
        sequence_number: sequence_number.to_owned(),
    };
    ledger.write(&position, &expected).unwrap();
}

#[test]
fn a_line_says_where_a_record_was_stored_and_what_must_become_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made/by/the/way.jsonl");
    let mut ledger = Ledger::create(&path).unwrap();
    let id = Uuid::from_u128(0x0193_a5c0_7b1e_7c3a_9f00_0123_4567_89ab);
    let written = Expected {
        event_id: Some(id),
        kind: Kind::Duplicate,
        outcome: Outcome::Written,
        reason: None,
    };
    write(
        &mut ledger,
        "49650000000000000000000000000000000000000000000000000001",
        written,
    );
    write(
        &mut ledger,
        "2",
        Expected {
            kind: Kind::Test,
            outcome: Outcome::Filtered,
            ..written
        },
    );
    let reason = Some(Reason::InvalidUtf8);
    write(
        &mut ledger,
        "3",
        Expected {
            event_id: None,
            kind: Kind::Malformed,
            outcome: Outcome::Rejected,
            reason,
        },
    );
    ledger.flush().unwrap();
    insta::assert_snapshot!(fs::read_to_string(&path).unwrap(), @r#"
    {"shard":"shardId-000000000002","sequence_number":"49650000000000000000000000000000000000000000000000000001","event_id":"0193a5c0-7b1e-7c3a-9f00-0123456789ab","kind":"duplicate","outcome":"written","reason":null}
    {"shard":"shardId-000000000002","sequence_number":"2","event_id":"0193a5c0-7b1e-7c3a-9f00-0123456789ab","kind":"test","outcome":"filtered","reason":null}
    {"shard":"shardId-000000000002","sequence_number":"3","event_id":null,"kind":"malformed","outcome":"rejected","reason":"invalid_utf8"}
    "#);
}

#[test]
fn a_ledger_that_exists_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.jsonl");
    fs::write(&path, "kept\n").unwrap();
    let error = Ledger::create(&path).unwrap_err().to_string();
    let rule = "exists already; a ledger is never overwritten: choose another name";
    assert_eq!(error, format!("ledger {} {rule}", path.display()));
    assert_eq!(fs::read_to_string(&path).unwrap(), "kept\n");
}
