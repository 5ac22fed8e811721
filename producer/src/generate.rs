//! Records and what must become of them, from a seed.
//!
//! The same seed, settings and clock make the same records, byte for byte: no clock, environment or other source of
//! chance is read here.

mod devices;
mod expected;
mod history;
mod malformed;
mod shaped;
mod shares;
mod timeline;

use std::sync::Arc;

use bytes::Bytes;
use events::{Contract, Event, SCHEMA_VERSION};
use jiff::{SignedDuration, Timestamp};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use uuid::Uuid;

pub use devices::{DEVICE_TYPES, DeviceType};
pub use expected::{Expected, Kind, Outcome};
pub use history::MAX_DUPLICATE_DISTANCE;
pub use malformed::{DEFECTS, Defect};
pub use shaped::ShapeError;
pub use shares::{Shares, SharesError};
pub use timeline::{JITTER, Timeline, TimelineError};

use devices::{Device, Fleet};
use history::History;
use shaped::Shape;

/// How far a late event lies behind the clock, in microseconds: 10 minutes to 6 hours.
const LATENESS_US: std::ops::Range<i64> = 600_000_000..21_600_000_000;

/// What to generate.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// From which all chance comes.
    pub seed: u64,
    /// Number of devices, at least 1.
    pub devices: u32,
    /// How many records are other than normal.
    pub shares: Shares,
}

/// One record for the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The bytes to store; cheap to clone.
    pub payload: Bytes,
    /// The `device_id` of the device that sent it, also when the payload is malformed.
    pub partition_key: Arc<str>,
    /// What must become of it.
    pub expected: Expected,
}

/// Makes records, one after the other.
#[derive(Debug)]
pub struct Generator {
    rng: ChaCha8Rng,
    fleet: Fleet,
    shares: Shares,
    history: History,
    defects: std::iter::Cycle<std::slice::Iter<'static, Defect>>,
    /// How events look, if not as ours.
    shape: Option<Shape>,
}

impl Generator {
    /// A generator at its first record.
    pub fn new(settings: &Settings) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(settings.seed),
            fleet: Fleet::new(settings.devices, settings.seed),
            shares: settings.shares,
            history: History::default(),
            defects: DEFECTS.iter().cycle(),
            shape: None,
        }
    }

    /// A generator of events of a contract.
    ///
    /// # Errors
    /// If the contract's ids cannot be UUIDs.
    pub fn of(settings: &Settings, contract: &Contract) -> Result<Self, ShapeError> {
        let ours = contract.hash() == Contract::ours().hash();
        let shape = (!ours).then(|| Shape::new(contract.clone())).transpose()?;
        Ok(Self {
            shape,
            ..Self::new(settings)
        })
    }

    /// The next record, at the clock's time.
    pub fn next_record(&mut self, clock: Timestamp) -> Record {
        let kind = self.shares.draw(&mut self.rng);
        let record = match kind {
            // The first record of all has nothing to repeat.
            Kind::Duplicate => self
                .history
                .draw(&mut self.rng)
                .unwrap_or_else(|| self.event(Kind::Normal, clock)),
            Kind::Malformed => self.malformed(clock),
            _ => self.event(kind, clock),
        };
        self.history.push(&record);
        record
    }

    fn event(&mut self, kind: Kind, clock: Timestamp) -> Record {
        let device = self.fleet.pick(&mut self.rng);
        let value = device.next_value(&mut self.rng);
        let id = event_id(clock, &mut self.rng);
        let text = id.to_string();
        let event = draw_event(kind, &text, device, value, clock, &mut self.rng);
        let wire = Wire {
            event: &event,
            firmware: device.firmware,
            signal: device.rssi.map(|rssi| Signal { rssi }),
        };
        let payload = match &self.shape {
            None => serde_json::to_vec(&wire).expect("an event has a JSON form"),
            Some(shape) => shape.payload(&event, kind, &mut self.rng),
        };
        let has_filter = self.shape.as_ref().is_none_or(Shape::has_filter);
        let outcome = if kind == Kind::Test && has_filter {
            Outcome::Filtered
        } else {
            Outcome::Written
        };
        Record {
            payload: payload.into(),
            partition_key: Arc::clone(&device.id),
            expected: Expected {
                event_id: Some(id),
                kind,
                outcome,
                reason: None,
            },
        }
    }

    fn malformed(&mut self, clock: Timestamp) -> Record {
        let defect = self.defects.next().expect("a cycle does not end");
        let device = self.fleet.pick(&mut self.rng);
        let value = device.next_value(&mut self.rng);
        let id = event_id(clock, &mut self.rng);
        let text = id.to_string();
        let event = draw_event(Kind::Malformed, &text, device, value, clock, &mut self.rng);
        let (payload, reason) = match &mut self.shape {
            None => (defect.spoil(&event), defect.reason),
            Some(shape) => shape.malformed(&event, &mut self.rng),
        };
        let carries_id = match &self.shape {
            None => malformed::carries_event_id(&payload, &text),
            Some(shape) => shape.carries(&payload, &text),
        };
        Record {
            partition_key: Arc::clone(&device.id),
            expected: Expected {
                event_id: carries_id.then_some(id),
                kind: Kind::Malformed,
                outcome: Outcome::Rejected,
                reason: Some(reason),
            },
            payload: payload.into(),
        }
    }
}

/// An event on the wire, with fields that the contract does not know and must keep.
#[derive(Serialize)]
struct Wire<'a> {
    #[serde(flatten)]
    event: &'a Event<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    firmware: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<Signal>,
}

#[derive(Serialize)]
struct Signal {
    rssi: i32,
}

fn draw_event<'a>(
    kind: Kind,
    event_id: &'a str,
    device: &'a Device,
    value: Option<f64>,
    clock: Timestamp,
    rng: &mut impl Rng,
) -> Event<'a> {
    let event_duration = match kind {
        Kind::Outlier => device.next_outlier_duration_ms(rng),
        _ => device.next_duration_ms(rng),
    };
    let behind_us = match kind {
        Kind::Late => rng.random_range(LATENESS_US),
        _ => rng.random_range(0..5_000_000),
    };
    let time = clock - SignedDuration::from_micros(behind_us);
    let event_time = match device.offset {
        Some(offset) => time.display_with_offset(offset).to_string(),
        None => time.to_string(),
    };
    Event {
        schema_version: SCHEMA_VERSION,
        event_id: event_id.into(),
        device_id: (&*device.id).into(),
        device_type: device.device_type.name.into(),
        event_time: event_time.into(),
        event_duration,
        value,
        test: kind == Kind::Test,
    }
}

/// A `UUIDv7` (RFC 9562) of the clock's millisecond and 74 random bits.
fn event_id(clock: Timestamp, rng: &mut impl Rng) -> Uuid {
    let millisecond = u64::try_from(clock.as_millisecond()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millisecond, &rng.random()).into_uuid()
}
