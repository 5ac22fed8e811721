//! The pure core: the bytes of one shard batch in, Parquet objects and quarantine lines out.
//!
//! ```text
//! event ──decode──▶ records ──parse──▶ rows ──filter──▶ rows ──┐         ┌──▶ encode ──▶ Parquet object, with its audit
//!                              │                 │             ├──plan──▶┤
//!                              ▼                 ▼             │         └──▶ rollup ──▶ Parquet object beside it
//!                          quarantine         counted     cells of the
//!                                                          time grid
//! ```
//!
//! No tokio, no AWS, no clock, no environment: `clippy.toml` bans them. What may differ from one run to the next
//! (the time, the window of committed ids, the hash seed) comes in as an argument.

pub mod cell;
mod columns;
pub mod commit;
pub mod decode;
pub mod dedupe;
pub mod encode;
pub mod filter;
pub mod layout;
pub mod parse;
pub mod quarantine;
pub mod recover;
pub mod rollup;

pub use cell::{Cell, Object, Plan, cells};
