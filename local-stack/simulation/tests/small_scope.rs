//! Every order of a few deliveries of a few records.

use simulation::small_scope::{Protocol, search};

#[test]
fn no_order_of_two_or_three_deliveries_doubles_or_loses_a_record() {
    for (records, faults) in [(2, 2), (3, 1)] {
        let states = search(Protocol::Real, records, faults);
        let states = states.unwrap_or_else(|broken| panic!("{broken}"));
        println!("{records} records, up to {faults} faults: {states} states");
        assert!(states > 10_000, "{states} states: the scope has shrunk");
    }
}

#[track_caller]
fn assert_found(protocol: Protocol, rule: &str) {
    let broken = search(protocol, 3, 1).expect_err("a broken protocol");
    assert!(broken.starts_with(rule), "{broken}");
}

#[test]
fn cells_in_grid_order_double_an_id() {
    assert_found(Protocol::CellsInGridOrder, "an id landed twice");
}

#[test]
fn names_by_first_row_double_an_id() {
    assert_found(Protocol::NamedByFirstRow, "an id landed twice");
}

#[test]
fn a_create_without_an_answer_that_counts_as_made_loses_a_row() {
    assert_found(
        Protocol::UnansweredIsMade,
        "a batch was answered without its rows",
    );
}
