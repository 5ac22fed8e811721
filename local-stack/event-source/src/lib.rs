#![doc = include_str!("../README.md")]

pub mod aws;
pub mod kafka;
pub mod kinesis;
pub mod lambda;
pub mod mapping;
