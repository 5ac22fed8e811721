//! The Lambda function behind a Kafka event source mapping: Redpanda, Apache Kafka, Amazon MSK.
#![recursion_limit = "256"] // the futures of handler, lake and SDK nest deeper than the default of 128

use std::process::ExitCode;

use ingest::environment::Broker;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ingest::start::logging();
    match ingest::start::serve(Broker::Kafka).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "start_failed");
            ExitCode::FAILURE
        }
    }
}
