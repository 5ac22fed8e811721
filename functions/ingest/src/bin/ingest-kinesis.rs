//! The Lambda function behind a Kinesis event source mapping.
#![recursion_limit = "256"] // the futures of handler, lake and SDK nest deeper than the default of 128

use std::process::ExitCode;

use ingest::environment::Broker;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ingest::start::logging();
    match ingest::start::serve(Broker::Kinesis).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "start_failed");
            ExitCode::FAILURE
        }
    }
}
