//! The lake on S3.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use pipeline::commit::Created;
use pipeline::layout::{KeyRange, QUARANTINE};

use super::{Lake, Listed};
use crate::error::LakeError;

/// One bucket.
#[derive(Clone, Debug)]
pub struct S3 {
    client: Client,
    bucket: String,
}

impl S3 {
    /// A lake in `bucket`, with the SDK's shared configuration (credentials, region, endpoint, HTTP client).
    pub fn new(config: &aws_config::SdkConfig, bucket: String) -> Self {
        // Two tries have to fit into an invocation.
        let limits = aws::limits(Duration::from_secs(10));
        let client = Client::from_conf(aws::s3(config).timeout_config(limits).build());
        Self { client, bucket }
    }

    fn error<E, R>(&self, operation: &'static str, key: &str, error: &SdkError<E, R>) -> LakeError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        let cause = match error.code() {
            Some("NoSuchBucket") => format!("bucket {} does not exist", self.bucket),
            _ => aws::explain(error),
        };
        LakeError {
            operation,
            key: format!("s3://{}/{key}", self.bucket),
            cause,
        }
    }
}

fn content_type(key: &str) -> &'static str {
    if key.starts_with(QUARANTINE) {
        "application/x-ndjson"
    } else {
        "application/vnd.apache.parquet"
    }
}

impl Lake for S3 {
    async fn list(&self, range: &KeyRange) -> Result<Vec<Listed>, LakeError> {
        let mut pages = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(&range.prefix)
            .start_after(&range.start_after)
            .into_paginator()
            .send();
        let mut listed = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.error("ListObjectsV2", &range.prefix, &error))?;
            for object in page.contents.unwrap_or_default() {
                let key = object.key.unwrap_or_default();
                if key >= range.end {
                    return Ok(listed);
                }
                let size = object.size.unwrap_or_default().unsigned_abs();
                listed.push(Listed { key, size });
            }
        }
        Ok(listed)
    }

    async fn get_suffix(&self, key: &str, bytes: u64) -> Result<Option<Bytes>, LakeError> {
        let request = self.client.get_object().bucket(&self.bucket).key(key);
        let response = match request.range(format!("bytes=-{bytes}")).send().await {
            Ok(response) => response,
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(GetObjectError::is_no_such_key) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(self.error("GetObject", key, &error)),
        };
        let body = response.body.collect().await.map_err(|error| LakeError {
            operation: "GetObject",
            key: format!("s3://{}/{key}", self.bucket),
            cause: aws::with_causes(&error),
        })?;
        Ok(Some(body.into_bytes()))
    }

    async fn create(
        &self,
        key: &str,
        body: Bytes,
        metadata: &[(&'static str, String)],
    ) -> Result<Created, LakeError> {
        let mut request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .if_none_match("*");
        for (name, value) in metadata {
            request = request.metadata(*name, value);
        }
        let sent = request
            .content_type(content_type(key))
            .body(ByteStream::from(body))
            .customize()
            // A retry inside of the SDK would turn a lost "yes" into a 412 unseen; the handler looks again itself.
            .config_override(Builder::new().retry_config(RetryConfig::disabled()))
            .send()
            .await;
        let Err(error) = sent else {
            return Ok(Created::Yes);
        };
        match (
            error
                .raw_response()
                .map(|response| response.status().as_u16()),
            error.code(),
        ) {
            (Some(412), _) => Ok(Created::AlreadyExists),
            (Some(409), _) => Ok(Created::Conflict),
            // Refused as a whole; only 4xx other than throttling and time-outs is a final no.
            (Some(400..=499), code) if !matches!(code, Some("RequestTimeout" | "SlowDown")) => {
                Err(self.error("PutObject", key, &error))
            }
            _ => {
                tracing::warn!(key, error = aws::with_causes(&error), "create_unanswered");
                Ok(Created::Unknown)
            }
        }
    }
}
