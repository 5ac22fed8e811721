//! What must hold, at every answer and when all is done.

use std::collections::BTreeSet;

use bytes::Bytes;
use event_source::answer::Answer;
use event_source::shard::Batch;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::lake::{Contents, SimulatedLake};
use super::stream::{HORIZON_MS, Stream, Verdict, number};

/// Nothing before the answer's position may be left undone: Lambda will never deliver it again.
pub fn of_answer(
    stream: &Stream,
    lake: &SimulatedLake,
    batch: &Batch,
    answer: &Answer,
) -> Result<(), String> {
    let contents = lake.contents();
    let from = match answer {
        Answer::PartialFrom(from) => Some(from.clone()),
        _ => None,
    };
    let done = batch
        .records()
        .iter()
        .take_while(|record| Some(&record.sequence_number) != from.as_ref());
    done.map(number)
        .try_for_each(|position| is_done(stream, &contents, position))
}

fn is_done(stream: &Stream, contents: &Contents, position: u64) -> Result<(), String> {
    let written = &stream.written[&position];
    let done = match &written.verdict {
        Verdict::Accepted(id) => contents.rows.contains_key(id),
        Verdict::Rejected => {
            let payload = base64_simd::STANDARD.encode_to_string(&written.payload);
            contents.quarantined.get(&position) == Some(&payload)
        }
        Verdict::Filtered => true,
    };
    if done {
        return Ok(());
    }
    Err(format!(
        "record {position} of {} ({:?}) is said to be done with, and is nowhere",
        written.shard, written.verdict
    ))
}

/// When nothing is left to be delivered.
pub fn at_rest(stream: &Stream, lake: &SimulatedLake) -> Result<(), String> {
    let contents = lake.contents();
    for position in stream.written.keys() {
        is_done(stream, &contents, *position)?;
    }
    let accepted: BTreeSet<&String> = stream
        .written
        .values()
        .filter_map(|written| {
            if let Verdict::Accepted(id) = &written.verdict {
                Some(id)
            } else {
                None
            }
        })
        .collect();
    for (id, rows) in &contents.rows {
        if !accepted.contains(id) {
            return Err(format!("{id} landed, and was never accepted"));
        }
        for (index, row) in rows.iter().enumerate() {
            for other in &rows[..index] {
                let apart_ms = (row.arrival_ms - other.arrival_ms).abs();
                if row.position == other.position || apart_ms <= HORIZON_MS {
                    return Err(format!(
                        "{id} landed twice, {apart_ms} ms apart:\n  position {} in {}\n  position {} in {}",
                        other.position, other.key, row.position, row.key
                    ));
                }
            }
        }
    }
    objects(lake, &contents)
}

fn objects(lake: &SimulatedLake, contents: &Contents) -> Result<(), String> {
    let objects = lake.memory.objects();
    for (key, created) in &contents.created {
        if objects.get(key) != Some(created) {
            return Err(format!("{key} was overwritten or deleted"));
        }
        audit(key, created)?;
    }
    Ok(())
}

/// Received = written + duplicates + filtered + rejected, and written is what is there.
fn audit(key: &str, object: &Bytes) -> Result<(), String> {
    let reader = SerializedFileReader::new(object.clone()).expect("Parquet");
    let file = reader.metadata().file_metadata();
    let entries = file.key_value_metadata().expect("the audit");
    let count = |name: &str| -> i64 {
        let name = format!("tributary-{name}");
        let entry = entries
            .iter()
            .find(|entry| entry.key == name)
            .expect("an audit entry");
        entry
            .value
            .as_deref()
            .expect("a value")
            .parse()
            .expect("a number")
    };
    let parts = ["written", "duplicates", "filtered", "rejected"].map(count);
    if count("received") != parts.iter().sum::<i64>() || count("written") != file.num_rows() {
        return Err(format!(
            "the audit of {key} does not add up: received {} = {parts:?}",
            count("received")
        ));
    }
    Ok(())
}
