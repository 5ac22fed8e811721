//! Every order of a few deliveries of a few records.

use simulation::small_scope::{Protocol, search};

#[track_caller]
fn assert_holds(records: u8, faults: u8, at_least: usize) {
    let states = search(Protocol::Real, records, faults);
    let states = states.unwrap_or_else(|broken| panic!("{broken}"));
    eprintln!("{records} records, up to {faults} faults: {states} states");
    assert!(states >= at_least, "{states} states: the scope has shrunk");
}

#[test]
fn no_order_of_two_or_three_deliveries_doubles_or_loses_a_record() {
    assert_holds(3, 0, 20_000);
    assert_holds(2, 1, 70_000);
}

#[test]
#[ignore = "minutes: cargo test --release -p simulation --test small_scope -- --ignored"]
fn nor_with_more_faults() {
    assert_holds(2, 2, 70_000);
    assert_holds(3, 1, 70_000);
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
