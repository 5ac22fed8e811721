//! The pipeline does with every generated record what the ledger says that it must.

use base64::prelude::{BASE64_STANDARD, Engine};
use events::{Contract, Reason};
use jiff::Timestamp;
use pipeline::decode;
use pipeline::filter::Filter;
use pipeline::parse::parse;
use producer::generate::{Generator, Outcome, Record, Settings, Shares};
use proptest::prelude::*;

/// Many of every kind.
const SHARES: Shares = Shares {
    duplicates: 0.1,
    malformed: 0.3,
    late: 0.1,
    outliers: 0.05,
    test_events: 0.1,
};

/// The records as Lambda delivers them.
fn lambda_event(records: &[Record], arrival: Timestamp) -> Vec<u8> {
    let record = |(position, record): (usize, &Record)| {
        serde_json::json!({
            "kinesis": {
                "partitionKey": &*record.partition_key,
                "sequenceNumber": position.to_string(),
                "data": BASE64_STANDARD.encode(&record.payload),
                "approximateArrivalTimestamp": arrival.as_second(),
            },
            "eventID": format!("shardId-000000000000:{position}"),
            "eventSourceARN": "arn:aws:kinesis:us-east-1:000000000000:stream/events",
        })
    };
    let records: Vec<_> = records.iter().enumerate().map(record).collect();
    serde_json::to_vec(&serde_json::json!({ "Records": records })).expect("JSON")
}

const CONTRACTS: [&str; 4] = [
    events::contract::OURS,
    include_str!("../../functions/events/tests/contracts/cloudevents.toml"),
    include_str!("../../functions/events/tests/contracts/clicks.toml"),
    include_str!("../../functions/events/tests/contracts/every-rule.toml"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_pipeline_agrees_with_the_ledger_about_every_record(seed in any::<u64>(), file in proptest::sample::select(&CONTRACTS[..])) {
        let contract = &Contract::of_file("contract.toml", file.as_bytes()).expect("a contract");
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().expect("a time");
        let mut generator = Generator::of(&Settings { seed, devices: 50, shares: SHARES }, contract).expect("ids are UUIDs");
        let records: Vec<_> = (0..2_000).map(|_| generator.next_record(now)).collect();
        let event = lambda_event(&records, now);
        let batch = decode::kinesis(&event).expect("a Lambda event");
        prop_assert_eq!(batch.len(), records.len());
        for (decoded, record) in batch.records().zip(&records) {
            let parsed = match decoded.payload {
                Ok(payload) => parse(payload, decoded.arrival_ms, contract),
                Err(rejected) => Err(rejected.clone()),
            };
            let (outcome, reason) = match parsed {
                Ok(row) if Filter::default().drops(&row) => (Outcome::Filtered, None),
                Ok(_) => (Outcome::Written, None),
                Err(rejected) => (Outcome::Rejected, Some(rejected.reason)),
            };
            prop_assert_eq!((outcome, reason), (record.expected.outcome, record.expected.reason));
        }
    }
}

#[test]
fn every_rule_of_a_contract_is_broken_by_some_record() {
    let now: Timestamp = "2026-11-22T12:00:00Z".parse().expect("a time");
    let contract = Contract::of_file("contract.toml", CONTRACTS[3].as_bytes()).expect("a contract");
    let shares = Shares {
        malformed: 1.0,
        ..Shares::default()
    };
    let settings = Settings {
        seed: 1,
        devices: 50,
        shares,
    };
    let mut generator = Generator::of(&settings, &contract).expect("ids are UUIDs");
    let mut reasons: Vec<_> = (0..100)
        .filter_map(|_| generator.next_record(now).expected.reason)
        .collect();
    reasons.sort();
    reasons.dedup();
    for reason in [
        Reason::MissingField,
        Reason::DuplicateField,
        Reason::WrongType,
        Reason::EmptyField,
        Reason::OversizedField,
        Reason::UnsupportedSchemaVersion,
        Reason::EventTimeOutOfRange,
        Reason::OutOfRange,
        Reason::NotAllowed,
    ] {
        assert!(reasons.contains(&reason), "{reason:?} in {reasons:?}");
    }
}

#[test]
fn a_contract_whose_ids_cannot_be_uuids_is_refused() {
    let settings = Settings {
        seed: 1,
        devices: 5,
        shares: SHARES,
    };
    let short = CONTRACTS[0].replacen("max_bytes = 128", "max_bytes = 12", 1);
    let contract = Contract::of_file("contract.toml", short.as_bytes()).expect("a contract");
    assert_eq!(
        Generator::of(&settings, &contract)
            .map(|_| ())
            .unwrap_err()
            .to_string(),
        "id.max_bytes is 12: the ids that the producer makes are UUIDs, of 36 bytes"
    );
}
