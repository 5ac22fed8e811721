//! An S3 in memory that answers at once, for `make bench-backlog`: prints its endpoint, and serves until it is killed.

#![allow(clippy::print_stdout, reason = "it is a command")]

use benches::stub;

fn main() -> anyhow::Result<()> {
    println!("{}", stub::serve(stub::Delays::default())?);
    loop {
        std::thread::park();
    }
}
