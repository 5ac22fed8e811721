//! The pipeline does with every generated record what the ledger says that it must.

use jiff::Timestamp;
use pipeline::filter::Filter;
use pipeline::parse::parse;
use producer::generate::{Generator, Outcome, Settings, Shares};
use proptest::prelude::*;

/// Many of every kind.
const SHARES: Shares = Shares {
    duplicates: 0.1,
    malformed: 0.3,
    late: 0.1,
    outliers: 0.05,
    test_events: 0.1,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_parser_agrees_with_the_ledger_about_every_record(seed in any::<u64>()) {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().expect("a time");
        let mut generator = Generator::new(&Settings { seed, devices: 50, shares: SHARES });
        for _ in 0..2_000 {
            let record = generator.next_record(now);
            let (outcome, reason) = match parse(&record.payload, now.as_millisecond()) {
                Ok(row) if Filter::default().drops(&row) => (Outcome::Filtered, None),
                Ok(_) => (Outcome::Written, None),
                Err(rejected) => (Outcome::Rejected, Some(rejected.reason)),
            };
            prop_assert_eq!((outcome, reason), (record.expected.outcome, record.expected.reason));
        }
    }
}
