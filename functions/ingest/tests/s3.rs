//! The lake on S3, as requests and answers on the wire.

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::config::Credentials;
use bytes::Bytes;
use ingest::error::LakeError;
use ingest::lake::{Lake, S3};
use pipeline::commit::Created;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Creates an object on a server that gives one answer, and returns the request's head beside the result.
async fn create_answered(status: &str, code: &str) -> (String, Result<Created, LakeError>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let body = match code {
        "" => String::new(),
        code => format!("<Error><Code>{code}</Code><Message>m</Message></Error>"),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let server = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.expect("a connection");
        let mut request = Vec::new();
        // The body of these tests is the last thing sent.
        while !request.windows(4).any(|bytes| bytes == b"rows") {
            assert_ne!(
                connection.read_buf(&mut request).await.expect("bytes"),
                0,
                "no body came"
            );
        }
        connection.write_all(answer.as_bytes()).await.expect("sent");
        String::from_utf8_lossy(&request).to_lowercase()
    });
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(format!("http://{address}"))
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .load()
        .await;
    let lake = S3::new(&config, "lake".to_owned());
    let metadata = [("tributary-written", "1".to_owned())];
    let created = lake
        .create("events/o.parquet", Bytes::from_static(b"rows"), &metadata)
        .await;
    (server.await.expect("the server does not panic"), created)
}

#[tokio::test]
async fn a_create_asks_for_an_object_only_where_none_is() {
    let (request, created) = create_answered("200 OK", "").await;
    assert_eq!(created.expect("made"), Created::Yes);
    assert!(
        request.starts_with("put /lake/events/o.parquet"),
        "{request}"
    );
    assert!(request.contains("if-none-match: *"), "{request}");
    assert!(
        request.contains("x-amz-meta-tributary-written: 1"),
        "{request}"
    );
}

#[tokio::test]
async fn only_what_s3_says_for_certain_is_certain() {
    for (status, code, expected) in [
        (
            "412 Precondition Failed",
            "PreconditionFailed",
            Created::AlreadyExists,
        ),
        (
            "409 Conflict",
            "ConditionalRequestConflict",
            Created::Conflict,
        ),
        (
            "500 Internal Server Error",
            "InternalError",
            Created::Unknown,
        ),
        ("503 Slow Down", "SlowDown", Created::Unknown),
        ("400 Bad Request", "RequestTimeout", Created::Unknown),
    ] {
        let (_, created) = create_answered(status, code).await;
        assert_eq!(created.expect(code), expected, "{status}");
    }
}

#[tokio::test]
async fn a_final_no_is_an_error_that_names_bucket_and_key() {
    let (_, created) = create_answered("404 Not Found", "NoSuchBucket").await;
    let error = created.expect_err("no bucket").to_string();
    assert_eq!(
        error,
        "PutObject s3://lake/events/o.parquet: bucket lake does not exist"
    );
    let (_, created) = create_answered("403 Forbidden", "AccessDenied").await;
    let error = created.expect_err("no permission").to_string();
    assert_eq!(
        error,
        "PutObject s3://lake/events/o.parquet: AccessDenied: m"
    );
}
