//! `bench-lake-objects DIRECTORY DAY OBJECTS ROWS < EVENTS`: carries events, one a line, through the pure part and writes what
//! it would commit as a lake in a directory: `OBJECTS` objects of `ROWS` records each and their rollups, over four
//! shards and the UTC day of arrival `DAY`. `make bench-lake` compacts them.
#![expect(clippy::print_stdout, reason = "printing is its purpose")]

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, stdin};
use std::path::Path;

use benches::{LATENESS, SEED};
use events::Contract;
use jiff::civil::Date;
use pipeline::dedupe::{IdHasher, SeenIds};
use pipeline::filter::Filter;
use pipeline::{cells, decode};
use serde_json::{Value, json};

const SHARDS: u32 = 4;
const SECONDS_PER_DAY: f64 = 86_400.0;
const FILTER: Filter = Filter {
    keep_test_events: false,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, day, objects, rows] = arguments.as_slice() else {
        return Err("usage: bench-lake-objects DIRECTORY DAY OBJECTS ROWS < EVENTS".into());
    };
    let (objects, rows): (u32, usize) = (objects.parse()?, rows.parse()?);
    let day_start = day
        .parse::<Date>()?
        .to_zoned(jiff::tz::TimeZone::UTC)?
        .timestamp()
        .as_second();
    let mut lines = stdin().lock().lines();
    let mut logs = HashMap::new();
    for number in 0..objects {
        let lines: Vec<String> = lines.by_ref().take(rows).collect::<Result<_, _>>()?;
        if lines.is_empty() {
            return Err(format!("the events end before object {number}").into());
        }
        let share = f64::from(number) / f64::from(objects);
        let arrival = i32::try_from(day_start).map(f64::from)? + share * SECONDS_PER_DAY;
        let event = envelope(&lines, number % SHARDS, arrival, u64::from(number));
        commit(Path::new(directory), &event, &mut logs)?;
    }
    println!("{objects} objects of {rows} records in {directory}");
    Ok(())
}

/// Lambda's event of a Kinesis shard.
fn envelope(lines: &[String], shard: u32, arrival: f64, number: u64) -> Vec<u8> {
    let records: Vec<Value> = lines
        .iter()
        .zip(1_u64..)
        .map(|(line, index)| {
            json!({
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": "device",
                    "sequenceNumber": format!("4959033827149025660855969253836157{:022}", number * 1_000_000 + index),
                    "data": base64_simd::STANDARD.encode_to_string(line),
                    "approximateArrivalTimestamp": arrival,
                },
                "eventID": format!("shardId-{shard:012}:0"),
                "eventSource": "aws:kinesis",
                "eventSourceARN": "arn:aws:kinesis:us-east-1:000000000000:stream/tributary-events",
            })
        })
        .collect();
    json!({ "Records": records }).to_string().into_bytes()
}

fn commit(
    directory: &Path,
    event: &[u8],
    logs: &mut HashMap<(String, i64), u32>,
) -> Result<(), Box<dyn Error>> {
    let batch = decode::kinesis(event)?;
    for cell in cells(&batch, Contract::ours(), FILTER, IdHasher::new(SEED)) {
        let plan = cell.plan(&SeenIds::default());
        let Some(object) = cell.encode(&plan)? else {
            continue;
        };
        let next = logs
            .entry((batch.shard.clone(), cell.start_ms()))
            .or_default();
        let name = cell.name(*next);
        *next += 1;
        let rollup = cell.rollup(&plan, LATENESS, SEED)?.body;
        for (key, body) in [
            (name.events_key(), object.body),
            (name.rollups_key(), rollup),
        ] {
            let file = directory.join(key);
            std::fs::create_dir_all(file.parent().unwrap_or(directory))?;
            std::fs::write(file, body)?;
        }
    }
    Ok(())
}
