//! One way to AWS, or to what answers in its place at `AWS_ENDPOINT_URL`: configuration, clients, errors in one line.

use std::error::Error;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem::Finder;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// Credentials, region and endpoint from the environment, as every AWS SDK reads them; HTTPS without a C library.
///
/// A connection is given up after 2 s, a request after 20 s; a client with less time sets its own limits.
pub async fn configuration() -> SdkConfig {
    with_roots(TrustStore::default()).await
}

/// The same for a function, which talks to AWS alone and whose start is billed: it brings the certification authorities
/// that AWS uses instead of reading all of the machine's. Those count where HTTPS leads elsewhere, or where a file of
/// certificates is named.
pub async fn configuration_of_function() -> SdkConfig {
    let is_set = |name| std::env::var_os(name).is_some();
    let endpoint = std::env::var("AWS_ENDPOINT_URL").unwrap_or_default();
    if endpoint.starts_with("https:") || is_set("SSL_CERT_FILE") || is_set("SSL_CERT_DIR") {
        return configuration().await;
    }
    with_roots(roots_of_aws()).await
}

async fn with_roots(roots: TrustStore) -> SdkConfig {
    let context = TlsContext::builder().with_trust_store(roots).build();
    // The connector sets TCP_NODELAY by default; without it every small request would wait 40 ms on loopback.
    let http_client = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context.expect("a list of certificates is a context"))
        .build_https();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client)
        .timeout_config(limits(Duration::from_secs(20)))
        .load()
        .await
}

/// Amazon Trust Services (<https://www.amazontrust.com/repository/>), and `DigiCert`, which has signed for China.
const AUTHORITIES: [&str; 3] = [
    "Amazon Root CA",
    "Starfield Services Root Certificate Authority",
    "DigiCert Global Root",
];

fn roots_of_aws() -> TrustStore {
    let names = AUTHORITIES.map(Finder::new);
    let certificates = TLS_SERVER_ROOT_CERTS.iter();
    // The DER form of a certificate has names in it as they are.
    let of_aws = certificates.filter(|one| names.iter().any(|name| name.find(one).is_some()));
    of_aws.fold(TrustStore::empty(), |roots, certificate| {
        let body = STANDARD.encode(certificate);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        roots.with_pem_certificate(pem)
    })
}

/// Limits for one attempt of a request, and for its connection.
pub fn limits(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(attempt)
        .build()
}

/// Settings of a client for buckets. An endpoint of one's own (`LocalStack`, `MinIO`) has no host name per bucket.
pub fn s3(config: &SdkConfig) -> Builder {
    Builder::from(config).force_path_style(config.endpoint_url().is_some())
}

/// One line for an SDK error: the service's code and message, or why it did not answer.
pub fn explain(error: &(impl ProvideErrorMetadata + Error + 'static)) -> String {
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => with_causes(error),
    }
}

/// An error and its causes in one line, without the debug form that the SDK's own display of it appends.
pub fn with_causes(error: &dyn Error) -> String {
    let chain = std::iter::successors(Some(error), |error| (*error).source());
    let mut causes: Vec<String> = chain.map(ToString::to_string).collect();
    causes.dedup();
    causes.join(": ")
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::error::ErrorMetadata;
    use aws_sdk_s3::types::error::NoSuchKey;

    use super::*;

    #[test]
    fn an_error_of_a_service_is_its_code_and_message() {
        let metadata = ErrorMetadata::builder();
        let metadata = metadata.code("NoSuchKey").message("it is gone").build();
        let error = NoSuchKey::builder().meta(metadata).build();
        assert_eq!(explain(&error), "NoSuchKey: it is gone");
    }

    #[test]
    fn every_authority_of_aws_is_still_in_the_list() {
        for name in AUTHORITIES {
            let mut certificates = TLS_SERVER_ROOT_CERTS.iter();
            let name_in = Finder::new(name);
            assert!(
                certificates.any(|one| name_in.find(one).is_some()),
                "{name}"
            );
        }
    }

    #[test]
    fn an_error_without_an_answer_is_its_causes_once_each() {
        let refused = std::io::Error::other("refused");
        let error = std::io::Error::other(std::io::Error::other(refused));
        assert_eq!(with_causes(&error), "refused");
    }
}
