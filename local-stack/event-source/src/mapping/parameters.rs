//! The event source mapping's parameters, with AWS's names, ranges and defaults.
//!
//! Source: Lambda API reference, `CreateEventSourceMapping`.

use std::fmt;

use super::position::Millis;

/// Parameters as somebody wrote them, not yet checked. Field names are AWS's; -1 means "no limit" where AWS says so.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// `BatchSize`: most records in one invocation.
    pub batch_size: i64,
    /// `MaximumBatchingWindowInSeconds`: how long records are gathered before an invocation.
    pub maximum_batching_window_in_seconds: i64,
    /// `ParallelizationFactor`: batches in flight per shard.
    pub parallelization_factor: i64,
    /// `BisectBatchOnFunctionError`: split a failed batch in two.
    pub bisect_batch_on_function_error: bool,
    /// `MaximumRetryAttempts`: retries before a batch is given up; -1 is endless.
    pub maximum_retry_attempts: i64,
    /// `MaximumRecordAgeInSeconds`: age past which a record is given up; -1 is endless.
    pub maximum_record_age_in_seconds: i64,
    /// `FunctionResponseTypes` contains `ReportBatchItemFailures`.
    pub report_batch_item_failures: bool,
    /// `StartingPosition`: `TRIM_HORIZON`, `LATEST` or `AT_TIMESTAMP`.
    pub starting_position: String,
    /// `StartingPositionTimestamp`, milliseconds since the epoch; only and always with `AT_TIMESTAMP`.
    pub starting_position_timestamp: Option<Millis>,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            batch_size: 100,
            maximum_batching_window_in_seconds: 0,
            parallelization_factor: 1,
            bisect_batch_on_function_error: false,
            maximum_retry_attempts: -1,
            maximum_record_age_in_seconds: -1,
            report_batch_item_failures: false,
            starting_position: "TRIM_HORIZON".to_owned(),
            starting_position_timestamp: None,
        }
    }
}

/// Where shards that exist at the very first start are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartingPosition {
    /// The oldest record that the stream still has.
    TrimHorizon,
    /// Records that arrive after the first start.
    Latest,
    /// Records that arrived at or after this time.
    AtTimestamp(Millis),
}

/// A checked mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Most records in one invocation, 1..=10,000.
    pub batch_size: usize,
    /// How long records are gathered before an invocation, in milliseconds.
    pub batching_window: Millis,
    /// Batches in flight per shard, 1..=10.
    pub parallelization_factor: usize,
    /// Split a failed batch in two.
    pub bisect_batch_on_function_error: bool,
    /// Retries before a batch is given up; `None` is endless.
    pub maximum_retry_attempts: Option<u32>,
    /// Age in milliseconds past which a record is given up; `None` is endless.
    pub maximum_record_age: Option<Millis>,
    /// Whether the function's answer is read at all.
    pub report_batch_item_failures: bool,
    /// Where the first start begins.
    pub starting_position: StartingPosition,
}

/// A parameter outside its rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{parameter} is {value}: {rule}")]
pub struct InvalidParameter {
    parameter: &'static str,
    value: String,
    rule: &'static str,
}

impl InvalidParameter {
    fn new(parameter: &'static str, value: impl fmt::Display, rule: &'static str) -> Self {
        Self {
            parameter,
            value: value.to_string(),
            rule,
        }
    }
}

impl TryFrom<&Parameters> for Mapping {
    type Error = Vec<InvalidParameter>;

    /// Checks every parameter; the error names all that are wrong, not just the first.
    fn try_from(given: &Parameters) -> Result<Self, Self::Error> {
        let mut invalid = Vec::new();
        let mut within = |parameter, value: i64, range: std::ops::RangeInclusive<i64>, rule| {
            if !range.contains(&value) {
                invalid.push(InvalidParameter::new(parameter, value, rule));
            }
            value
        };
        let batch_size = within(
            "BatchSize",
            given.batch_size,
            1..=10_000,
            "must be 1 to 10000",
        );
        let window = within(
            "MaximumBatchingWindowInSeconds",
            given.maximum_batching_window_in_seconds,
            0..=300,
            "must be 0 to 300",
        );
        let factor = within(
            "ParallelizationFactor",
            given.parallelization_factor,
            1..=10,
            "must be 1 to 10",
        );
        let retries = within(
            "MaximumRetryAttempts",
            given.maximum_retry_attempts,
            -1..=10_000,
            "must be -1 (endless) to 10000",
        );
        let age = given.maximum_record_age_in_seconds;
        if age != -1 {
            within(
                "MaximumRecordAgeInSeconds",
                age,
                60..=604_800,
                "must be -1 (endless) or 60 to 604800",
            );
        }
        let starting_position = starting_position(given).unwrap_or_else(|error| {
            invalid.push(error);
            StartingPosition::TrimHorizon
        });
        if !invalid.is_empty() {
            return Err(invalid);
        }
        Ok(Self {
            batch_size: usize::try_from(batch_size).unwrap_or(usize::MAX),
            batching_window: window * 1000,
            parallelization_factor: usize::try_from(factor).unwrap_or(usize::MAX),
            bisect_batch_on_function_error: given.bisect_batch_on_function_error,
            maximum_retry_attempts: u32::try_from(retries).ok(),
            maximum_record_age: (age != -1).then_some(age * 1000),
            report_batch_item_failures: given.report_batch_item_failures,
            starting_position,
        })
    }
}

fn starting_position(given: &Parameters) -> Result<StartingPosition, InvalidParameter> {
    let timestamp = given.starting_position_timestamp;
    let position = match (given.starting_position.as_str(), timestamp) {
        ("AT_TIMESTAMP", Some(timestamp)) => return Ok(StartingPosition::AtTimestamp(timestamp)),
        ("AT_TIMESTAMP", None) => {
            return Err(InvalidParameter::new(
                "StartingPositionTimestamp",
                "missing",
                "must be given with StartingPosition AT_TIMESTAMP",
            ));
        }
        ("TRIM_HORIZON", _) => StartingPosition::TrimHorizon,
        ("LATEST", _) => StartingPosition::Latest,
        (other, _) => {
            return Err(InvalidParameter::new(
                "StartingPosition",
                format!("{other:?}"),
                "must be TRIM_HORIZON, LATEST or AT_TIMESTAMP",
            ));
        }
    };
    match timestamp {
        None => Ok(position),
        Some(timestamp) => Err(InvalidParameter::new(
            "StartingPositionTimestamp",
            timestamp,
            "goes only with StartingPosition AT_TIMESTAMP",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(parameters: &Parameters) -> Vec<String> {
        match Mapping::try_from(parameters) {
            Ok(_) => Vec::new(),
            Err(invalid) => invalid.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn the_defaults_are_those_of_aws() {
        let mapping = Mapping::try_from(&Parameters::default()).expect("defaults are valid");
        assert_eq!(mapping.batch_size, 100);
        assert_eq!(mapping.batching_window, 0);
        assert_eq!(mapping.parallelization_factor, 1);
        assert_eq!(mapping.maximum_retry_attempts, None);
        assert_eq!(mapping.maximum_record_age, None);
    }

    #[test]
    fn every_parameter_out_of_range_gets_its_own_line() {
        let parameters = Parameters {
            batch_size: 10_001,
            maximum_batching_window_in_seconds: 301,
            parallelization_factor: 0,
            maximum_retry_attempts: -2,
            maximum_record_age_in_seconds: 59,
            starting_position: "latest".to_owned(),
            ..Parameters::default()
        };
        insta::assert_snapshot!(lines(&parameters).join("\n"), @r#"
        BatchSize is 10001: must be 1 to 10000
        MaximumBatchingWindowInSeconds is 301: must be 0 to 300
        ParallelizationFactor is 0: must be 1 to 10
        MaximumRetryAttempts is -2: must be -1 (endless) to 10000
        MaximumRecordAgeInSeconds is 59: must be -1 (endless) or 60 to 604800
        StartingPosition is "latest": must be TRIM_HORIZON, LATEST or AT_TIMESTAMP
        "#);
    }

    #[test]
    fn a_timestamp_goes_with_at_timestamp_and_with_nothing_else() {
        let mut parameters = Parameters {
            starting_position: "AT_TIMESTAMP".to_owned(),
            ..Parameters::default()
        };
        insta::assert_snapshot!(lines(&parameters).join("\n"), @"StartingPositionTimestamp is missing: must be given with StartingPosition AT_TIMESTAMP");
        parameters.starting_position_timestamp = Some(5);
        assert!(lines(&parameters).is_empty());
        parameters.starting_position = "LATEST".to_owned();
        insta::assert_snapshot!(lines(&parameters).join("\n"), @"StartingPositionTimestamp is 5: goes only with StartingPosition AT_TIMESTAMP");
    }
}
