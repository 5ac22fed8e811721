//! The whole flow on events as Lambda delivers them, read back from the Parquet bytes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, TimestampMicrosecondType};
use common::{HASHER, NOON, event, payload};
use events::Contract;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::{FileReader, SerializedFileReader};
use pipeline::dedupe::SeenIds;
use pipeline::filter::Filter;
use pipeline::layout::CELL_MS;
use pipeline::recover::{self, RecoverError};
use pipeline::rollup::{self, Lateness};
use pipeline::{Object, cell, cells, decode, encode};
use proptest::prelude::*;

fn test_payload(id: &str) -> String {
    payload(id).replace("\"firmware\"", "\"test\":true,\"firmware\"")
}

fn objects(event: &[u8], window: &SeenIds) -> Vec<Object> {
    let batch = decode::kinesis(event).unwrap();
    cells(&batch, Contract::ours(), Filter::default(), HASHER)
        .iter()
        .filter_map(|cell| cell.encode(&cell.plan(window)).unwrap())
        .collect()
}

fn read(object: &Object) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(object.body.clone()).unwrap();
    let mut batches = reader.with_batch_size(100_000).build().unwrap();
    batches.next().unwrap().unwrap()
}

fn ids(object: &Object) -> Vec<String> {
    let rows = read(object);
    let ids = rows
        .column_by_name(encode::EVENT_ID)
        .unwrap()
        .as_string::<i32>();
    ids.iter().map(|id| id.unwrap().to_owned()).collect()
}

#[test]
fn a_row_reads_back_with_every_column() {
    let event = event(&[(NOON + 7, payload("a"))]);
    let objects = objects(&event, &SeenIds::default());
    let rows = read(&objects[0]);
    let text = |name: &str| {
        rows.column_by_name(name)
            .unwrap()
            .as_string::<i32>()
            .value(0)
            .to_owned()
    };
    let time = |name: &str| {
        rows.column_by_name(name)
            .unwrap()
            .as_primitive::<TimestampMicrosecondType>()
            .value(0)
    };
    assert_eq!(time("event_time"), (NOON - 60_000) * 1000 + 1);
    assert_eq!(time("arrival_time"), (NOON + 7) * 1000);
    assert_eq!(text("device_type"), "door");
    assert_eq!(text("device_id"), "d-1");
    assert_eq!(text("attributes"), r#"{"firmware":"4.2"}"#);
    assert_eq!(text("shard"), "shardId-000000000001");
    assert_eq!(text("position"), "1000");
    assert_eq!(text("event_id"), "a");
    assert!(rows.column_by_name("value").unwrap().is_null(0));
    let duration = rows
        .column_by_name("event_duration")
        .unwrap()
        .as_primitive::<Float64Type>()
        .value(0);
    assert_eq!(duration.to_bits(), 12.5_f64.to_bits());
    assert_eq!(
        rows.column_by_name("schema_version")
            .unwrap()
            .as_primitive::<Int32Type>()
            .value(0),
        1
    );
}

#[test]
fn the_audit_says_which_records_an_object_accounts_for() {
    let event = event(&[
        (NOON, "oops".to_owned()),
        (NOON + 1, test_payload("t")),
        (NOON + 2, payload("a")),
        (NOON + 3, payload("b")),
        (NOON + 4, payload("a")),
    ]);
    let objects = objects(&event, &SeenIds::default());
    assert_eq!(objects.len(), 1);
    let footer = SerializedFileReader::new(objects[0].body.clone()).unwrap();
    let footer = footer
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .unwrap()
        .clone();
    let footer: Vec<(&str, String)> = objects[0]
        .audit
        .entries()
        .into_iter()
        .map(|(name, _)| {
            let entry = footer.iter().find(|entry| entry.key == name).unwrap();
            (name, entry.value.clone().unwrap())
        })
        .collect();
    assert_eq!(
        footer,
        [
            ("tributary-first-position", "1000".to_owned()),
            ("tributary-last-position", "1004".to_owned()),
            ("tributary-received", "5".to_owned()),
            ("tributary-written", "2".to_owned()),
            ("tributary-duplicates", "1".to_owned()),
            ("tributary-filtered", "1".to_owned()),
            ("tributary-rejected", "1".to_owned()),
            ("tributary-contract", Contract::ours().hash().to_owned()),
            ("tributary-version", env!("CARGO_PKG_VERSION").to_owned()),
        ]
    );
}

#[test]
fn rejected_records_are_kept_with_their_bytes_and_reason() {
    let event = event(&[
        (NOON, "oops".to_owned()),
        (NOON, payload("a")),
        (NOON + 999, String::new()),
    ]);
    let batch = decode::kinesis(&event).unwrap();
    let cells = cells(&batch, Contract::ours(), Filter::default(), HASHER);
    let (key, lines) = cells[0].quarantine().unwrap();
    let before = format!(
        "quarantine/date=2026-11-22/orders.shardId-000000000001.{:0>56}.",
        1000
    );
    let hash = key
        .strip_prefix(&before)
        .unwrap()
        .strip_suffix(".jsonl")
        .unwrap();
    assert!(hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    insta::assert_snapshot!(std::str::from_utf8(&lines).unwrap(), @r#"
    {"stream":"orders","shard":"shardId-000000000001","position":"1000","arrival_time":"2026-11-22T12:00:00.000Z","partition_key":"d","reason":"invalid_json","detail":"expected value at line 1 column 1","data":"b29wcw=="}
    {"stream":"orders","shard":"shardId-000000000001","position":"1002","arrival_time":"2026-11-22T12:00:00.999Z","partition_key":"d","reason":"empty_record","detail":"the payload is empty","data":""}
    "#);
}

#[test]
fn a_cell_without_rejects_has_no_quarantine_and_one_without_rows_no_object() {
    let event = event(&[(NOON, test_payload("t"))]);
    let batch = decode::kinesis(&event).unwrap();
    let cells = cells(&batch, Contract::ours(), Filter::default(), HASHER);
    assert!(cells[0].quarantine().is_none());
    assert!(
        cells[0]
            .encode(&cells[0].plan(&SeenIds::default()))
            .unwrap()
            .is_none()
    );
    assert_eq!((cells[0].filtered(), cells[0].accepted()), (1, 0));
}

#[test]
fn test_events_are_kept_when_asked_for() {
    let event = event(&[(NOON, test_payload("t"))]);
    let batch = decode::kinesis(&event).unwrap();
    let cells = cells(
        &batch,
        Contract::ours(),
        Filter {
            keep_test_events: true,
        },
        HASHER,
    );
    assert_eq!(cells[0].plan(&SeenIds::default()).len(), 1);
}

#[test]
fn a_batch_over_a_line_of_the_grid_becomes_one_object_per_cell() {
    let event = event(&[
        (NOON - 2, payload("a")),
        (NOON, payload("b")),
        // The broker's time stamps are approximate and may step back.
        (NOON - 1, payload("c")),
        (NOON + CELL_MS, payload("d")),
    ]);
    let objects = objects(&event, &SeenIds::default());
    assert_eq!(
        objects.iter().map(ids).collect::<Vec<_>>(),
        [vec!["a", "c"], vec!["b"], vec!["d"]]
    );
    let batch = decode::kinesis(&event).unwrap();
    let starts = cells(&batch, Contract::ours(), Filter::default(), HASHER)
        .iter()
        .map(|cell| cell.name(0).cell_start_ms)
        .collect::<Vec<_>>();
    assert_eq!(starts, [NOON - CELL_MS, NOON, NOON + CELL_MS]);
}

#[test]
fn cells_are_committed_in_the_order_of_their_first_records() {
    let event = event(&[
        (NOON, payload("b")),
        (NOON - 1, payload("a")),
        (NOON + 1, payload("c")),
    ]);
    let objects = objects(&event, &SeenIds::default());
    assert_eq!(
        objects.iter().map(ids).collect::<Vec<_>>(),
        [vec!["b", "c"], vec!["a"]]
    );
}

#[test]
fn the_first_of_equal_ids_wins_by_position_though_a_copy_lies_in_an_earlier_cell() {
    let event = event(&[
        (NOON, payload("x")),
        (NOON - 1, payload("x")),
        (NOON - 1, payload("y")),
    ]);
    let batch = decode::kinesis(&event).unwrap();
    let cells = cells(&batch, Contract::ours(), Filter::default(), HASHER);
    // Whatever is committed elsewhere in between, the copy is never written.
    let objects: Vec<_> = cells
        .iter()
        .map(|cell| {
            cell.encode(&cell.plan(&SeenIds::default()))
                .unwrap()
                .unwrap()
        })
        .collect();
    assert_eq!(objects.iter().map(ids).collect::<Vec<_>>(), [["x"], ["y"]]);
    assert_eq!(objects[1].audit.duplicates, 1);
}

#[test]
fn a_copy_is_done_only_when_the_cell_of_its_first_row_is_committed() {
    let event = event(&[
        (NOON, payload("x")),
        (NOON - 1, payload("x")),
        (NOON - 1, payload("y")),
        (NOON, payload("y")),
    ]);
    let batch = decode::kinesis(&event).unwrap();
    let cells = cells(&batch, Contract::ours(), Filter::default(), HASHER);
    let of = |committed: &[i64]| cell::not_done(&cells, &committed.iter().copied().collect());
    assert_eq!(of(&[]), [0, 1, 2, 3]);
    assert_eq!(of(&[NOON]), [1, 2, 3]);
    assert_eq!(of(&[NOON - CELL_MS]), [0, 1, 3]);
    assert_eq!(of(&[NOON, NOON - CELL_MS]), [0; 0]);
}

#[test]
fn two_records_of_one_id_and_other_content_are_the_first_one() {
    let other = payload("x").replace("door", "gate");
    let objects = objects(
        &event(&[(NOON, payload("x")), (NOON, other)]),
        &SeenIds::default(),
    );
    let types = read(&objects[0]);
    let types = types
        .column_by_name("device_type")
        .unwrap()
        .as_string::<i32>();
    assert_eq!((types.len(), types.value(0)), (1, "door"));
}

#[test]
fn quarantine_lines_with_another_content_have_another_name() {
    let key = |payload: &str| {
        let event = event(&[(NOON, payload.to_owned())]);
        let batch = decode::kinesis(&event).unwrap();
        cells(&batch, Contract::ours(), Filter::default(), HASHER)[0]
            .quarantine()
            .unwrap()
            .0
    };
    assert_eq!(key("oops"), key("oops"));
    // A topic that was made anew counts from 0 again.
    assert_ne!(key("oops"), key("ouch"));
}

#[test]
fn rows_of_the_window_are_not_written_again() {
    let mut window = SeenIds::default();
    window.insert([HASHER.hash("a")]);
    let event = event(&[(NOON, payload("a")), (NOON + 1, payload("b"))]);
    let objects = objects(&event, &window);
    assert_eq!(ids(&objects[0]), ["b"]);
    assert_eq!(
        (objects[0].audit.duplicates, objects[0].audit.written),
        (1, 1)
    );
}

#[test]
fn the_end_of_an_object_gives_its_ids_back() {
    let records: Vec<_> = (0..5000)
        .map(|n| {
            (
                NOON,
                payload(&format!("0193a5c0-7b1e-7c3a-9f00-{:012x}", n * 7919)),
            )
        })
        .collect();
    let object = objects(&event(&records), &SeenIds::default()).remove(0);
    let size = object.body.len() as u64;
    let tail = |bytes: u64| object.body.slice(usize::try_from(size - bytes).unwrap()..);
    let guess = recover::first_guess(size);
    let hashes = recover::event_ids(tail(guess), size, HASHER).unwrap();
    assert_eq!(
        hashes,
        ids(&object)
            .iter()
            .map(|id| HASHER.hash(id))
            .collect::<Vec<_>>()
    );
    for bytes in [1, 8, 100, 2000] {
        let Err(RecoverError::TooShort { needed }) = recover::event_ids(tail(bytes), size, HASHER)
        else {
            panic!("{bytes} bytes cannot be enough")
        };
        assert_eq!(
            recover::event_ids(tail(needed), size, HASHER).unwrap(),
            hashes,
            "after {bytes}"
        );
    }
}

#[test]
fn the_same_records_become_the_same_bytes() {
    let event = event(&[(NOON, payload("a")), (NOON + 1, payload("b"))]);
    assert_eq!(
        objects(&event, &SeenIds::default())[0].body,
        objects(&event, &SeenIds::default())[0].body
    );
}

#[derive(Clone, Debug)]
enum Kind {
    Event(u8),
    Test(u8),
    Garbage,
}

fn any_records() -> impl Strategy<Value = Vec<(i64, Kind)>> {
    let kind = prop_oneof![
        4 => any::<u8>().prop_map(Kind::Event),
        1 => any::<u8>().prop_map(Kind::Test),
        1 => Just(Kind::Garbage),
    ];
    proptest::collection::vec((NOON..NOON + 3 * CELL_MS, kind), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn received_is_written_plus_duplicates_plus_filtered_plus_rejected(
        records in any_records(), committed in proptest::collection::vec(any::<u8>(), 0..40)
    ) {
        let payloads: Vec<_> = records.iter().map(|(arrival, kind)| (*arrival, match kind {
            Kind::Event(id) => payload(&id.to_string()),
            Kind::Test(id) => test_payload(&id.to_string()),
            Kind::Garbage => "garbage".to_owned(),
        })).collect();
        let mut window = SeenIds::default();
        window.insert(committed.iter().map(|id| HASHER.hash(&id.to_string())));
        let event = event(&payloads);
        let batch = decode::kinesis(&event).unwrap();
        let mut received = 0;
        let mut written = std::collections::BTreeSet::new();
        for cell in cells(&batch, Contract::ours(), Filter::default(), HASHER) {
            received += cell.records().len();
            let plan = cell.plan(&window);
            if let Some(object) = cell.encode(&plan).unwrap() {
                let audit = &object.audit;
                prop_assert_eq!(audit.received, audit.written + audit.duplicates + audit.filtered + audit.rejected);
                prop_assert_eq!(audit.received, cell.records().len() as u64);
                prop_assert_eq!(audit.written, read(&object).num_rows() as u64);
                for id in ids(&object) {
                    prop_assert!(written.insert(id.clone()), "{} is written twice", id);
                }
            } else {
                prop_assert_eq!(plan.len(), 0);
            }
            window.insert(cell.ids(&plan));
        }
        prop_assert_eq!(received, records.len());
        let expected: std::collections::BTreeSet<_> = records.iter().filter_map(|(_, kind)| match kind {
            Kind::Event(id) if !committed.contains(id) => Some(id.to_string()),
            _ => None,
        }).collect();
        prop_assert_eq!(written, expected);
    }

    #[test]
    fn a_damaged_object_is_an_error_or_read_but_never_a_panic(
        at in 0.0..1.0, byte in any::<u8>(), cut in 0.0..1.0
    ) {
        let records: Vec<_> = (0..50).map(|n| (NOON, payload(&n.to_string()))).collect();
        let object = objects(&event(&records), &SeenIds::default()).remove(0);
        let mut bytes = object.body.to_vec();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an index")]
        let index = |share: f64| (bytes.len() as f64 * share) as usize;
        let (at, cut) = (index(at), index(cut));
        bytes[at] = byte;
        let size = bytes.len() as u64;
        let _ = recover::event_ids(bytes.clone().into(), size, HASHER);
        let _ = recover::event_ids(bytes[cut..].to_vec().into(), size, HASHER);
        let _ = recover::event_ids(bytes[..cut].to_vec().into(), cut as u64, HASHER);
        let _ = rollup::of_object(bytes.into(), Lateness { bound_ms: 0 }, 7);
    }
}
