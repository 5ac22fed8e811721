//! Writes the tables of reasons and metrics into the crate's README.

#[path = "../tests/readme/mod.rs"]
mod readme;

fn main() -> std::io::Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let text = std::fs::read_to_string(path)?;
    std::fs::write(path, readme::with_tables(&text))
}
