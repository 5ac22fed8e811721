//! What the generator promises: determinism, shares, and records that are what their expectation says.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{HashMap, HashSet};
use std::hash::Hasher;
use std::sync::LazyLock;

use events::{Event, Reason};
use jiff::civil::date;
use jiff::{SignedDuration, Timestamp};
use producer::generate::{
    DEFECTS, DEVICE_TYPES, Generator, Kind, MAX_DUPLICATE_DISTANCE, Outcome, Record, Settings,
    Shares, Timeline,
};
use proptest::prelude::*;

const DEMO: Shares = Shares {
    duplicates: 0.02,
    malformed: 0.01,
    late: 0.02,
    outliers: 0.005,
    test_events: 0.01,
};

fn now() -> Timestamp {
    "2026-11-22T09:00:00Z".parse().unwrap()
}

fn timeline(days: u16, events: u64) -> Timeline {
    Timeline::over_days(None, days, events, now()).unwrap()
}

fn records(seed: u64, shares: Shares, devices: u32, count: u64) -> Vec<Record> {
    let timeline = timeline(3, count);
    let mut generator = Generator::new(&Settings {
        seed,
        devices,
        shares,
    });
    (0..count)
        .map(|number| generator.next_record(timeline.clock(number, now())))
        .collect()
}

/// What the demo sends.
static DEMO_RECORDS: LazyLock<Vec<Record>> = LazyLock::new(|| records(1, DEMO, 300, 60_000));

fn event(record: &Record) -> Event<'_> {
    serde_json::from_slice(&record.payload).unwrap()
}

fn event_time(record: &Record) -> Timestamp {
    event(record).event_time.parse().unwrap()
}

fn of_kind(records: &[Record], kind: Kind) -> Vec<&Record> {
    records
        .iter()
        .filter(|record| record.expected.kind == kind)
        .collect()
}

#[test]
fn a_seed_makes_the_same_records_in_every_build() {
    let shares = Shares {
        duplicates: 0.2,
        malformed: 0.2,
        late: 0.2,
        outliers: 0.1,
        test_events: 0.1,
    };
    let first: Vec<String> = records(42, shares, 300, 12)
        .iter()
        .map(|record| {
            let payload = String::from_utf8_lossy(&record.payload);
            let expected = serde_json::to_string(&record.expected).unwrap();
            format!("{}\n  {expected}\n  {payload}", record.partition_key)
        })
        .collect();
    insta::assert_snapshot!(first.join("\n"));

    let mut hasher = Fnv::default();
    for record in records(42, DEMO, 300, 10_000) {
        hasher.write(&record.payload);
        hasher.write(record.partition_key.as_bytes());
        hasher.write(&serde_json::to_vec(&record.expected).unwrap());
    }
    insta::assert_snapshot!("hash_of_10000_records", format!("{:016x}", hasher.finish()));
}

/// FNV-1a: the standard library's hash may change from one release to the next.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[test]
fn different_seeds_make_different_events() {
    let ids = |seed| -> HashSet<_> {
        records(seed, DEMO, 300, 500)
            .iter()
            .filter_map(|record| record.expected.event_id)
            .collect()
    };
    assert!(ids(1).is_disjoint(&ids(2)));
}

#[test]
fn no_two_events_share_an_id_and_every_duplicate_repeats_a_recent_event_byte_for_byte() {
    let mut seen: HashMap<_, (u64, Record)> = HashMap::new();
    let mut farthest = 0;
    let shares = Shares {
        duplicates: 0.3,
        ..DEMO
    };
    for (number, record) in (0_u64..).zip(records(7, shares, 300, 40_000)) {
        let Some(id) = record.expected.event_id else {
            continue;
        };
        if record.expected.kind != Kind::Duplicate {
            assert!(
                seen.insert(id, (number, record)).is_none(),
                "{id} is not new"
            );
            continue;
        }
        let (original_number, original) = &seen[&id];
        assert_eq!(record.payload, original.payload);
        assert_eq!(record.partition_key, original.partition_key);
        assert_eq!(
            (record.expected.outcome, original.expected.outcome),
            (Outcome::Written, Outcome::Written)
        );
        farthest = farthest.max(number - original_number);
    }
    assert!(
        (5_000..=MAX_DUPLICATE_DISTANCE).contains(&farthest),
        "{farthest}"
    );
}

#[test]
fn event_ids_are_uuids_of_version_7_at_the_clocks_millisecond() {
    let timeline = timeline(3, 100);
    let mut generator = Generator::new(&Settings {
        seed: 1,
        devices: 6,
        shares: Shares::default(),
    });
    for number in 0..100 {
        let clock = timeline.clock(number, now());
        let id = generator.next_record(clock).expected.event_id.unwrap();
        let (seconds, nanoseconds) = id.get_timestamp().unwrap().to_unix();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(
            seconds * 1_000 + u64::from(nanoseconds) / 1_000_000,
            u64::try_from(clock.as_millisecond()).unwrap()
        );
    }
}

#[test]
fn every_record_that_is_to_be_written_or_filtered_keeps_the_contract() {
    for record in records(3, DEMO, 300, 20_000) {
        if record.expected.outcome == Outcome::Rejected {
            continue;
        }
        let event = event(&record);
        assert_eq!(event.schema_version, 1);
        assert_eq!(
            Some(event.event_id.parse().unwrap()),
            record.expected.event_id
        );
        assert_eq!(*event.device_id, *record.partition_key);
        assert!(event.event_duration > 0.0 && event.value.is_none_or(f64::is_finite));
        assert_eq!(event.test, record.expected.outcome == Outcome::Filtered);
        assert_eq!(record.expected.reason, None);
    }
}

#[test]
fn some_events_carry_fields_that_the_contract_does_not_know_and_some_other_offsets() {
    let records = records(3, Shares::default(), 300, 1_000);
    let share = |text: &str| {
        records
            .iter()
            .filter(|record| String::from_utf8_lossy(&record.payload).contains(text))
            .count()
    };
    assert!((200..500).contains(&share("\"firmware\":\"")));
    assert!((100..400).contains(&share("\"signal\":{\"rssi\":-")));
    assert!((100..400).contains(&(1_000 - share("Z\",\"event_duration\""))));
}

#[test]
fn event_times_advance_within_the_days_and_only_late_ones_lie_far_behind() {
    let timeline = timeline(3, 20_000);
    let (start, end) = (
        "2026-11-19T00:00:00Z".parse().unwrap(),
        "2026-11-22T00:00:00Z".parse().unwrap(),
    );
    let mut generator = Generator::new(&Settings {
        seed: 5,
        devices: 300,
        shares: DEMO,
    });
    for number in 0..20_000 {
        let clock = timeline.clock(number, now());
        let record = generator.next_record(clock);
        let kind = record.expected.kind;
        if matches!(kind, Kind::Malformed | Kind::Duplicate) {
            continue;
        }
        let time = event_time(&record);
        let behind = clock.duration_since(time);
        if kind == Kind::Late {
            assert!(
                behind >= SignedDuration::from_mins(10) && behind < SignedDuration::from_hours(6)
            );
        } else {
            assert!((start..end).contains(&time), "{time}");
            assert!(!behind.is_negative() && behind < producer::generate::JITTER);
        }
    }
}

#[test]
fn the_rare_type_stays_under_500_events_a_day_and_the_others_do_not() {
    let mut per_day: HashMap<(String, String), u32> = HashMap::new();
    for record in DEMO_RECORDS.iter() {
        if matches!(record.expected.kind, Kind::Normal | Kind::Outlier) {
            let event = event(record);
            let day = event_time(record).to_string()[..10].to_owned();
            *per_day
                .entry((event.device_type.into_owned(), day))
                .or_default() += 1;
        }
    }
    assert_eq!(per_day.len(), 3 * DEVICE_TYPES.len());
    for ((device_type, day), count) in per_day {
        let expected = if device_type == "water-valve" {
            100..200
        } else {
            1_000..10_000
        };
        assert!(
            expected.contains(&count),
            "{count} of {device_type} on {day}"
        );
    }
}

#[test]
fn outliers_lie_beyond_three_standard_deviations_of_their_type_and_day() {
    let mut groups: HashMap<(String, String), Vec<(bool, f64)>> = HashMap::new();
    for record in DEMO_RECORDS.iter().filter(|record| {
        matches!(
            record.expected.kind,
            Kind::Normal | Kind::Outlier | Kind::Late
        )
    }) {
        let event = event(record);
        let day = event_time(record).to_string()[..10].to_owned();
        let outlier = record.expected.kind == Kind::Outlier;
        groups
            .entry((event.device_type.into_owned(), day))
            .or_default()
            .push((outlier, event.event_duration));
    }
    for (group, durations) in groups
        .into_iter()
        .filter(|(_, durations)| durations.len() >= 500)
    {
        let count = f64::from(u32::try_from(durations.len()).unwrap());
        let mean = durations.iter().map(|(_, x)| x).sum::<f64>() / count;
        let variance = durations
            .iter()
            .map(|(_, x)| (x - mean).powi(2))
            .sum::<f64>()
            / (count - 1.0);
        let limit = mean + 3.0 * variance.sqrt();
        assert!(
            durations.iter().all(|(outlier, x)| !outlier || *x > limit),
            "{group:?} {limit}"
        );
    }
}

#[test]
fn every_defect_occurs_once_in_as_many_malformed_records() {
    let malformed = records(
        1,
        Shares {
            malformed: 1.0,
            ..Shares::default()
        },
        300,
        DEFECTS.len() as u64,
    );
    let reasons = |record: &Record| record.expected.reason.unwrap();
    assert_eq!(
        malformed.iter().map(reasons).collect::<Vec<_>>(),
        DEFECTS.map(|defect| defect.reason)
    );
    let distinct: HashSet<_> = DEFECTS.iter().map(|defect| defect.reason).collect();
    // The broker's time stamp is none of a payload's defects, and no field of ours has a list of values.
    let others = [Reason::ArrivalOutOfRange, Reason::NotAllowed];
    let of_payloads = Reason::ALL.iter().filter(|reason| !others.contains(reason));
    assert_eq!(distinct.len(), of_payloads.count());
}

#[test]
fn no_payload_holds_a_newline() {
    let shares = Shares {
        malformed: 0.5,
        ..DEMO
    };
    assert!(
        records(1, shares, 300, 2_000)
            .iter()
            .all(|record| !record.payload.contains(&b'\n'))
    );
}

#[test]
fn days_that_reach_into_the_future_or_before_2000_are_refused_with_the_rule() {
    let refused = |first, days| {
        Timeline::over_days(Some(first), days, 10, now())
            .unwrap_err()
            .to_string()
    };
    insta::assert_snapshot!(refused(date(2026, 11, 21), 3), @"--first-day 2026-11-21 with --days 3 ends on 2026-11-23, after today (2026-11-22): events from the future are rejected");
    insta::assert_snapshot!(refused(date(2000, 1, 1), 1), @"--first-day 2000-01-01 is too early: events before 2000-01-01 are rejected, and late ones reach back 6 h");
    assert!(Timeline::over_days(Some(date(2026, 11, 20)), 3, 10, now()).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn shares_are_kept_within_five_standard_deviations(
        seed: u64, duplicates in 0.0..0.2, malformed in 0.0..0.2, late in 0.0..0.2, outliers in 0.0..0.2, test_events in 0.0..0.2,
    ) {
        let count = 4_000_u32;
        let shares = Shares { duplicates, malformed, late, outliers, test_events };
        let records = records(seed, shares, 50, count.into());
        for (kind, share) in [
            (Kind::Duplicate, duplicates), (Kind::Malformed, malformed), (Kind::Late, late),
            (Kind::Outlier, outliers), (Kind::Test, test_events),
        ] {
            let found = f64::from(u32::try_from(of_kind(&records, kind).len()).unwrap());
            let expected = share * f64::from(count);
            // One more for the first record, which cannot be a duplicate.
            let tolerance = 5.0 * (expected * (1.0 - share)).sqrt() + 1.0;
            prop_assert!((found - expected).abs() <= tolerance, "{kind:?}: {found} of {expected}");
        }
    }

    #[test]
    fn any_number_of_devices_sends_from_that_many(seed: u64, devices in 1_u32..40) {
        let records = records(seed, DEMO, devices, 2_000);
        let keys: HashSet<_> = records.iter().map(|record| &record.partition_key).collect();
        prop_assert!(keys.len() <= devices as usize);
        prop_assert!(keys.len() >= (devices as usize).min(5));
    }
}
