//! What the tests of a shard's state machine share.

use bytes::Bytes;
use event_source::answer::Answer;
use event_source::record::{Millis, Record, SequenceNumber};
use event_source::shard::{Batch, Outcome};

pub(crate) const SUCCESS: Outcome = Outcome::Answered(Answer::Success);

pub(crate) fn record(number: u64, key: &str, arrival: Millis) -> Record {
    Record {
        sequence_number: SequenceNumber::from(number),
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
    Outcome::Answered(Answer::PartialFrom(SequenceNumber::from(number)))
}
