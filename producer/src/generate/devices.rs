//! The fleet: device types, their distributions, and each device's slowly moving reading.

use std::sync::Arc;

use jiff::tz::Offset;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, LogNormal, StandardNormal};

/// A random walk between two bounds.
#[derive(Clone, Copy, Debug)]
struct Walk {
    start: f64,
    step: f64,
    low: f64,
    high: f64,
}

/// A kind of device.
#[derive(Clone, Copy, Debug)]
pub struct DeviceType {
    /// `device_type` on the wire.
    pub name: &'static str,
    /// Share of all events, in 1/10,000.
    pub weight: u32,
    /// Median of `event_duration`, in ms: e to the power of the log-normal's mu.
    median_ms: f64,
    /// The log-normal's sigma.
    sigma: f64,
    /// How `value` moves (°C, kW, bar, ppm); `None` for types without a reading.
    walk: Option<Walk>,
}

/// All device types; the weights sum to 10,000. The last one is rare: 60,000 events over 3 days hold about 150 of it
/// a day, which a report over groups of at least 500 leaves out.
pub const DEVICE_TYPES: [DeviceType; 6] = [
    device_type(
        "thermostat",
        3_000,
        120.0,
        0.35,
        Some(Walk {
            start: 21.0,
            step: 0.1,
            low: 5.0,
            high: 35.0,
        }),
    ),
    device_type(
        "energy-meter",
        2_425,
        15.0,
        0.6,
        Some(Walk {
            start: 1.2,
            step: 0.15,
            low: 0.0,
            high: 12.0,
        }),
    ),
    device_type("camera", 2_000, 2_500.0, 0.8, None),
    device_type("door-lock", 1_500, 900.0, 0.5, None),
    device_type(
        "smoke-alarm",
        1_000,
        40.0,
        0.25,
        Some(Walk {
            start: 3.0,
            step: 0.2,
            low: 0.0,
            high: 50.0,
        }),
    ),
    device_type(
        "water-valve",
        75,
        6_000.0,
        0.45,
        Some(Walk {
            start: 3.5,
            step: 0.05,
            low: 0.0,
            high: 8.0,
        }),
    ),
];

const fn device_type(
    name: &'static str,
    weight: u32,
    median_ms: f64,
    sigma: f64,
    walk: Option<Walk>,
) -> DeviceType {
    DeviceType {
        name,
        weight,
        median_ms,
        sigma,
        walk,
    }
}

impl DeviceType {
    /// An ordinary `event_duration`, in ms.
    fn duration_ms(&self, rng: &mut impl Rng) -> f64 {
        let distribution = LogNormal::new(self.median_ms.ln(), self.sigma)
            .expect("the constants above are finite");
        round(distribution.sample(rng), 3)
    }

    /// An `event_duration` far beyond the type's distribution, in ms.
    fn outlier_duration_ms(&self, rng: &mut impl Rng) -> f64 {
        let variance = self.sigma * self.sigma;
        let mean = self.median_ms * (variance / 2.0).exp();
        let standard_deviation = mean * (variance.exp() - 1.0).sqrt();
        round(mean + rng.random_range(20.0..60.0) * standard_deviation, 3)
    }
}

/// Rounds to a number of decimals, so that payloads stay short and do not depend on the last bit of a platform's
/// mathematics library.
fn round(number: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (number * scale).round() / scale
}

/// One device. What it is never changes; its reading walks.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_field_names,
    reason = "`device_type` is the contract's name"
)]
pub(super) struct Device {
    /// `device_id` on the wire, and the partition key.
    pub(super) id: Arc<str>,
    /// What it is.
    pub(super) device_type: &'static DeviceType,
    /// The offset in which it writes its times; `None` writes `Z`.
    pub(super) offset: Option<Offset>,
    /// A field that the contract does not know, sent by some devices.
    pub(super) firmware: Option<&'static str>,
    /// Another one, sent by some: received signal strength in dBm.
    pub(super) rssi: Option<i32>,
    reading: f64,
}

impl Device {
    /// The next reading, if the type has one.
    pub(super) fn next_value(&mut self, rng: &mut impl Rng) -> Option<f64> {
        let walk = self.device_type.walk?;
        let step: f64 = StandardNormal.sample(rng);
        self.reading = (self.reading + step * walk.step).clamp(walk.low, walk.high);
        Some(round(self.reading, 2))
    }

    /// The next ordinary `event_duration`, in ms.
    pub(super) fn next_duration_ms(&self, rng: &mut impl Rng) -> f64 {
        self.device_type.duration_ms(rng)
    }

    /// The next `event_duration` far from the others, in ms.
    pub(super) fn next_outlier_duration_ms(&self, rng: &mut impl Rng) -> f64 {
        self.device_type.outlier_duration_ms(rng)
    }
}

/// All devices, by type.
#[derive(Debug)]
pub(super) struct Fleet {
    devices: Vec<Vec<Device>>,
    total_weight: u32,
}

impl Fleet {
    /// A fleet of `devices` devices that take the types in turn; with fewer devices than types, the first types only.
    pub(super) fn new(devices: u32, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(1); // the generator draws from stream 0
        let mut by_type: Vec<Vec<Device>> = Vec::new();
        for (index, number) in (0..devices as usize).zip(1_u32..) {
            let type_index = index % DEVICE_TYPES.len();
            if by_type.len() <= type_index {
                by_type.push(Vec::new());
            }
            by_type[type_index].push(device(&DEVICE_TYPES[type_index], number, &mut rng));
        }
        let total_weight = DEVICE_TYPES
            .iter()
            .take(by_type.len())
            .map(|t| t.weight)
            .sum();
        Self {
            devices: by_type,
            total_weight,
        }
    }

    /// Draws the device of the next event: the type by weight, then one of its devices evenly.
    pub(super) fn pick(&mut self, rng: &mut impl Rng) -> &mut Device {
        let mut ticket = rng.random_range(0..self.total_weight);
        let mut chosen = 0;
        while ticket >= DEVICE_TYPES[chosen].weight {
            ticket -= DEVICE_TYPES[chosen].weight;
            chosen += 1;
        }
        let devices = &mut self.devices[chosen];
        let count = u32::try_from(devices.len()).expect("made from a u32");
        &mut devices[rng.random_range(0..count) as usize]
    }
}

fn device(device_type: &'static DeviceType, number: u32, rng: &mut ChaCha8Rng) -> Device {
    const FIRMWARE: [&str; 4] = ["4.1.9", "4.2.0", "4.2.1", "5.0.0-rc.1"];
    const OFFSETS_MINUTES: [i32; 4] = [60, -480, 330, 765];
    let offset = rng
        .random_bool(0.25)
        .then(|| OFFSETS_MINUTES[rng.random_range(0..4_u32) as usize]);
    let start = device_type.walk.map_or(0.0, |walk| walk.start);
    Device {
        id: format!("{}-{number:04}", device_type.name).into(),
        device_type,
        offset: offset.map(|minutes| Offset::from_seconds(minutes * 60).expect("within a day")),
        firmware: rng
            .random_bool(0.3)
            .then(|| FIRMWARE[rng.random_range(0..4_u32) as usize]),
        rssi: rng.random_bool(0.2).then(|| rng.random_range(-90..=-40)),
        reading: start * rng.random_range(0.8..1.2),
    }
}
