//! Tests of the names in the lake.

use super::*;
use proptest::prelude::*;

const NOON: i64 = 1_795_348_800_000; // 2026-11-22T12:00:00Z

fn name(arrival_ms: i64, commit: u32) -> ObjectName {
    ObjectName {
        stream: "tributary.events".into(),
        shard: "shardId-000000000003".into(),
        cell_start_ms: cell_start(arrival_ms),
        commit,
    }
}

#[test]
fn an_events_key_names_the_cell_and_the_place_in_its_log() {
    assert_eq!(
        name(NOON + 7, 42).events_key(),
        "events/date=2026-11-22/tributary.events.shardId-000000000003.20261122T1200Z.000042.parquet"
    );
}

#[test]
fn names_reach_as_far_as_the_calendar() {
    assert_eq!(LAST_NAMED_MS, Timestamp::MAX.as_millisecond());
}

#[test]
fn a_quarantine_key_names_the_first_position_and_the_content() {
    assert_eq!(
        quarantine_key("s", "shardId-000000000000", NOON, "0007", "c0ffee"),
        "quarantine/date=2026-11-22/s.shardId-000000000000.0007.c0ffee.jsonl"
    );
}

#[test]
fn a_topic_that_continues_like_anothers_partition_has_names_of_its_own() {
    // Topic `a`, partition 1, and topic `a.1`, partition 2: the second's keys begin with the first's prefix.
    let of = |stream: &str, shard: &str| ObjectName {
        stream: stream.into(),
        shard: shard.into(),
        ..name(NOON, 0)
    };
    let (one, other) = (of("a", "1"), of("a.1", "2"));
    let range = &day_ranges(EVENTS, "a", "1", &[NOON - 86_400_000..=NOON])[1];
    assert!(other.events_key().starts_with(&range.prefix));
    for name in [&one, &other] {
        let read_back = ObjectName::of_events_key(&name.events_key());
        assert_eq!(read_back.as_ref(), Some(name));
    }
    assert!(one.is_of("a", "1") && !other.is_of("a", "1"));
}

#[test]
fn no_name_in_a_key_begins_like_a_hidden_file() {
    for stream in ["_events", ".hidden", "_metadata", "..", "._", "_", ".", "!"] {
        let name = ObjectName {
            stream: stream.into(),
            ..name(NOON, 0)
        };
        let file = name.events_key().rsplit('/').next().map(str::to_owned);
        assert_eq!(
            file.as_deref(),
            Some(&*format!(
                "!{stream}.shardId-000000000003.20261122T1200Z.000000.parquet"
            ))
        );
        assert!(quarantine_key(stream, "1", NOON, "0", "0").contains("/!"));
        let ranges = day_ranges(EVENTS, stream, &name.shard, &[NOON..=NOON]);
        assert!(name.events_key().starts_with(&ranges[0].prefix));
    }
    for key in [
        "events/date=2026-11-22/_events.a.20261122T1200Z.000001.parquet",
        "events/date=2026-11-22/!events.a.20261122T1200Z.000001.parquet",
    ] {
        assert_eq!(ObjectName::of_events_key(key), None, "{key}");
    }
}

#[test]
fn a_range_across_midnight_is_two_lists() {
    let midnight = NOON + 12 * 3_600_000;
    let ranges = day_ranges(EVENTS, "s", "a", &[midnight - 1..=midnight + 1]);
    assert_eq!(
        ranges,
        [
            KeyRange {
                prefix: "events/date=2026-11-22/s.a.".into(),
                start_after: "events/date=2026-11-22/s.a.20261122T2345Z".into(),
                end: "events/date=2026-11-22/s.a.20261122T2359Z~".into(),
            },
            KeyRange {
                prefix: "events/date=2026-11-23/s.a.".into(),
                start_after: "events/date=2026-11-23/s.a.20261123T0000Z".into(),
                end: "events/date=2026-11-23/s.a.20261123T0000Z~".into(),
            },
        ]
    );
}

#[test]
fn keys_that_are_not_ours_have_no_name() {
    for key in [
        "events/date=2026-11-22/part-00000.parquet",
        "events/date=2026-11-23/s.a.20261122T1200Z.000001.parquet",
        "events/date=2026-11-22/s.a.20261122T1200Z..parquet",
        "events/date=2026-11-22/s.a.20261122T1200Z.1.parquet",
        "events/date=2026-11-22/s.a.20261122T1200Z.+00001.parquet",
        "events/date=2026-11-22/s.a.20261122T1207Z.000001.parquet",
        "events/date=2026-11-22/s.a.20261322T1200Z.000001.parquet",
        "reports/x.csv",
        "",
    ] {
        assert_eq!(ObjectName::of_events_key(key), None, "{key}");
    }
}

proptest! {
    #[test]
    fn a_key_reads_back_as_the_name_it_was_made_of(arrival_ms in ARRIVALS, commit: u32) {
        let name = name(arrival_ms, commit);
        prop_assert_eq!(ObjectName::of_events_key(&name.events_key()), Some(name.clone()));
        prop_assert_eq!(ObjectName::of_rollups_key(&name.rollups_key()), Some(name));
    }

    #[test]
    fn keys_tell_any_two_partitions_of_any_two_topics_apart(
        topics in ("[a1._!-]{1,4}", "[a1._!-]{1,4}"), partitions in (0_u32..12, 0_u32..12), commits in (0_u32..3, 0_u32..3)
    ) {
        let of = |stream: &str, partition: u32, commit| ObjectName {
            stream: stream.to_owned(), shard: partition.to_string(), ..name(NOON, commit)
        };
        let (one, other) = (of(&topics.0, partitions.0, commits.0), of(&topics.1, partitions.1, commits.1));
        prop_assert_eq!(one == other, one.events_key() == other.events_key());
        prop_assert_eq!(ObjectName::of_events_key(&one.events_key()), Some(one.clone()));
        let quarantine = |name: &ObjectName| {
            let position = padded("7", KAFKA_POSITION_DIGITS);
            quarantine_key(&name.stream, &name.shard, NOON, &position, &position)
        };
        prop_assert_eq!(
            (one.stream == other.stream, one.shard == other.shard) == (true, true),
            quarantine(&one) == quarantine(&other)
        );
    }

    #[test]
    fn names_of_a_shard_sort_by_cell_and_commit(
        a in (ARRIVALS, 0_u32..1_000_000), b in (ARRIVALS, 0_u32..1_000_000)
    ) {
        let (a, b) = (name(a.0, a.1), name(b.0, b.1));
        prop_assert_eq!(a.events_key().cmp(&b.events_key()), a.cmp(&b));
    }

    #[test]
    fn the_ranges_hold_every_cell_that_arrivals_touch_and_one_day_each(
        spans in proptest::collection::vec((0_i64..100_000_000, 1_i64..200_000_000), 1..5),
        arrival in 0_i64..1_000_000_000, commit: u32
    ) {
        let mut from = 0;
        let mut arrivals = Vec::new();
        for (length, gap) in spans {
            arrivals.push(from..=from + length);
            from += length + CELL_MS + gap;
        }
        let name = name(arrival, commit);
        let key = name.events_key();
        let ranges = day_ranges(EVENTS, &name.stream, &name.shard, &arrivals);
        let holding = ranges.iter().filter(|range| {
            key.starts_with(&range.prefix) && range.start_after < key && key < range.end
        });
        let touched = touches(&arrivals, name.cell_start_ms);
        prop_assert_eq!(touched, arrivals.iter().any(|range| {
            (cell_start(*range.start())..=*range.end()).contains(&name.cell_start_ms)
        }));
        let holding = holding.count();
        prop_assert!(holding <= 1 && (!touched || holding == 1));
        let days: std::collections::BTreeSet<_> = ranges.iter().map(|range| &range.prefix).collect();
        prop_assert_eq!(days.len(), ranges.len());
    }

    #[test]
    fn every_arrival_that_is_let_in_has_names_and_a_window_that_read_back(
        arrival in prop_oneof![ARRIVALS, Just(*ARRIVALS.start()), Just(*ARRIVALS.end())],
        reach in -MAX_HORIZON_MS..=MAX_HORIZON_MS,
    ) {
        let name = name(arrival + reach, 3);
        prop_assert_eq!(ObjectName::of_events_key(&name.events_key()), Some(name.clone()));
        let around = [arrival - MAX_HORIZON_MS..=arrival + MAX_HORIZON_MS];
        let key = name.events_key();
        let ranges = day_ranges(EVENTS, &name.stream, &name.shard, &around);
        prop_assert!(ranges.iter().any(|range| range.start_after < key && key < range.end));
    }

    #[test]
    fn hostile_keys_never_panic(key in "events/date=.{0,80}\\.parquet") {
        let _ = ObjectName::of_events_key(&key);
    }
}
