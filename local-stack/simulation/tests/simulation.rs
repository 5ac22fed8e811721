//! The short form: what `make test` runs.

use std::ops::ControlFlow;
use std::sync::Mutex;

use simulation::{Broker, Mutant, simulate, simulate_all};

#[track_caller]
fn assert_unbroken(broker: Broker, seeds: u64) {
    let broken = Mutex::new(None);
    let tally = simulate_all(broker, 0..seeds, Mutant::None, |seed, run| {
        if run.result.is_err() {
            *broken.lock().expect("not poisoned") = Some(seed);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    if let Some(seed) = broken.into_inner().expect("not poisoned") {
        let run = simulate(broker, seed, Mutant::None, true);
        let (trace, name) = (run.trace, broker.name());
        let rule = run.result.err().unwrap_or_default();
        panic!("{trace}\n\n{rule}\n\nrepeat it: make simulate BROKER={name} SEED={seed}");
    }
    let missing = tally.missing(broker);
    assert!(
        missing.is_empty(),
        "never happened in {seeds} seeds: {missing:#?}"
    );
}

#[test]
fn every_accepted_event_of_a_stream_lands_exactly_once_whatever_happens() {
    assert_unbroken(Broker::Kinesis, 400);
}

#[test]
fn every_accepted_event_of_a_topic_lands_exactly_once_whatever_happens() {
    assert_unbroken(Broker::Redpanda, 600);
}

#[test]
fn a_seed_is_a_run_to_the_letter() {
    for broker in [Broker::Kinesis, Broker::Redpanda] {
        let run = || simulate(broker, 3, Mutant::None, true);
        assert_eq!(run(), run());
    }
}
