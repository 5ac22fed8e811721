//! Rows → per-device per-minute partial aggregates by event time: one rollup object beside each row object.
//!
//! A rollup is a function of its row object and the lateness bound, to the byte: made from the rows while they are at
//! hand, or from the object when a later delivery finds that it has none. Rows of different rollups merge by their key
//! (counts and sums add up), so an event that comes late is one more part of its minute and is never dropped. A sum
//! beyond a double is infinite, or NaN: it says that there is no such number, and readers must ask.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::builder::{
    Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Field, Float64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use bytes::Bytes;
use foldhash::fast::FixedState;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;

use crate::encode;
use crate::recover::{has_plausible_rows, or_panicked};

/// Width of a window of event time: a minute, in microseconds.
pub const WINDOW_US: i64 = 60 * 1_000_000;

/// Columns of `rollups`, in order.
pub static ROLLUPS_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let utc = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("window_start", utc(), false),
        Field::new("device_id", DataType::Utf8, false),
        Field::new("device_type", DataType::Utf8, false),
        Field::new("events", DataType::Int64, false),
        Field::new("value_count", DataType::Int64, false),
        Field::new("value_sum", DataType::Float64, false),
        Field::new("value_min", DataType::Float64, true),
        Field::new("value_max", DataType::Float64, true),
        Field::new("duration_sum", DataType::Float64, false),
        Field::new("duration_min", DataType::Float64, false),
        Field::new("duration_max", DataType::Float64, false),
        Field::new("late_events", DataType::Int64, false),
    ]))
});

/// When an event counts as late: its event time is older than its arrival by more than this. It is written and merged
/// all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lateness {
    /// Milliseconds.
    pub bound_ms: i64,
}

impl Lateness {
    /// Whether an event of `event_time_us` that arrived at `arrival_ms` is late.
    pub fn is_late(self, event_time_us: i64, arrival_ms: i64) -> bool {
        arrival_ms * 1000 - event_time_us > self.bound_ms * 1000
    }
}

/// An object of `rollups`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollup {
    /// Parquet.
    pub body: Bytes,
    /// One per minute, device and type.
    pub rows: usize,
}

/// What a rollup needs of a row.
#[derive(Clone, Copy, Debug)]
pub struct Event<'r> {
    /// Microseconds since the Unix epoch.
    pub event_time_us: i64,
    /// The broker's time stamp, in milliseconds since the Unix epoch.
    pub arrival_ms: i64,
    /// The device.
    pub device_id: &'r str,
    /// Its kind.
    pub device_type: &'r str,
    /// Milliseconds.
    pub event_duration: f64,
    /// The reading.
    pub value: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
struct Aggregate {
    events: i64,
    value_count: i64,
    value_sum: f64,
    value_range: Option<(f64, f64)>,
    duration_sum: f64,
    duration_range: (f64, f64),
    late_events: i64,
}

impl Aggregate {
    const EMPTY: Self = Self {
        events: 0,
        value_count: 0,
        value_sum: 0.0,
        value_range: None,
        duration_sum: 0.0,
        duration_range: (f64::INFINITY, f64::NEG_INFINITY),
        late_events: 0,
    };

    fn add(&mut self, event: &Event, lateness: Lateness) {
        let late = lateness.is_late(event.event_time_us, event.arrival_ms);
        self.events += 1;
        self.late_events += i64::from(late);
        self.duration_sum += event.event_duration;
        self.duration_range = widened(self.duration_range, event.event_duration);
        if let Some(value) = event.value {
            self.value_count += 1;
            self.value_sum += value;
            let range = self.value_range.unwrap_or((value, value));
            self.value_range = Some(widened(range, value));
        }
    }
}

fn widened((least, most): (f64, f64), value: f64) -> (f64, f64) {
    (least.min(value), most.max(value))
}

/// Aggregates events, in the order of their row object, into the rollup object that belongs beside it.
///
/// `hash_seed` should be random, and changes nothing but the time it takes: it keeps a producer from choosing devices
/// that collide in a hash table.
///
/// # Errors
/// None that input can cause; the Parquet writer's signature has one.
pub fn of_events<'r>(
    events: impl Iterator<Item = Event<'r>>,
    lateness: Lateness,
    hash_seed: u64,
) -> Result<Rollup, ParquetError> {
    let events: Vec<Event> = events.collect();
    encode(&events, &in_order(&events, hash_seed), lateness)
}

/// An event's place among the rows of a rollup: by window, device id and type, and then as in its row object, so that
/// sums add up in one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    window_start_us: i64,
    /// Rank of device id and type among those of the rollup: a whole batch takes 3.5 % less time than with text.
    device: usize,
    event: usize,
}

impl Place {
    fn is_of_row(&self, other: &Self) -> bool {
        (self.window_start_us, self.device) == (other.window_start_us, other.device)
    }
}

fn in_order(events: &[Event], hash_seed: u64) -> Vec<Place> {
    let mut numbers: HashMap<(&str, &str), usize, FixedState> =
        HashMap::with_hasher(FixedState::with_seed(hash_seed));
    let mut places: Vec<Place> = Vec::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        let next = numbers.len();
        let device = numbers.entry((event.device_id, event.device_type));
        places.push(Place {
            window_start_us: event.event_time_us.div_euclid(WINDOW_US) * WINDOW_US,
            device: *device.or_insert(next),
            event: index,
        });
    }
    let mut devices: Vec<_> = numbers.into_iter().collect();
    devices.sort_unstable();
    let mut ranks = vec![0; devices.len()];
    for (rank, (_, number)) in devices.into_iter().enumerate() {
        ranks[number] = rank;
    }
    for place in &mut places {
        place.device = ranks[place.device];
    }
    places.sort_unstable();
    places
}

/// Makes the rollup of a whole row object. For `hash_seed` see [`of_events`].
///
/// # Errors
/// If the bytes are not a row object.
pub fn of_object(
    object: Bytes,
    lateness: Lateness,
    hash_seed: u64,
) -> Result<Rollup, ParquetError> {
    or_panicked(|| read_object(object, lateness, hash_seed))?
}

fn read_object(object: Bytes, lateness: Lateness, hash_seed: u64) -> Result<Rollup, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(object)?;
    has_plausible_rows(builder.metadata())?;
    let mask = ProjectionMask::columns(
        builder.parquet_schema(),
        [
            "event_time",
            "device_type",
            "device_id",
            "event_duration",
            "value",
            "arrival_time",
        ],
    );
    let batches = builder.with_projection(mask).build()?;
    let batches: Vec<_> = batches.collect::<Result<_, _>>()?;
    let columns: Vec<_> = batches
        .iter()
        .map(Columns::of)
        .collect::<Option<_>>()
        .ok_or_else(|| ParquetError::General("not a row object: a column is missing".into()))?;
    of_events(
        columns.iter().flat_map(Columns::events),
        lateness,
        hash_seed,
    )
}

/// The columns that a rollup is made of.
struct Columns<'b> {
    event_time: &'b TimestampMicrosecondArray,
    arrival_time: &'b TimestampMicrosecondArray,
    device_id: &'b StringArray,
    device_type: &'b StringArray,
    event_duration: &'b Float64Array,
    value: &'b Float64Array,
}

impl<'b> Columns<'b> {
    fn of(rows: &'b RecordBatch) -> Option<Self> {
        let time = |name| {
            rows.column_by_name(name)?
                .as_primitive_opt::<TimestampMicrosecondType>()
        };
        let text = |name| rows.column_by_name(name)?.as_string_opt::<i32>();
        let number = |name| rows.column_by_name(name)?.as_primitive_opt::<Float64Type>();
        Some(Self {
            event_time: time("event_time")?,
            arrival_time: time("arrival_time")?,
            device_id: text("device_id")?,
            device_type: text("device_type")?,
            event_duration: number("event_duration")?,
            value: number("value")?,
        })
    }

    fn events(&self) -> impl Iterator<Item = Event<'b>> {
        (0..self.event_time.len()).map(|row| Event {
            event_time_us: self.event_time.value(row),
            arrival_ms: self.arrival_time.value(row) / 1000,
            device_id: self.device_id.value(row),
            device_type: self.device_type.value(row),
            event_duration: self.event_duration.value(row),
            value: self.value.is_valid(row).then(|| self.value.value(row)),
        })
    }
}

fn encode(events: &[Event], places: &[Place], lateness: Lateness) -> Result<Rollup, ParquetError> {
    let n = places.len();
    let counts = || Int64Builder::with_capacity(n);
    let numbers = || Float64Builder::with_capacity(n);
    let mut window_start = TimestampMicrosecondBuilder::with_capacity(n).with_timezone("UTC");
    let mut device_id = StringBuilder::with_capacity(n, n * 24);
    let mut device_type = StringBuilder::with_capacity(n, n * 16);
    let (mut event_count, mut value_count, mut late_events) = (counts(), counts(), counts());
    let (mut value_sum, mut value_min, mut value_max) = (numbers(), numbers(), numbers());
    let (mut duration_sum, mut duration_min, mut duration_max) = (numbers(), numbers(), numbers());
    for row in places.chunk_by(Place::is_of_row) {
        let mut aggregate = Aggregate::EMPTY;
        for place in row {
            aggregate.add(&events[place.event], lateness);
        }
        window_start.append_value(row[0].window_start_us);
        device_id.append_value(events[row[0].event].device_id);
        device_type.append_value(events[row[0].event].device_type);
        event_count.append_value(aggregate.events);
        value_count.append_value(aggregate.value_count);
        value_sum.append_value(aggregate.value_sum);
        value_min.append_option(aggregate.value_range.map(|(least, _)| least));
        value_max.append_option(aggregate.value_range.map(|(_, most)| most));
        duration_sum.append_value(aggregate.duration_sum);
        duration_min.append_value(aggregate.duration_range.0);
        duration_max.append_value(aggregate.duration_range.1);
        late_events.append_value(aggregate.late_events);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(window_start.finish()),
        Arc::new(device_id.finish()),
        Arc::new(device_type.finish()),
        Arc::new(event_count.finish()),
        Arc::new(value_count.finish()),
        Arc::new(value_sum.finish()),
        Arc::new(value_min.finish()),
        Arc::new(value_max.finish()),
        Arc::new(duration_sum.finish()),
        Arc::new(duration_min.finish()),
        Arc::new(duration_max.finish()),
        Arc::new(late_events.finish()),
    ];
    let rows = RecordBatch::try_new(ROLLUPS_SCHEMA.clone(), columns)?;
    let bound = KeyValue::new(
        "tributary-lateness-ms".to_owned(),
        lateness.bound_ms.to_string(),
    );
    Ok(Rollup {
        body: encode::file(&rows, encode::rollups_properties(), vec![bound])?,
        rows: rows.num_rows(),
    })
}

#[cfg(test)]
#[path = "rollup_tests.rs"]
mod tests;
