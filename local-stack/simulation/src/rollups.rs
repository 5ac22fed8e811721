//! Every row object has its rollup, and the rollups merge to what the rows say.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pipeline::layout::ObjectName;

use super::stream::LATENESS;

/// Window start (microseconds), device, type.
type Key = (i64, String, String);

#[derive(Debug, Default, PartialEq)]
struct Aggregate {
    events: i64,
    value_count: i64,
    value_sum: f64,
    values: Option<(f64, f64)>,
    duration_sum: f64,
    durations: Option<(f64, f64)>,
    late_events: i64,
}

impl Aggregate {
    fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.value_count += other.value_count;
        self.value_sum += other.value_sum;
        self.values = merged(self.values, other.values);
        self.duration_sum += other.duration_sum;
        self.durations = merged(self.durations, other.durations);
        self.late_events += other.late_events;
    }
}

fn merged(a: Option<(f64, f64)>, b: Option<(f64, f64)>) -> Option<(f64, f64)> {
    let (Some((low, high)), Some((other_low, other_high))) = (a, b) else {
        return a.or(b);
    };
    Some((low.min(other_low), high.max(other_high)))
}

pub(crate) fn merge_to_the_events(objects: &BTreeMap<String, Bytes>) -> Result<(), String> {
    let mut of_rows: BTreeMap<Key, Aggregate> = BTreeMap::new();
    let mut of_rollups: BTreeMap<Key, Aggregate> = BTreeMap::new();
    let mut rollups = 0_i64;
    for (key, object) in objects {
        let Some(name) = ObjectName::of_events_key(key) else {
            rollups += i64::from(ObjectName::of_rollups_key(key).is_some());
            continue;
        };
        let Some(rollup) = objects.get(&name.rollups_key()) else {
            return Err(format!("{key} has no rollup"));
        };
        read(object, &mut of_rows, row_aggregate);
        read(rollup, &mut of_rollups, rollup_aggregate);
        rollups -= 1;
    }
    if rollups != 0 {
        return Err(format!("{rollups} rollups belong to no row object"));
    }
    if of_rows != of_rollups {
        return Err(format!(
            "the rollups do not merge to the rows:\n{of_rollups:?}\nrows:\n{of_rows:?}"
        ));
    }
    Ok(())
}

fn read(
    object: &Bytes,
    into: &mut BTreeMap<Key, Aggregate>,
    aggregate: fn(&RecordBatch, usize) -> (i64, Aggregate),
) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(object.clone()).expect("Parquet");
    for rows in reader.build().expect("Parquet") {
        let rows = rows.expect("rows");
        let text = |name: &str, row| column(&rows, name).as_string::<i32>().value(row).to_owned();
        for row in 0..rows.num_rows() {
            let (window_start, aggregate) = aggregate(&rows, row);
            let key = (
                window_start,
                text("device_id", row),
                text("device_type", row),
            );
            into.entry(key).or_default().add(&aggregate);
        }
    }
}

fn row_aggregate(rows: &RecordBatch, row: usize) -> (i64, Aggregate) {
    let time = |name| {
        column(rows, name)
            .as_primitive::<TimestampMicrosecondType>()
            .value(row)
    };
    let duration = number(rows, "event_duration", row).expect("not null");
    let value = number(rows, "value", row);
    let late = time("arrival_time") - time("event_time") > LATENESS.bound_ms * 1000;
    let aggregate = Aggregate {
        events: 1,
        value_count: i64::from(value.is_some()),
        value_sum: value.unwrap_or_default(),
        values: value.map(|value| (value, value)),
        duration_sum: duration,
        durations: Some((duration, duration)),
        late_events: i64::from(late),
    };
    let minute = 60 * 1_000_000;
    (time("event_time").div_euclid(minute) * minute, aggregate)
}

fn rollup_aggregate(rows: &RecordBatch, row: usize) -> (i64, Aggregate) {
    let count = |name| column(rows, name).as_primitive::<Int64Type>().value(row);
    let number = |name| number(rows, name, row);
    let aggregate = Aggregate {
        events: count("events"),
        value_count: count("value_count"),
        value_sum: number("value_sum").expect("not null"),
        values: number("value_min").zip(number("value_max")),
        duration_sum: number("duration_sum").expect("not null"),
        durations: number("duration_min").zip(number("duration_max")),
        late_events: count("late_events"),
    };
    let starts = column(rows, "window_start").as_primitive::<TimestampMicrosecondType>();
    (starts.value(row), aggregate)
}

fn number(rows: &RecordBatch, name: &str, row: usize) -> Option<f64> {
    let numbers = column(rows, name).as_primitive::<Float64Type>();
    numbers.is_valid(row).then(|| numbers.value(row))
}

fn column<'r>(rows: &'r RecordBatch, name: &str) -> &'r dyn Array {
    rows.column_by_name(name).expect("a column")
}
