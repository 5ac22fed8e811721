//! The only place that reads the environment.

/// The broker whose event source mapping invokes the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broker {
    /// Amazon Kinesis Data Streams.
    Kinesis,
    /// Apache Kafka, which Redpanda speaks.
    Kafka,
}

/// What a function is told by its environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `TRIBUTARY_BUCKET`: the lake. Required.
    pub bucket: String,
    /// `TRIBUTARY_HORIZON_MINUTES`: how far apart in arrival time two records of one event id may lie and still be
    /// recognised, in milliseconds here. 15 minutes unless set; 0 to 1440.
    pub horizon_ms: i64,
    /// `TRIBUTARY_LATENESS_MINUTES`: how much older than its arrival an event may be before it counts as late, in
    /// milliseconds here. 60 minutes unless set; 0 to 525600.
    pub lateness_ms: i64,
    /// `TRIBUTARY_KEEP_TEST_EVENTS`: write events marked `test: true` instead of dropping them. `false` unless set.
    pub keep_test_events: bool,
    /// `TRIBUTARY_METRICS`: publish to CloudWatch. `true` unless set.
    pub metrics: bool,
    /// `TRIBUTARY_PARTIAL_RESPONSES`: how the function answers when records failed. `off` unless set.
    pub partial_responses: PartialResponses,
    /// `TRIBUTARY_CONTRACT`: the file of the contract. `contract.toml` in the function's package
    /// (`LAMBDA_TASK_ROOT`, Lambda's own) unless set.
    pub contract: String,
    /// `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`: Lambda's own, in megabytes (2^20 bytes).
    pub memory_mb: u64,
}

/// How an event source mapping is told that some records failed.
///
/// Lambda reads partial responses only of mappings that have `ReportBatchItemFailures` among their
/// `FunctionResponseTypes`, for Kafka in provisioned mode only. To any other mapping every answer is a success, and the
/// failed records would be skipped: so they are off until whoever makes the mapping says that it reads them
/// (<https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html>,
/// <https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartialResponses {
    /// `off`: the whole invocation fails, and all of its records are delivered again.
    #[default]
    Off,
    /// `on`, of a stream: the sequence number from which to deliver again.
    SequenceNumber,
    /// `partition`, of a topic: `{"partition": "<topic>-<partition>", "offset": …}`, as the guide has it today.
    Partition,
    /// `topic-partition`, of a topic: `{"topic-partition": "<topic>-<partition>", "offset": …}`, as its first edition had
    /// it.
    TopicPartition,
}

/// A variable that is missing or breaks its rule.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not set, or empty.
    #[error("{name} is not set: {meaning}")]
    Missing {
        /// The variable.
        name: &'static str,
        /// What it is for.
        meaning: &'static str,
    },
    /// Set to something else than it may be.
    #[error("{name} is {value:?}, expected {rule}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        rule: &'static str,
    },
}

/// `RUST_LOG`: what is logged, before there is anything else to go by.
pub(crate) fn log_levels() -> Option<String> {
    without_empty_parts(&std::env::var("RUST_LOG").ok()?)
}

/// An empty part would mean errors alone.
fn without_empty_parts(levels: &str) -> Option<String> {
    let parts = levels.split(',').filter(|part| !part.trim().is_empty());
    let levels = parts.collect::<Vec<_>>().join(",");
    (!levels.is_empty()).then_some(levels)
}

impl Config {
    /// Reads the process environment.
    pub fn from_environment(broker: Broker) -> Result<Self, ConfigError> {
        Self::from_variables(broker, |name| std::env::var(name).ok())
    }

    fn from_variables(
        broker: Broker,
        variable: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let required = |name, meaning| variable(name).ok_or(ConfigError::Missing { name, meaning });
        required(
            "AWS_LAMBDA_RUNTIME_API",
            "this program runs inside of Lambda, or of local-stack's event source",
        )?;
        let flag = |name, default: bool| match variable(name).as_deref() {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(value) => Err(ConfigError::Invalid {
                name,
                value: value.to_owned(),
                rule: "true or false",
            }),
        };
        Ok(Self {
            bucket: required("TRIBUTARY_BUCKET", "the bucket of the lake")?,
            horizon_ms: {
                let name = "TRIBUTARY_HORIZON_MINUTES";
                let rule = "whole minutes from 0 to 1440";
                minutes(name, variable(name), 15, 1440, rule)?
            },
            lateness_ms: {
                let name = "TRIBUTARY_LATENESS_MINUTES";
                let rule = "whole minutes from 0 to 525600";
                minutes(name, variable(name), 60, 525_600, rule)?
            },
            keep_test_events: flag("TRIBUTARY_KEEP_TEST_EVENTS", false)?,
            metrics: flag("TRIBUTARY_METRICS", true)?,
            partial_responses: partial_responses(broker, variable("TRIBUTARY_PARTIAL_RESPONSES"))?,
            contract: if let Some(file) = variable("TRIBUTARY_CONTRACT") {
                file
            } else {
                let name = "LAMBDA_TASK_ROOT";
                let root = required(name, "Lambda sets it, and local-stack's event source")?;
                format!("{root}/{}", events::contract::FILE)
            },
            memory_mb: {
                let name = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";
                let value = required(name, "Lambda sets it, and local-stack's event source")?;
                let megabytes = value.parse().ok().filter(|megabytes| *megabytes > 0);
                let rule = "megabytes, a whole number over 0";
                megabytes.ok_or(ConfigError::Invalid { name, value, rule })?
            },
        })
    }
}

fn partial_responses(
    broker: Broker,
    value: Option<String>,
) -> Result<PartialResponses, ConfigError> {
    match (broker, value.as_deref()) {
        (_, None | Some("off")) => Ok(PartialResponses::Off),
        (Broker::Kinesis, Some("on")) => Ok(PartialResponses::SequenceNumber),
        (Broker::Kafka, Some("partition")) => Ok(PartialResponses::Partition),
        (Broker::Kafka, Some("topic-partition")) => Ok(PartialResponses::TopicPartition),
        _ => Err(ConfigError::Invalid {
            name: "TRIBUTARY_PARTIAL_RESPONSES",
            value: value.unwrap_or_default(),
            rule: match broker {
                Broker::Kinesis => "off or on",
                Broker::Kafka => "off, partition or topic-partition",
            },
        }),
    }
}

/// Whole minutes, in milliseconds.
fn minutes(
    name: &'static str,
    value: Option<String>,
    default: u32,
    most: u32,
    rule: &'static str,
) -> Result<i64, ConfigError> {
    let minutes = match &value {
        None => Some(default),
        Some(value) => value.parse().ok().filter(|minutes| *minutes <= most),
    };
    let invalid = || ConfigError::Invalid {
        name,
        value: value.unwrap_or_default(),
        rule,
    };
    minutes
        .map(|minutes| i64::from(minutes) * 60_000)
        .ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_part_of_the_log_levels_silences_nothing() {
        let of = |levels| without_empty_parts(levels);
        assert_eq!(of("info, ,aws=debug,"), Some("info,aws=debug".to_owned()));
        assert_eq!((of(""), of(" ,")), (None, None));
    }

    fn config(variables: &[(&str, &str)]) -> Result<Config, String> {
        of_broker(Broker::Kafka, variables)
    }

    fn of_broker(broker: Broker, variables: &[(&str, &str)]) -> Result<Config, String> {
        let find = |name: &str| {
            let value = variables.iter().find(|(key, _)| *key == name)?.1;
            Some(value.to_owned())
        };
        Config::from_variables(broker, find).map_err(|error| error.to_string())
    }

    const LAMBDA: (&str, &str) = ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001");
    const MEMORY: (&str, &str) = ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512");
    const ROOT: (&str, &str) = ("LAMBDA_TASK_ROOT", "/var/task");

    #[test]
    fn only_the_bucket_has_to_be_given() {
        assert_eq!(
            config(&[LAMBDA, MEMORY, ROOT, ("TRIBUTARY_BUCKET", "lake")]),
            Ok(Config {
                bucket: "lake".into(),
                horizon_ms: 900_000,
                lateness_ms: 3_600_000,
                keep_test_events: false,
                metrics: true,
                partial_responses: PartialResponses::Off,
                contract: "/var/task/contract.toml".into(),
                memory_mb: 512,
            })
        );
    }

    #[test]
    fn the_contract_is_in_the_package_unless_another_is_named() {
        let bucket = ("TRIBUTARY_BUCKET", "lake");
        let named = config(&[
            LAMBDA,
            MEMORY,
            bucket,
            ("TRIBUTARY_CONTRACT", "c/clicks.toml"),
        ]);
        assert_eq!(
            named.map(|config| config.contract),
            Ok("c/clicks.toml".into())
        );
        assert_eq!(
            config(&[LAMBDA, MEMORY, bucket]).unwrap_err(),
            "LAMBDA_TASK_ROOT is not set: Lambda sets it, and local-stack's event source"
        );
    }

    #[test]
    fn a_missing_variable_is_named_with_its_meaning() {
        assert_eq!(
            config(&[LAMBDA]).unwrap_err(),
            "TRIBUTARY_BUCKET is not set: the bucket of the lake"
        );
        assert!(
            config(&[])
                .unwrap_err()
                .starts_with("AWS_LAMBDA_RUNTIME_API is not set: ")
        );
    }

    #[test]
    fn a_bad_value_is_named_with_its_rule() {
        let with = |name, value| {
            config(&[
                (name, value),
                LAMBDA,
                MEMORY,
                ROOT,
                ("TRIBUTARY_BUCKET", "lake"),
            ])
            .unwrap_err()
        };
        assert_eq!(
            with("TRIBUTARY_HORIZON_MINUTES", "1441"),
            r#"TRIBUTARY_HORIZON_MINUTES is "1441", expected whole minutes from 0 to 1440"#
        );
        assert_eq!(
            with("TRIBUTARY_LATENESS_MINUTES", "-1"),
            r#"TRIBUTARY_LATENESS_MINUTES is "-1", expected whole minutes from 0 to 525600"#
        );
        assert_eq!(
            with("TRIBUTARY_METRICS", "yes"),
            r#"TRIBUTARY_METRICS is "yes", expected true or false"#
        );
        assert_eq!(
            with("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0"),
            r#"AWS_LAMBDA_FUNCTION_MEMORY_SIZE is "0", expected megabytes, a whole number over 0"#
        );
    }

    #[test]
    fn each_broker_has_its_forms_of_partial_responses() {
        use PartialResponses::{Off, Partition, SequenceNumber, TopicPartition};

        let of = |broker, value| {
            let variables = [
                LAMBDA,
                MEMORY,
                ROOT,
                ("TRIBUTARY_BUCKET", "lake"),
                ("TRIBUTARY_PARTIAL_RESPONSES", value),
            ];
            of_broker(broker, &variables).map(|config| config.partial_responses)
        };
        assert_eq!(of(Broker::Kinesis, "off"), Ok(Off));
        assert_eq!(of(Broker::Kinesis, "on"), Ok(SequenceNumber));
        assert_eq!(of(Broker::Kafka, "off"), Ok(Off));
        assert_eq!(of(Broker::Kafka, "partition"), Ok(Partition));
        assert_eq!(of(Broker::Kafka, "topic-partition"), Ok(TopicPartition));
        assert_eq!(
            of(Broker::Kinesis, "partition").unwrap_err(),
            r#"TRIBUTARY_PARTIAL_RESPONSES is "partition", expected off or on"#
        );
        assert_eq!(
            of(Broker::Kafka, "on").unwrap_err(),
            r#"TRIBUTARY_PARTIAL_RESPONSES is "on", expected off, partition or topic-partition"#
        );
    }
}
