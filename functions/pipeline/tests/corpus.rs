//! Every input that fuzzing has found worth keeping, through the same checks: see `fuzz/`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../fuzz/checks.rs"]
mod checks;

use std::path::Path;

fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut inputs = 0;
    for input in std::fs::read_dir(corpus).unwrap() {
        check(&std::fs::read(input.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0, "the corpus of {target} is empty");
}

#[test]
fn hostile_envelopes_are_errors_or_batches_that_add_up() {
    replay("envelope", checks::envelope);
}

#[test]
fn hostile_kafka_envelopes_are_errors_or_batches_that_add_up() {
    replay("kafka_envelope", checks::kafka_envelope);
}

#[test]
fn hostile_payloads_are_rejected_or_events_of_the_contract() {
    replay("record", checks::record);
}

#[test]
fn hostile_compressed_payloads_add_up() {
    replay("compressed", checks::compressed);
}

#[test]
fn hostile_aggregates_add_up() {
    replay("aggregate", checks::aggregate);
}

#[test]
fn hostile_row_objects_are_errors_or_ids() {
    replay("window_rebuild", checks::window_rebuild);
}
