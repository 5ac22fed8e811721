//! The account that events are sent to, checked before the first one.

use anyhow::{Context, Result, bail};
use aws_config::SdkConfig;
use aws_sdk_kinesis::config::ProvideCredentials;

/// The SDK's own configuration (environment, profiles, instance roles), refused when region or credentials are missing.
pub async fn load_config() -> Result<SdkConfig> {
    let config = aws::configuration().await;
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
