//! Prints the JSON Schema of the event contract.
#![expect(clippy::print_stdout, reason = "printing is its purpose")]

fn main() -> serde_json::Result<()> {
    println!(
        "{}",
        serde_json::to_string_pretty(&schemars::schema_for!(events::Event))?
    );
    Ok(())
}
