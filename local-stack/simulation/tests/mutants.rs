//! What breaks the protocol is caught: a mutant that survives would mean that the simulation is blind to its kind.

use simulation::Broker::{Kinesis, Redpanda};
use simulation::{Broker, Mutant, simulate};

/// A mutant must be caught within so many.
const SEEDS: u64 = 400;

#[track_caller]
fn assert_caught(broker: Broker, mutant: Mutant) {
    let caught = (0..SEEDS).find(|&seed| simulate(broker, seed, mutant).result.is_err());
    let broker = broker.name();
    assert!(
        caught.is_some(),
        "{mutant:?} survives {SEEDS} seeds of {broker}"
    );
}

#[test]
fn a_failed_partition_that_is_answered_as_done_is_caught() {
    assert_caught(Redpanda, Mutant::FailureAsSuccess);
}

#[test]
fn what_breaks_the_protocol_of_a_stream_breaks_that_of_a_topic() {
    for mutant in [
        Mutant::Overwrite,
        Mutant::EmptyWindow,
        Mutant::BoundsNamedKey,
        Mutant::NoRepair,
        Mutant::QuarantineAfterCommit,
    ] {
        assert_caught(Redpanda, mutant);
    }
}

#[test]
fn a_create_that_overwrites_is_caught() {
    assert_caught(Kinesis, Mutant::Overwrite);
}

#[test]
fn an_empty_window_is_caught() {
    assert_caught(Kinesis, Mutant::EmptyWindow);
}

#[test]
fn a_key_named_by_the_batchs_bounds_is_caught() {
    assert_caught(Kinesis, Mutant::BoundsNamedKey);
}

#[test]
fn a_key_named_by_the_first_row_is_caught() {
    assert_caught(Kinesis, Mutant::FirstRowNamedKey);
}

#[test]
fn a_window_without_the_parents_is_caught() {
    assert_caught(Kinesis, Mutant::NoAncestors);
}

#[test]
fn rollups_that_nobody_misses_are_caught() {
    assert_caught(Kinesis, Mutant::NoRepair);
}

#[test]
fn quarantine_after_the_commit_is_caught() {
    assert_caught(Kinesis, Mutant::QuarantineAfterCommit);
}
