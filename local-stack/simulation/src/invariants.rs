//! What must hold, at every answer and when all is done.

use std::collections::BTreeSet;

use bytes::Bytes;
use event_source::answer::Answer;
use event_source::shard::Batch;
use parquet::file::reader::{FileReader, SerializedFileReader};

use pipeline::layout::{ObjectName, cell_start};

use super::lake::{Contents, SimulatedLake, audit_value};
use super::rollups;
use super::stream::{HORIZON_MS, Stream, Verdict, number};

/// Nothing before the answer's position may be left undone: Lambda will never deliver it again.
pub(crate) fn of_answer(
    stream: &Stream,
    lake: &SimulatedLake,
    batch: &Batch,
    answer: &Answer,
) -> Result<(), String> {
    let from = match answer {
        Answer::PartialFrom(from) => Some(from.clone()),
        _ => None,
    };
    let done = batch
        .records()
        .iter()
        .take_while(|record| Some(&record.sequence_number) != from.as_ref());
    are_done(stream, lake, done.map(number))
}

/// What was said to be done with is done with.
pub(crate) fn are_done(
    stream: &Stream,
    lake: &SimulatedLake,
    positions: impl IntoIterator<Item = u64>,
) -> Result<(), String> {
    let contents = lake.contents();
    positions
        .into_iter()
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

/// When nothing is left to be delivered. What was given up has left the order of its shard, on which the promise
/// about a producer's duplicates leans; with `in_order` it is kept, without it only each record lands once, and each
/// id once in a cell.
pub(crate) fn at_rest(stream: &Stream, lake: &SimulatedLake, in_order: bool) -> Result<(), String> {
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
                let same_cell = row.shard == other.shard
                    && cell_start(row.arrival_ms) == cell_start(other.arrival_ms);
                if row.position == other.position || same_cell || in_order && apart_ms <= HORIZON_MS
                {
                    return Err(format!(
                        "{id} landed twice, {apart_ms} ms apart:\n  position {} in {}\n  position {} in {}",
                        other.position, other.key, row.position, row.key
                    ));
                }
            }
        }
    }
    objects(lake, &contents)?;
    rollups::merge_to_the_events(&lake.memory.objects())
}

fn objects(lake: &SimulatedLake, contents: &Contents) -> Result<(), String> {
    let objects = lake.memory.objects();
    for (key, created) in &contents.created {
        if objects.get(key) != Some(created) {
            return Err(format!("{key} was overwritten or deleted"));
        }
        audit(key, created)?;
        let name = ObjectName::of_events_key(key).expect("an events key");
        if let Some(before) = name.commit.checked_sub(1) {
            let before = ObjectName {
                commit: before,
                ..name
            };
            if !contents.created.contains_key(&before.events_key()) {
                return Err(format!("{key} is there, and the commit before it is not"));
            }
        }
    }
    Ok(())
}

/// Received = written + duplicates + filtered + rejected, and written is what is there.
fn audit(key: &str, object: &Bytes) -> Result<(), String> {
    let reader = SerializedFileReader::new(object.clone()).expect("Parquet");
    let rows = reader.metadata().file_metadata().num_rows();
    let count = |name| -> i64 { audit_value(object, name).parse().expect("a number") };
    let parts = ["written", "duplicates", "filtered", "rejected"].map(count);
    if count("received") != parts.iter().sum::<i64>() || count("written") != rows {
        return Err(format!(
            "the audit of {key} does not add up: received {} = {parts:?}",
            count("received")
        ));
    }
    Ok(())
}
