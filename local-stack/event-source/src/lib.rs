#![doc = include_str!("../README.md")]

pub mod kafka;
pub mod kinesis;
pub mod lambda;
pub mod mapping;
