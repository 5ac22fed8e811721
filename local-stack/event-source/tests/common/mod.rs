//! What the tests of a shard's state machine share.

use bytes::Bytes;
use event_source::kinesis::answer::Answer;
use event_source::kinesis::record::Record;
use event_source::kinesis::shard::{Batch, Outcome};
use event_source::mapping::position::{Millis, Position};

pub(crate) const SUCCESS: Outcome = Outcome::Answered(Answer::Success);

pub(crate) fn record(number: u64, key: &str, arrival: Millis) -> Record {
    Record {
        sequence_number: Position::from(number),
        partition_key: key.into(),
        data: Bytes::new(),
        arrival,
        payload_bytes: 400,
    }
}

pub(crate) fn numbers(batch: &Batch) -> Vec<u64> {
    let number = |record: &Record| record.sequence_number.as_str().parse().expect("small");
    batch.records().iter().map(number).collect()
}

pub(crate) fn failed() -> Outcome {
    Outcome::Answered(Answer::Failed("told to".into()))
}

pub(crate) fn from(number: u64) -> Outcome {
    Outcome::Answered(Answer::Partial(Position::from(number)))
}
