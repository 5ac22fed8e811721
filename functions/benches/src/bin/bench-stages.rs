//! The stages of the pure part on one Lambda event of 10,000 records. `make bench` runs it, and compares the whole
//! with the same work in Python.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use benches::{LATENESS, SEED};
use divan::Bencher;
use divan::counter::ItemsCount;
use events::Contract;
use pipeline::dedupe::{IdHasher, SeenIds};
use pipeline::filter::Filter;
use pipeline::{Cell, Plan, cells, decode, parse};

const HASHER: IdHasher = IdHasher::new(SEED);

fn main() {
    divan::main();
}

/// `BENCH_EVENT` names a file with a Lambda event; `make bench` makes one from the producer's records.
fn event() -> Vec<u8> {
    let file = std::env::var("BENCH_EVENT")
        .expect("BENCH_EVENT names a file with a Lambda event: run `make bench`");
    std::fs::read(file).unwrap()
}

#[divan::bench]
fn decode_envelope(bencher: Bencher) {
    let event = event();
    let records = decode::kinesis(&event).unwrap().len();
    bencher
        .counter(ItemsCount::new(records))
        .bench(|| decode::kinesis(&event).unwrap());
}

#[divan::bench]
fn parse_records(bencher: Bencher) {
    let event = event();
    let batch = decode::kinesis(&event).unwrap();
    bencher.counter(ItemsCount::new(batch.len())).bench(|| {
        batch
            .records()
            .filter(|record| {
                let payload = record.payload.unwrap_or_default();
                parse::parse(payload, record.arrival_ms, Contract::ours()).is_ok()
            })
            .count()
    });
}

#[divan::bench]
fn parse_and_filter_into_cells(bencher: Bencher) {
    let event = event();
    let batch = decode::kinesis(&event).unwrap();
    bencher
        .counter(ItemsCount::new(batch.len()))
        .bench(|| cells(&batch, Contract::ours(), Filter::default(), HASHER));
}

#[divan::bench]
fn dedupe(bencher: Bencher) {
    let event = event();
    let batch = decode::kinesis(&event).unwrap();
    let cells = cells(&batch, Contract::ours(), Filter::default(), HASHER);
    let window = SeenIds::default();
    bencher.counter(ItemsCount::new(batch.len())).bench(|| {
        cells
            .iter()
            .map(|cell| cell.plan(&window).len())
            .sum::<usize>()
    });
}

#[divan::bench]
fn encode_parquet(bencher: Bencher) {
    of_planned_cells(bencher, |cell, plan| {
        cell.encode(plan)
            .unwrap()
            .map_or(0, |object| object.body.len())
    });
}

#[divan::bench]
fn rollup(bencher: Bencher) {
    of_planned_cells(bencher, |cell, plan| {
        cell.rollup(plan, LATENESS, SEED).unwrap().rows
    });
}

/// Measures `stage` on every cell of the event, of which the plans are made before.
fn of_planned_cells(bencher: Bencher, stage: impl Fn(&Cell, &Plan) -> usize + Sync) {
    let event = event();
    let batch = decode::kinesis(&event).unwrap();
    let cells = cells(&batch, Contract::ours(), Filter::default(), HASHER);
    let plans: Vec<_> = cells
        .iter()
        .map(|cell| cell.plan(&SeenIds::default()))
        .collect();
    bencher.counter(ItemsCount::new(batch.len())).bench(|| {
        let planned = cells.iter().zip(&plans);
        planned.map(|(cell, plan)| stage(cell, plan)).sum::<usize>()
    });
}

#[divan::bench]
fn whole(bencher: Bencher) {
    let event = event();
    let records = decode::kinesis(&event).unwrap().len();
    bencher.counter(ItemsCount::new(records)).bench(|| {
        let batch = decode::kinesis(&event).unwrap();
        let window = SeenIds::default();
        cells(&batch, Contract::ours(), Filter::default(), HASHER)
            .iter()
            .map(|cell| {
                let plan = cell.plan(&window);
                let object = cell.encode(&plan).unwrap();
                let rollup = cell.rollup(&plan, LATENESS, SEED).unwrap();
                object.map_or(0, |object| object.body.len()) + rollup.body.len()
            })
            .sum::<usize>()
    });
}
