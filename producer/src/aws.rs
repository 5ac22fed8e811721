//! Access to AWS, or to what answers in its place at `AWS_ENDPOINT_URL`.

use std::error::Error;

use anyhow::{Context, Result, bail};
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_kinesis::config::ProvideCredentials;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

/// The SDK's own configuration (environment, profiles, instance roles), refused when region or credentials are missing.
pub async fn load_config() -> Result<SdkConfig> {
    // The connector sets TCP_NODELAY by default; without it every small request would wait 40 ms on loopback.
    let http_client = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client)
        .load()
        .await;
    config
        .region()
        .context("no AWS region: set AWS_REGION, or a region in the AWS profile")?;
    let credentials = config
        .credentials_provider()
        .context("no AWS credentials")?;
    if credentials.provide_credentials().await.is_err() {
        bail!(
            "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile that is valid"
        );
    }
    Ok(config)
}

/// The endpoint that requests go to, for messages.
pub fn endpoint(config: &SdkConfig) -> String {
    let region = config.region().map_or("?", |region| region.as_ref());
    config
        .endpoint_url()
        .map_or_else(|| format!("AWS {region}"), ToOwned::to_owned)
}

/// The innermost source of an error: SDK errors say nothing themselves.
pub(crate) fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
