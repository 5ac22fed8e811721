//! What must hold, at every answer and when all is done.

use std::collections::BTreeSet;

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use pipeline::layout::{EVENTS, ObjectName, QUARANTINE, cell_start};

use super::contents::{Contents, Landed, Line, audit_value, lines};
use super::lineage::reachable;
use super::mutant::Mutant;
use super::rollups;
use super::stream::{Part, Stream, Verdict, Written};
use super::world::World;

/// What was said to be done with is done with: Lambda will never deliver it again.
pub(crate) fn are_done(
    world: &World,
    stream: &Stream,
    positions: impl IntoIterator<Item = u64>,
) -> Result<(), String> {
    let contents = world.lake.contents();
    let mut ledger = stream.ledger.borrow_mut();
    for position in positions {
        is_done(stream, &contents, position)?;
        ledger.done.insert(position);
    }
    Ok(())
}

fn is_done(stream: &Stream, contents: &Contents, position: u64) -> Result<(), String> {
    let written = &stream.written[&position];
    for part in &written.parts {
        let done = match &part.verdict {
            Verdict::Accepted(id, _) => contents.rows.contains_key(id),
            Verdict::Rejected => contents.is_in_quarantine(&line(written, position, part)),
            Verdict::Filtered => true,
        };
        if !done {
            let (shard, verdict) = (&written.shard, &part.verdict);
            return Err(format!(
                "record {position} of {shard} ({verdict:?}) is said to be done with, and is nowhere"
            ));
        }
    }
    Ok(())
}

fn line(written: &Written, position: u64, part: &Part) -> Line {
    Line {
        shard: written.shard.clone(),
        position,
        sub_sequence_number: part.sub_sequence_number,
        data: base64_simd::STANDARD.encode_to_string(&part.sent),
    }
}

/// When nothing is left to be delivered, of a stream, or of all that had its name one after the other.
pub(crate) fn at_rest(world: &World, streams: &[Stream]) -> Result<(), String> {
    let contents = world.lake.contents();
    for stream in streams {
        for position in &stream.ledger.borrow().done {
            is_done(stream, &contents, *position)?;
        }
    }
    for (id, rows) in &contents.rows {
        let stream = streams.iter().find(|stream| has(stream, id));
        let stream = stream.ok_or_else(|| format!("{id} landed, and nobody sent it"))?;
        for (index, row) in rows.iter().enumerate() {
            is_what_was_sent(stream, id, row)?;
            for other in &rows[..index] {
                are_not_doubled(world, stream, id, [other, row])?;
            }
        }
    }
    quarantine(world, streams)?;
    objects(world, &contents)?;
    if matches!(
        world.mutant,
        Mutant::BoundsNamedKey | Mutant::FirstRowNamedKey
    ) {
        // Their objects are not where the handler thinks, so that their rollups prove nothing.
        return Ok(());
    }
    let owed = |key: &str| {
        let rows = contents.rows.iter();
        let mut rows = rows.flat_map(|(id, rows)| rows.iter().map(move |row| (id, row)));
        rows.any(|(id, row)| {
            let stream = streams.iter().find(|stream| has(stream, id));
            let done = |stream: &Stream| stream.ledger.borrow().done.contains(&row.position);
            row.key == key && stream.is_some_and(done)
        })
    };
    rollups::say_what_the_rows_say(&world.lake.objects(), owed)
}

fn has(stream: &Stream, id: &str) -> bool {
    stream.ids.contains(id)
}

fn is_what_was_sent(stream: &Stream, id: &str, row: &Landed) -> Result<(), String> {
    let written = stream.written.get(&row.position);
    let written = written.filter(|written| written.shard == row.shard);
    let sent = written.is_some_and(|written| {
        written.parts.iter().any(|part| match &part.verdict {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            Verdict::Accepted(sent, duration) => {
                sent == id && (*duration as f64).to_bits() == row.duration.to_bits()
            }
            _ => false,
        })
    });
    if sent {
        return Ok(());
    }
    Err(format!(
        "{id} landed, and was not sent so, or not accepted: {row:?}"
    ))
}

/// A record lands once. An id lands once in a cell, and once within the horizon where its records kept their order.
fn are_not_doubled(
    world: &World,
    stream: &Stream,
    id: &str,
    [one, other]: [&Landed; 2],
) -> Result<(), String> {
    let apart_ms = (one.arrival_ms - other.arrival_ms).abs();
    let same_cell =
        one.shard == other.shard && cell_start(one.arrival_ms) == cell_start(other.arrival_ms);
    let [first, second] = if one.position <= other.position {
        [one, other]
    } else {
        [other, one]
    };
    let in_order = !stream.ledger.borrow().passed_over.contains(&first.position)
        && (first.shard == second.shard || is_known_ancestor(stream, &first.shard, &second.shard));
    if first.position == second.position
        || same_cell
        || in_order && apart_ms <= world.scenario.horizon_ms
    {
        return Err(format!(
            "{id} landed twice, {apart_ms} ms apart:\n  position {} in {}\n  position {} in {}",
            first.position, first.key, second.position, second.key
        ));
    }
    Ok(())
}

/// Whether what the stream lists leads from a shard to its ancestor: one that is listed no more leads no further.
fn is_known_ancestor(stream: &Stream, ancestor: &str, shard: &str) -> bool {
    reachable(&stream.listing(i64::MAX), shard).contains(ancestor)
}

/// Quarantine holds what was rejected, every record that is done with, and nothing else.
fn quarantine(world: &World, streams: &[Stream]) -> Result<(), String> {
    let objects = world.lake.objects();
    let found = objects
        .iter()
        .filter(|(key, _)| key.starts_with(QUARANTINE));
    let found: BTreeSet<Line> = found.flat_map(|(_, body)| lines(body)).collect();
    let mut sent = BTreeSet::new();
    for stream in streams {
        let ledger = stream.ledger.borrow();
        for (position, written) in &stream.written {
            for part in &written.parts {
                if part.verdict != Verdict::Rejected {
                    continue;
                }
                let line = line(written, *position, part);
                if ledger.done.contains(position) && !found.contains(&line) {
                    return Err(format!("{line:?} was rejected, and is not in quarantine"));
                }
                sent.insert(line);
            }
        }
    }
    match found.difference(&sent).next() {
        None => Ok(()),
        Some(line) => Err(format!(
            "{line:?} is in quarantine, and was not sent so, or not rejected"
        )),
    }
}

fn objects(world: &World, contents: &Contents) -> Result<(), String> {
    let objects = world.lake.objects();
    for key in objects.keys().filter(|key| key.starts_with(EVENTS)) {
        if !contents.created.contains_key(key) {
            return Err(format!("{key} is there, and nobody made it"));
        }
    }
    for (key, created) in &contents.created {
        if objects.get(key) != Some(created) && !contents.deleted.contains(key) {
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
