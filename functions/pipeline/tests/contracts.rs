//! Contracts other than ours: the parser against a naive reading, and typed columns in Parquet.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "contracts/model.rs"]
mod model;
#[path = "../../events/tests/generated/smoke_event.rs"]
mod smoke_event;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use events::{Contract, Reason};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pipeline::dedupe::{IdHasher, SeenIds};
use pipeline::filter::Filter;
use pipeline::parse::{Row, Value, parse};
use pipeline::rollup::Lateness;
use pipeline::{cells, decode};
use proptest::prelude::*;

/// 2026-11-22T12:00:00Z
const NOON: i64 = 1_795_348_800_000;

fn contract(file: &str) -> Contract {
    let path = format!(
        "{}/../events/tests/contracts/{file}",
        env!("CARGO_MANIFEST_DIR")
    );
    Contract::of_file(file, &std::fs::read(path).unwrap()).unwrap()
}

const PARCEL: &str = r#"{"specversion":"1.0","id":"p-1","source":"/hall/7","type":"org.example.parcel.scanned","time":"2026-11-22T12:59:59.5+01:00","datacontenttype":"application/json","data":{"scanner":{"id":"s-7","lane":3},"scan":{"seconds":1.25},"parcel":{"kilograms":2.5,"pieces":2,"address":{"city":"Köln", "zip":"50667"},"due":1795435200,"colour":"red"}}}"#;

const CLICK: &str = r#"{"click":"c-1","user":"u-9","page":"basket","ts":1795348799123,"country":"DE","scroll":0.75,"ref":"mail"}"#;

fn rejected(event: &str, contract: &Contract) -> (Reason, String) {
    let rejected = parse(event.as_bytes(), NOON, contract).unwrap_err();
    (rejected.reason, rejected.detail)
}

#[test]
fn an_event_in_an_envelope_has_its_columns_and_what_remains_keeps_its_place() {
    let parcels = contract("cloudevents.toml");
    let row = parse(PARCEL.as_bytes(), NOON, &parcels).unwrap();
    let attributes = r#"{"datacontenttype":"application/json","data":{"scanner":{"lane":3},"parcel":{"colour":"red"}}}"#;
    assert_eq!(
        row,
        Row {
            event_time_us: 1_795_348_799_500_000,
            device_type: "org.example.parcel.scanned".into(),
            device_id: "s-7".into(),
            event_duration: 1250.0,
            value: Some(2.5),
            attributes: Some(attributes.to_owned()),
            schema_version: 1,
            event_id: "p-1".into(),
            filtered: false,
            columns: vec![
                Value::Text("/hall/7".into()),
                Value::Integer(2),
                Value::Text(r#"{"city":"Köln", "zip":"50667"}"#.into()),
                Value::Time(1_795_435_200_000_000),
            ],
        }
    );
    let heartbeat = PARCEL.replace("org.example.parcel.scanned", "org.example.heartbeat");
    assert!(
        parse(heartbeat.as_bytes(), NOON, &parcels)
            .unwrap()
            .filtered
    );
}

#[test]
fn a_flat_event_needs_no_value_no_version_and_no_duration() {
    let clicks = contract("clicks.toml");
    let row = parse(CLICK.as_bytes(), NOON, &clicks).unwrap();
    assert_eq!(row.event_time_us, 1_795_348_799_123_000);
    assert_eq!(
        (row.event_duration, row.value, row.schema_version),
        (0.0, None, 1)
    );
    assert_eq!(row.columns, [Value::Text("DE".into()), Value::Double(0.75)]);
    assert_eq!(row.attributes.as_deref(), Some(r#"{"ref":"mail"}"#));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn a_rejection_names_the_field_as_the_event_has_it() {
    let parcels = contract("cloudevents.toml");
    for (from, to, reason, detail) in [
        (
            r#""id":"s-7","#,
            "",
            Reason::MissingField,
            "data.scanner.id is missing",
        ),
        (
            r#""seconds":1.25"#,
            r#""seconds":-1"#,
            Reason::OutOfRange,
            "data.scan.seconds is -1, below 0",
        ),
        (
            r#""seconds":1.25"#,
            r#""seconds":1e999"#,
            Reason::OutOfRange,
            "data.scan.seconds is larger than a double can hold",
        ),
        (
            r#""scan":{"seconds":1.25}"#,
            r#""scan":[1.25]"#,
            Reason::WrongType,
            "data.scan is not an object",
        ),
        (
            r#""scan":{"seconds":1.25}"#,
            r#""scan":null"#,
            Reason::MissingField,
            "data.scan.seconds is missing",
        ),
        (
            r#""seconds":1.25"#,
            r#""seconds":1.25,"seconds":1"#,
            Reason::DuplicateField,
            "data.scan.seconds occurs more than once",
        ),
        (
            r#""scan":{"#,
            r#""scan":{},"scan":{"#,
            Reason::DuplicateField,
            "data.scan occurs more than once",
        ),
        (
            r#""specversion":"1.0""#,
            r#""specversion":"0.3""#,
            Reason::UnsupportedSchemaVersion,
            "specversion is another, this pipeline reads 1.0",
        ),
        (
            r#""pieces":2"#,
            r#""pieces":1001"#,
            Reason::OutOfRange,
            "data.parcel.pieces is 1001, above 1000",
        ),
        (
            r#""pieces":2"#,
            r#""pieces":2.5"#,
            Reason::WrongType,
            "data.parcel.pieces is not an integer",
        ),
        (
            r#""pieces":2"#,
            r#""pieces":9007199254740993.0"#,
            Reason::OutOfRange,
            "data.parcel.pieces is not certainly an integer of 64 bits",
        ),
        (
            r#""source":"/hall/7""#,
            r#""source":"""#,
            Reason::EmptyField,
            "source is empty",
        ),
        (
            r#""due":1795435200"#,
            r#""due":1e12"#,
            Reason::OutOfRange,
            "data.parcel.due is outside of the years 1 to 9999",
        ),
        (
            r#""id":"s-7""#,
            r#""id":"\ud83d""#,
            Reason::InvalidJson,
            "data.scanner.id: unexpected end of hex escape at line 1 column 8",
        ),
    ] {
        assert!(PARCEL.contains(from), "{from}");
        let event = PARCEL.replacen(from, to, 1);
        assert_eq!(
            rejected(&event, &parcels),
            (reason, detail.to_owned()),
            "{event}"
        );
    }
    let clicks = contract("clicks.toml");
    for (from, to, reason, detail) in [
        (
            r#""ts":1795348799123"#,
            r#""ts":"now""#,
            Reason::WrongType,
            "ts is not a number",
        ),
        (
            r#""ts":1795348799123"#,
            r#""ts":1795348799"#,
            Reason::EventTimeOutOfRange,
            "ts is before the year 2000",
        ),
        (
            r#""ts":1795348799123"#,
            r#""ts":1795435200001"#,
            Reason::EventTimeOutOfRange,
            "ts is over 24 h ahead of arrival",
        ),
        (
            r#""ts":1795348799123"#,
            r#""ts":1e300"#,
            Reason::EventTimeOutOfRange,
            "ts is beyond 64 bits of microseconds",
        ),
        (
            r#""country":"DE""#,
            r#""country":"D""#,
            Reason::NotAllowed,
            "country has 1 bytes, at least 2 are needed",
        ),
        (
            r#""country":"DE""#,
            r#""country":null"#,
            Reason::WrongType,
            "country is not a string",
        ),
        (
            r#""scroll":0.75"#,
            r#""scroll":1.5"#,
            Reason::OutOfRange,
            "scroll is 1.5, above 1",
        ),
        (
            r#""ref":"mail""#,
            r#""bot":"yes""#,
            Reason::WrongType,
            "bot is not true or false",
        ),
    ] {
        assert!(CLICK.contains(from), "{from}");
        let event = CLICK.replacen(from, to, 1);
        assert_eq!(
            rejected(&event, &clicks),
            (reason, detail.to_owned()),
            "{event}"
        );
    }
}

#[test]
fn an_epochs_fraction_is_kept_to_the_microsecond() {
    let clicks = contract("clicks.toml");
    for (ts, us) in [
        ("1795348799123", 1_795_348_799_123_000),
        ("1795348799123.456", 1_795_348_799_123_456),
        ("1795348799123.4564", 1_795_348_799_123_456),
        ("1.795348799123456e12", 1_795_348_799_123_456),
        ("946684800000", 946_684_800_000_000),
    ] {
        let event = CLICK.replace("1795348799123", ts);
        assert_eq!(
            parse(event.as_bytes(), NOON, &clicks)
                .unwrap()
                .event_time_us,
            us,
            "{ts}"
        );
    }
}

fn written(event: &[u8], contract: &Contract) -> (RecordBatch, usize) {
    let batch = decode::kinesis(event).unwrap();
    let cells = cells(&batch, contract, Filter::default(), IdHasher::new(7));
    let plan = cells[0].plan(&SeenIds::default());
    let object = cells[0].encode(&plan).unwrap().unwrap();
    let entries = object.audit.entries();
    assert!(entries.contains(&("tributary-contract", contract.hash().to_owned())));
    let rollup = cells[0].rollup(&plan, Lateness { bound_ms: 0 }, 7).unwrap();
    let mut rows = ParquetRecordBatchReaderBuilder::try_new(object.body)
        .unwrap()
        .build()
        .unwrap();
    (rows.next().unwrap().unwrap(), rollup.rows)
}

fn lambda_event(payloads: &[&str]) -> Vec<u8> {
    let record = |(position, payload): (usize, &&str)| {
        let data = base64_simd::STANDARD.encode_to_string(payload);
        format!(
            r#"{{"kinesis":{{"partitionKey":"d","sequenceNumber":"{position}","data":"{data}","approximateArrivalTimestamp":1795348800}},"eventID":"shardId-000000000001:{position}","eventSourceARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s"}}"#
        )
    };
    let records: Vec<_> = payloads.iter().enumerate().map(record).collect();
    format!(r#"{{"Records":[{}]}}"#, records.join(",")).into_bytes()
}

#[test]
fn typed_columns_lie_before_the_id_with_their_types_and_nulls() {
    let bare = r#"{"specversion":"1.0","id":"p-2","source":"x","type":"t","time":"2026-11-22T11:00:00Z","data":{"scanner":{"id":"s"},"scan":{"seconds":0},"parcel":{"kilograms":null,"address":null}}}"#;
    let parcels = contract("cloudevents.toml");
    let (rows, aggregates) = written(&lambda_event(&[PARCEL, bare, PARCEL]), &parcels);
    let schema = rows.schema();
    let names: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| &**field.name())
        .collect();
    assert_eq!(
        names[9..],
        [
            "schema_version",
            "source",
            "pieces",
            "address",
            "due_at",
            "event_id"
        ]
    );
    let nullable: Vec<_> = schema.fields()[10..]
        .iter()
        .map(|field| field.is_nullable())
        .collect();
    assert_eq!(nullable, [false, true, true, true, false]);
    assert_eq!((rows.num_rows(), aggregates), (2, 2));
    let column = |name| rows.column_by_name(name).unwrap();
    assert_eq!(column("source").as_string::<i32>().value(0), "/hall/7");
    assert_eq!(column("pieces").as_primitive::<Int64Type>().value(0), 2);
    assert_eq!(
        column("address").as_string::<i32>().value(0),
        r#"{"city":"Köln", "zip":"50667"}"#
    );
    assert_eq!(
        column("due_at")
            .as_primitive::<TimestampMicrosecondType>()
            .value(0),
        1_795_435_200_000_000
    );
    let durations = column("event_duration").as_primitive::<Float64Type>();
    assert_eq!(durations.value(0).to_bits(), 1250_f64.to_bits());
    for name in ["value", "pieces", "address", "due_at"] {
        assert!(column(name).is_null(1), "{name}");
    }
}

/// The event of a deployment's smoke test, sent at noon; an error says which event is rejected.
fn smoke(contract: &Contract) -> Result<String, String> {
    let event = smoke_event::of(contract)
        .replace("@id@", "smoke-1")
        .replace("@time@", "2026-11-22T12:00:00Z")
        .replace("@epoch_s@", "1795348800");
    match parse(event.as_bytes(), NOON, contract) {
        Ok(row)
            if row.event_id == "smoke-1" && row.event_time_us == NOON * 1000 && !row.filtered =>
        {
            Ok(event)
        }
        outcome => Err(format!("{event}: {outcome:?}")),
    }
}

#[test]
fn the_event_of_the_smoke_test_has_what_the_contract_requires_and_no_more() {
    assert_eq!(
        smoke(&contract("cloudevents.toml")).unwrap().trim_end(),
        r#"{"specversion":"1.0","id":"smoke-1","data":{"scanner":{"id":"smoke-test"},"scan":{"seconds":1.0}},"type":"smoke-test","time":"2026-11-22T12:00:00Z","source":"smoke-test"}"#
    );
    smoke(&contract("clicks.toml")).unwrap();
    smoke(&contract("every-rule.toml")).unwrap();
    smoke(Contract::ours()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_event_of_the_smoke_test_is_accepted_by_any_contract(model in model::contracts()) {
        let file = model.file();
        let contract = Contract::of_file("contract.toml", file.as_bytes()).unwrap();
        prop_assert_eq!(smoke(&contract).map(|_| ()), Ok(()), "{}", file);
    }

    #[test]
    fn the_parser_agrees_with_a_naive_reading_about_any_contract_and_event(
        case in model::contracts().prop_flat_map(|contract| (model::events(&contract), Just(contract)))
    ) {
        let (event, model) = case;
        let file = model.file();
        let contract = Contract::of_file("contract.toml", file.as_bytes());
        let contract = contract.unwrap_or_else(|error| panic!("{error}\n{file}"));
        let text = event.to_string();
        let read = match parse(text.as_bytes(), NOON, &contract) {
            Ok(row) => Ok(model::Cells::of(&row)),
            Err(rejected) => Err(rejected.reason),
        };
        prop_assert_eq!(read, model.read(&event, NOON), "{}\n{}", file, text);
    }
}
