//! `bench-window-memory IDS`: what a window of so many ids takes, at its peak while it fills, in one line. It fills by objects
//! of 5,000 rows. `make bench-window` runs it.
#![expect(clippy::print_stdout, reason = "printing is its purpose")]
#![expect(clippy::cast_precision_loss, reason = "a figure for people")]

use std::error::Error;

use benches::peak_bytes;
use pipeline::dedupe::{IdHasher, SeenIds};

const IDS_PER_OBJECT: u64 = 5000;

fn main() -> Result<(), Box<dyn Error>> {
    let ids: u64 = std::env::args()
        .nth(1)
        .ok_or("usage: bench-window-memory IDS")?
        .parse()?;
    let before = peak_bytes()?;
    let hasher = IdHasher::new(7);
    let mut window = SeenIds::default();
    for first in (0..ids).step_by(usize::try_from(IDS_PER_OBJECT)?) {
        let ids = first..(first + IDS_PER_OBJECT).min(ids);
        window.insert(ids.map(|id| hasher.hash(&format!("0193a5c0-7b1e-7c3a-9f00-{id:012x}"))));
    }
    let grown = peak_bytes()? - before;
    println!(
        "{:>11} ids: {:>7.1} MB at the peak, {:>5.1} bytes an id",
        window.len(),
        grown as f64 / 1e6,
        grown as f64 / ids as f64
    );
    Ok(())
}
