//! Prints the list of metrics.
#![expect(clippy::print_stdout, reason = "printing is its purpose")]

use events::metrics::Metric;

fn main() -> serde_json::Result<()> {
    let metrics: Vec<_> = Metric::ALL
        .iter()
        .map(|metric| metric.definition())
        .collect();
    println!("{}", serde_json::to_string_pretty(&metrics)?);
    Ok(())
}
