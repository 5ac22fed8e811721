//! `bench-batch EVENT ROUNDS [CONTRACT]`: carries one Lambda event, of a stream or of a topic, through the pure part, `ROUNDS` times, and
//! prints one JSON line: the median milliseconds, the process's peak of memory, rows, duplicates, rejected records and
//! Parquet bytes. The peers in `peers.py` print the same, so that `make bench` can set them side by side.
#![expect(clippy::print_stdout, reason = "printing is its purpose")]

use std::error::Error;
use std::time::Instant;

use benches::{LATENESS, SEED, peak_bytes};
use events::Contract;
use pipeline::dedupe::{IdHasher, SeenIds};
use pipeline::filter::Filter;
use pipeline::{cells, decode};

const FILTER: Filter = Filter {
    keep_test_events: true,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(event), Some(rounds)) = (arguments.next(), arguments.next()) else {
        return Err("usage: bench-batch EVENT ROUNDS [CONTRACT]".into());
    };
    let event = std::fs::read(event)?;
    let contract = match arguments.next() {
        Some(file) => &Contract::of_file(&file, &std::fs::read(&file)?)?,
        None => Contract::ours(),
    };
    let of_topic = event.starts_with(br#"{"eventSource""#);
    let mut milliseconds = Vec::new();
    let mut outcome = String::new();
    for _ in 0..rounds.parse::<usize>()?.max(1) {
        let started = Instant::now();
        let batches = if of_topic {
            decode::kafka(&event)?
        } else {
            vec![decode::kinesis(&event)?]
        };
        let window = SeenIds::default();
        let (mut rows, mut duplicates, mut rejected) = (0, 0, 0);
        let (mut aggregates, mut bytes) = (0, 0);
        for cell in batches
            .iter()
            .flat_map(|batch| cells(batch, contract, FILTER, IdHasher::new(SEED)))
        {
            rejected += cell.rejected().len() as u64;
            let plan = cell.plan(&window);
            if let Some(object) = cell.encode(&plan)? {
                let rollup = cell.rollup(&plan, LATENESS, SEED)?;
                aggregates += rollup.rows;
                bytes += rollup.body.len();
                rows += object.audit.written;
                duplicates += object.audit.duplicates;
                bytes += object.body.len();
            }
        }
        milliseconds.push(started.elapsed().as_secs_f64() * 1000.0);
        outcome = format!(
            r#""rows":{rows},"duplicates":{duplicates},"rejected":{rejected},"aggregates":{aggregates},"bytes":{bytes}"#
        );
    }
    milliseconds.sort_by(f64::total_cmp);
    println!(
        r#"{{"milliseconds":{:.3},"peak_bytes":{},{outcome}}}"#,
        milliseconds[milliseconds.len() / 2],
        peak_bytes()?,
    );
    Ok(())
}
