//! The short form: what `make test` runs.

use simulation::{Broker, Mutant, simulate, simulate_all};

#[track_caller]
fn assert_unbroken(broker: Broker, seeds: u64) {
    if let Err(broken) = simulate_all(broker, 0..seeds, |_| ()) {
        panic!("{broken}");
    }
}

#[test]
fn every_accepted_event_of_a_stream_lands_exactly_once_whatever_happens() {
    assert_unbroken(Broker::Kinesis, 3_000);
}

#[test]
fn every_accepted_event_of_a_topic_lands_exactly_once_whatever_happens() {
    assert_unbroken(Broker::Redpanda, 2_000);
}

#[test]
fn a_seed_is_a_run_to_the_letter() {
    for broker in [Broker::Kinesis, Broker::Redpanda] {
        let run = || simulate(broker, 3, Mutant::None);
        assert_eq!(run(), run());
    }
}
