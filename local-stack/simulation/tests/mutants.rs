//! What breaks the protocol is caught: a mutant that survives would mean that the simulation is blind to its kind.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use simulation::Broker::{Kinesis, Redpanda};
use simulation::{Broker, Mutant, simulate_all};

/// A mutant must be caught within so many.
const SEEDS: u64 = 1_000;

#[track_caller]
fn assert_caught(broker: Broker, mutant: Mutant) {
    let caught = AtomicBool::new(false);
    simulate_all(broker, 0..SEEDS, mutant, |seed, run| match &run.result {
        Ok(()) => ControlFlow::Continue(()),
        Err(rule) => {
            eprintln!("{mutant:?}, seed {seed} of {}: {rule}", broker.name());
            caught.store(true, Ordering::Relaxed);
            ControlFlow::Break(())
        }
    });
    let broker = broker.name();
    assert!(
        caught.into_inner(),
        "{mutant:?} survives {SEEDS} seeds of {broker}"
    );
}

#[test]
fn what_breaks_the_protocol_of_a_stream_breaks_that_of_a_topic() {
    for mutant in [
        Mutant::Overwrite,
        Mutant::EmptyWindow,
        Mutant::WindowForgets,
        Mutant::BoundsNamedKey,
        Mutant::NoRepair,
        Mutant::QuarantineAfterCommit,
        Mutant::AnswersIgnored,
        Mutant::LateMetrics,
    ] {
        assert_caught(Redpanda, mutant);
    }
}

#[test]
fn a_failed_partition_that_is_answered_as_done_is_caught() {
    assert_caught(Redpanda, Mutant::FailureAsSuccess);
}

#[test]
fn quarantine_that_a_topic_made_anew_overwrites_is_caught() {
    assert_caught(Redpanda, Mutant::QuarantineOverwritten);
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
fn a_window_that_forgets_past_its_budget_is_caught() {
    assert_caught(Kinesis, Mutant::WindowForgets);
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
fn a_window_without_the_parents_that_are_listed_no_more_is_caught() {
    assert_caught(Kinesis, Mutant::OnlyListedAncestors);
}

#[test]
fn rollups_that_nobody_misses_are_caught() {
    assert_caught(Kinesis, Mutant::NoRepair);
}

#[test]
fn quarantine_after_the_commit_is_caught() {
    assert_caught(Kinesis, Mutant::QuarantineAfterCommit);
}

#[test]
fn an_answer_to_a_mapping_that_does_not_read_it_is_caught() {
    assert_caught(Kinesis, Mutant::AnswersIgnored);
}

#[test]
fn an_arrival_that_fails_the_invocation_is_caught() {
    assert_caught(Kinesis, Mutant::NeverFails);
}

#[test]
fn cells_that_are_committed_in_the_order_of_the_grid_are_caught() {
    assert_caught(Kinesis, Mutant::CellsInGridOrder);
}

#[test]
fn listings_one_by_one_are_caught() {
    assert_caught(Kinesis, Mutant::ListsOneByOne);
}

#[test]
fn metrics_that_make_the_answer_late_are_caught() {
    assert_caught(Kinesis, Mutant::LateMetrics);
}
