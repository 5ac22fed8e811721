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
//!
//! `<stream>` is the stream's name, with a `!` before it if it begins with `_` or `.`: see [`shown`].

use std::borrow::Cow;
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

/// What of a stream's or topic's name stands in keys.
///
/// Hadoop and what follows it (Spark, Hive, Athena, Trino) pass over files whose name begins with `_` or `.`, and
/// streams and topics may be called so. `!` is in no name of theirs, and is a safe character of S3 keys
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>). It stands before a `!`, too, so that
/// every name reads back.
pub fn shown(stream: &str) -> Cow<'_, str> {
    if stream.starts_with(['_', '.', '!']) {
        format!("!{stream}").into()
    } else {
        stream.into()
    }
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
            "{under}date={}/{}.{shard}.{}.{commit:06}.parquet",
            cell.date(),
            shown(stream),
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
            stream: stream.strip_prefix('!').unwrap_or(stream).to_owned(),
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
        "{QUARANTINE}date={}/{}.{shard}.{first_position}.{hash}.jsonl",
        utc(arrival_ms).date(),
        shown(stream)
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
        let prefix = format!("{under}date={day}/{}.{shard}.", shown(stream));
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
#[path = "layout_tests.rs"]
mod tests;
