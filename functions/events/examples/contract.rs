//! `contract check FILE`: says in one line what is wrong with a contract, if anything.
//! `contract show FILE`: its fields, for people.
//! `contract columns FILE`: the lake's columns, as JSON.
//! `contract generate`: writes what follows from `functions/events/contract.toml`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing is its purpose"
)]

#[path = "../tests/generated/mod.rs"]
mod generated;

use std::path::Path;
use std::process::ExitCode;

use events::contract::FILE;
use events::{Contract, ContractError};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["check", file] => read(file).map(|_| ()),
        ["show", file] => read(file).map(|contract| show(&contract)),
        ["columns", file] => read(file).map(|contract| print!("{}", generated::columns(&contract))),
        ["generate"] => generate(),
        _ => {
            eprintln!("usage: contract check FILE | show FILE | columns FILE | generate");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn read(file: &str) -> Result<Contract, ContractError> {
    let bytes = std::fs::read(file).map_err(|error| ContractError::unreadable(file, &error))?;
    Contract::of_file(file, &bytes)
}

fn show(contract: &Contract) {
    let rows = generated::readme::fields(contract);
    let width = |place: usize| {
        rows.iter()
            .map(|row| row[place].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..3).map(width).collect();
    for row in &rows {
        let [name, column, of_type, rule] = row;
        println!(
            "{name:0$}  {column:1$}  {of_type:2$}  {rule}",
            widths[0], widths[1], widths[2]
        );
    }
    println!("\n{}", contract.hash());
}

fn generate() -> Result<(), ContractError> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // Not the one that is compiled in: this is for a file that has just been changed.
    let contract = read(
        &repository
            .join("functions/events")
            .join(FILE)
            .to_string_lossy(),
    )?;
    for (file, content) in generated::files(&contract, &repository) {
        std::fs::write(&file, content)
            .map_err(|error| ContractError::unreadable(&file.to_string_lossy(), &error))?;
    }
    Ok(())
}
