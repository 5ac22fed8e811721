//! Every S3 key and the time grid; the only place that formats or parses one.
//!
//! ```text
//! events/date=2026-11-22/<stream>.<shard>.<cell>.<commit>.parquet
//! rollups/date=2026-11-22/<stream>.<shard>.<cell>.<commit>.parquet
//! quarantine/date=2026-11-22/<stream>.<shard>.<first position>.<hash of the lines>.jsonl
//! ```
//!
//! The row objects of a shard whose records arrived in one cell of the time grid are a log: commit 0, commit 1, and
//! so on. A name says which place of which log an object has, never when or by whom it was written. Within a shard,
//! names sort by arrival.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};

/// Prefix of the row objects.
pub const EVENTS: &str = "events/";
/// Prefix of the partial aggregates of each row object.
pub const ROLLUPS: &str = "rollups/";
/// Prefix of the rejected records.
pub const QUARANTINE: &str = "quarantine/";

/// Kinesis sequence numbers have up to 56 decimal digits; names pad to that, so that text order is number order.
pub const KINESIS_POSITION_DIGITS: usize = 56;

/// Kafka offsets are numbers of 63 bits: 19 decimal digits, padded to 20.
pub const KAFKA_POSITION_DIGITS: usize = 20;

/// The time grid over arrival time: 15 minutes, in milliseconds. It divides a day, so no cell crosses midnight.
pub const CELL_MS: i64 = 15 * 60 * 1000;

/// The largest horizon that can be configured: a day, in milliseconds.
pub const MAX_HORIZON_MS: i64 = 24 * 60 * 60 * 1000;

/// The last millisecond of which jiff knows the date in every time zone, a day before the year 10000.
const LAST_NAMED_MS: i64 = 253_402_207_200_999;

/// The arrival times (milliseconds since the Unix epoch) of which names can be made, and of everything that a window
/// around them reaches. A record that says it arrived at another time is rejected. No broker has such a clock, but with
/// `CreateTime` a producer's time stamp is the arrival, and Kafka's "none" is -1.
pub const ARRIVALS: RangeInclusive<i64> = 0..=LAST_NAMED_MS - MAX_HORIZON_MS - CELL_MS;

/// Start of the grid cell that holds an arrival time (both in milliseconds since the Unix epoch).
pub fn cell_start(arrival_ms: i64) -> i64 {
    arrival_ms.div_euclid(CELL_MS) * CELL_MS
}

/// What the name of a row object says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// Stream or topic.
    pub stream: String,
    /// Shard id or partition number; without a dot, by which it is told from a stream's name.
    pub shard: String,
    /// Start of the grid cell in which the rows arrived, in milliseconds since the Unix epoch.
    pub cell_start_ms: i64,
    /// Place in the cell's log, from 0.
    pub commit: u32,
}

impl ObjectName {
    /// Whether it is in the log of this very shard. A listing by a shard's prefix finds others too: the keys of topic
    /// `a.1` begin like those of partition 1 of topic `a`.
    pub fn is_of(&self, stream: &str, shard: &str) -> bool {
        self.stream == stream && self.shard == shard
    }

    /// Key of the row object under [`EVENTS`].
    pub fn events_key(&self) -> String {
        self.key(EVENTS)
    }

    /// Key of the row object's rollup under [`ROLLUPS`].
    pub fn rollups_key(&self) -> String {
        self.key(ROLLUPS)
    }

    fn key(&self, under: &str) -> String {
        let Self {
            stream,
            shard,
            cell_start_ms,
            commit,
        } = self;
        let cell = utc(*cell_start_ms);
        format!(
            "{under}date={}/{stream}.{shard}.{}.{commit:06}.parquet",
            cell.date(),
            compact(cell)
        )
    }

    /// Reads an events key back; `None` for any key that [`ObjectName::events_key`] does not make.
    pub fn of_events_key(key: &str) -> Option<Self> {
        Self::of_key(EVENTS, key)
    }

    /// Reads a rollups key back; `None` for any key that [`ObjectName::rollups_key`] does not make.
    pub fn of_rollups_key(key: &str) -> Option<Self> {
        Self::of_key(ROLLUPS, key)
    }

    /// Reads the key of an object under [`EVENTS`] or [`ROLLUPS`] back; `None` for any key that is not made so.
    pub fn of_key(under: &str, key: &str) -> Option<Self> {
        let (_date, name) = key
            .strip_prefix(under)?
            .strip_prefix("date=")?
            .split_once('/')?;
        let mut parts = name.strip_suffix(".parquet")?.rsplitn(4, '.');
        let (commit, cell, shard, stream) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let name = Self {
            stream: stream.to_owned(),
            shard: shard.to_owned(),
            cell_start_ms: parse_compact(cell)?,
            commit: commit.parse().ok()?,
        };
        (cell_start(name.cell_start_ms) == name.cell_start_ms && name.key(under) == key)
            .then_some(name)
    }
}

/// A position padded to the width that names have, so that text order is number order.
pub fn padded(position: &str, digits: usize) -> String {
    format!("{position:0>digits$}")
}

/// Key of the rejected records of one grid cell of a delivery: `first_position` is the padded position of the first one,
/// `arrival_ms` its arrival, `hash` that of the object's content.
pub fn quarantine_key(
    stream: &str,
    shard: &str,
    arrival_ms: i64,
    first_position: &str,
    hash: &str,
) -> String {
    format!(
        "{QUARANTINE}date={}/{stream}.{shard}.{first_position}.{hash}.jsonl",
        utc(arrival_ms).date()
    )
}

/// One LIST request: keys under `prefix` that sort after `start_after`, up to `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// What every key starts with.
    pub prefix: String,
    /// Keys sort after this one.
    pub start_after: String,
    /// Keys sort before this one.
    pub end: String,
}

/// Where the objects under [`EVENTS`] or [`ROLLUPS`] lie of a shard in the cells that `arrivals` (milliseconds; apart and
/// in order) touch: one range per UTC day, in order. It also has what lies between two arrivals of a day, see
/// [`touches`].
pub fn day_ranges(
    under: &str,
    stream: &str,
    shard: &str,
    arrivals: &[RangeInclusive<i64>],
) -> Vec<KeyRange> {
    let mut days: BTreeMap<Date, (DateTime, DateTime)> = BTreeMap::new();
    for arrivals in arrivals {
        let (from, to) = (
            utc(cell_start(*arrivals.start())),
            utc(cell_start(*arrivals.end())),
        );
        for day in from
            .date()
            .series(1.day())
            .take_while(|day| *day <= to.date())
        {
            let first = from.max(day.at(0, 0, 0, 0));
            let last = to.min(day.at(23, 59, 59, 0));
            days.entry(day)
                .and_modify(|(_, until)| *until = last)
                .or_insert((first, last));
        }
    }
    let range = |(day, (from, to)): (Date, (DateTime, DateTime))| {
        let prefix = format!("{under}date={day}/{stream}.{shard}.");
        KeyRange {
            start_after: format!("{prefix}{}", compact(from)),
            // `~` sorts after every character that a key of ours has.
            end: format!("{prefix}{}~", compact(to)),
            prefix,
        }
    };
    days.into_iter().map(range).collect()
}

/// Whether `arrivals` (milliseconds; apart and in order) touch the cell that starts at `cell_start_ms`.
pub fn touches(arrivals: &[RangeInclusive<i64>], cell_start_ms: i64) -> bool {
    let after = arrivals.partition_point(|range| cell_start(*range.start()) <= cell_start_ms);
    after > 0 && cell_start_ms <= *arrivals[after - 1].end()
}

fn utc(ms: i64) -> DateTime {
    // Never clamped: arrivals are within [`ARRIVALS`], horizons within [`MAX_HORIZON_MS`].
    let timestamp = Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    });
    Offset::UTC.to_datetime(timestamp)
}

/// `20261122T1015Z`
fn compact(time: DateTime) -> String {
    format!(
        "{:04}{:02}{:02}T{:02}{:02}Z",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute()
    )
}

fn parse_compact(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i16>().ok();
    let part = |range| number(range).and_then(|number| i8::try_from(number).ok());
    let time = DateTime::new(
        number(0..4)?,
        part(4..6)?,
        part(6..8)?,
        part(9..11)?,
        part(11..13)?,
        0,
        0,
    )
    .ok()?;
    Some(Offset::UTC.to_timestamp(time).ok()?.as_millisecond())
}

#[cfg(test)]
mod tests {
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
            topics in ("[a1.]{1,4}", "[a1.]{1,4}"), partitions in (0_u32..12, 0_u32..12), commits in (0_u32..3, 0_u32..3)
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
}
