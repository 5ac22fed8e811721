//! Lambda's event source mappings for Kinesis and Kafka, and the execution environment behind them, on one machine.

pub mod aws;
pub mod kafka;
pub mod kinesis;
pub mod lambda;
pub mod mapping;
