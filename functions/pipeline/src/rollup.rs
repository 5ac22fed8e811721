//! Rows → per-device per-minute partial aggregates by event time: one rollup object beside each row object.
//!
//! A rollup is a function of its row object and the lateness bound, to the byte: made from the rows while they are at
//! hand, or from the object when a later delivery finds that it has none. Rows of different rollups merge by their key
//! (counts and sums add up), so an event that comes late is one more part of its minute and is never dropped. A sum
//! beyond a double is infinite, or NaN: it says that there is no such number, and readers must ask.

use std::collections::HashMap;

use bytes::Bytes;
use events::contract::{MAX_TIME_US, MIN_TIME_US};
use foldhash::fast::FixedState;
use parquet::data_type::{DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::schema::types::TypePtr;

use crate::columns::{self, File, Kind, Tail};
use crate::encode;

/// Width of a window of event time: a minute, in microseconds.
pub const WINDOW_US: i64 = 60 * 1_000_000;

/// Columns of `rollups`, in order.
fn schema() -> Result<TypePtr, ParquetError> {
    columns::schema(
        "rollups",
        [
            ("window_start", Kind::Time, false),
            ("device_id", Kind::Text, false),
            ("device_type", Kind::Text, false),
            ("events", Kind::Int64, false),
            ("value_count", Kind::Int64, false),
            ("value_sum", Kind::Double, false),
            ("value_min", Kind::Double, true),
            ("value_max", Kind::Double, true),
            ("duration_sum", Kind::Double, false),
            ("duration_min", Kind::Double, false),
            ("duration_max", Kind::Double, false),
            ("late_events", Kind::Int64, false),
        ],
    )
}

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
    let file = File::open(Tail::new(0, object))?;
    let event_time = file.times("event_time")?;
    let arrival_time = file.times("arrival_time")?;
    let device_id = file.texts("device_id")?;
    let device_type = file.texts("device_type")?;
    let event_duration = file.doubles("event_duration")?;
    let value = file.doubles("value")?;
    let is_time = |us: &i64| (MIN_TIME_US..=MAX_TIME_US).contains(us);
    let event = |row: usize| {
        Some(Event {
            event_time_us: event_time[row].filter(is_time)?,
            arrival_ms: arrival_time[row].filter(is_time)? / 1000,
            device_id: device_id[row].as_ref()?.as_utf8().ok()?,
            device_type: device_type[row].as_ref()?.as_utf8().ok()?,
            event_duration: event_duration[row]?,
            value: value[row],
        })
    };
    let events: Vec<Event> = (0..event_time.len())
        .map(|row| {
            let not_ours = || ParquetError::General(format!("row {row} is no event of ours"));
            event(row).ok_or_else(not_ours)
        })
        .collect::<Result<_, _>>()?;
    of_events(events.into_iter(), lateness, hash_seed)
}

fn encode(events: &[Event], places: &[Place], lateness: Lateness) -> Result<Rollup, ParquetError> {
    let rows: Vec<(&Place, Aggregate)> = places
        .chunk_by(Place::is_of_row)
        .map(|row| {
            let mut aggregate = Aggregate::EMPTY;
            for place in row {
                aggregate.add(&events[place.event], lateness);
            }
            (&row[0], aggregate)
        })
        .collect();
    let places = || rows.iter().map(|(place, _)| place);
    let aggregates = || rows.iter().map(|(_, aggregate)| aggregate);
    let bound = KeyValue::new(
        "tributary-lateness-ms".to_owned(),
        lateness.bound_ms.to_string(),
    );
    let properties = encode::rollups_properties();
    let body = columns::file(schema()?, properties, vec![bound], rows.len(), |columns| {
        columns.add::<Int64Type>(places().map(|place| place.window_start_us))?;
        columns.add_texts(places().map(|place| events[place.event].device_id))?;
        columns.add_texts(places().map(|place| events[place.event].device_type))?;
        columns.add::<Int64Type>(aggregates().map(|of| of.events))?;
        columns.add::<Int64Type>(aggregates().map(|of| of.value_count))?;
        columns.add::<DoubleType>(aggregates().map(|of| of.value_sum))?;
        let least_value = |of: &Aggregate| of.value_range.map(|(least, _)| least);
        columns.add_optional::<DoubleType>(aggregates().map(least_value))?;
        let most_value = |of: &Aggregate| of.value_range.map(|(_, most)| most);
        columns.add_optional::<DoubleType>(aggregates().map(most_value))?;
        columns.add::<DoubleType>(aggregates().map(|of| of.duration_sum))?;
        columns.add::<DoubleType>(aggregates().map(|of| of.duration_range.0))?;
        columns.add::<DoubleType>(aggregates().map(|of| of.duration_range.1))?;
        columns.add::<Int64Type>(aggregates().map(|of| of.late_events))
    })?;
    Ok(Rollup {
        body,
        rows: rows.len(),
    })
}

#[cfg(test)]
#[path = "rollup_tests.rs"]
mod tests;
