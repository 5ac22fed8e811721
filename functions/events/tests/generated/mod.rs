//! What follows from the contract, as files: the example `contract` writes them, a test compares.

mod columns;
mod json_schema;
pub(crate) mod readme;
mod rules;
mod smoke_event;

use std::path::{Path, PathBuf};

use events::Contract;

/// The lake's columns, as JSON.
#[allow(dead_code, reason = "the test compares the file")]
pub(crate) fn columns(contract: &Contract) -> String {
    columns::json(contract)
}

/// The files by their paths in the repository, with the content that they should have.
pub(crate) fn files(contract: &Contract, repository: &Path) -> Vec<(PathBuf, String)> {
    let readme = repository.join("functions/events/README.md");
    let text = std::fs::read_to_string(&readme).expect("the README is there");
    vec![
        (
            repository.join("functions/events/schema/event.v1.schema.json"),
            json_schema::of(contract),
        ),
        (
            repository.join("functions/events/schema/columns.json"),
            columns::json(contract),
        ),
        (
            repository.join("emr/tributary_emr/contract.py"),
            columns::python(contract),
        ),
        (
            repository.join("functions/events/schema/smoke-event.json"),
            smoke_event::of(contract),
        ),
        (readme, readme::with_tables(&text, contract)),
    ]
}
