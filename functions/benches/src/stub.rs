//! As much of S3 and CloudWatch as the function asks for, in memory, and as late as one likes.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::time::{Instant, sleep};

/// How long it waits before it answers.
#[derive(Clone, Copy, Default)]
pub struct Delays {
    /// LIST and GET.
    pub read: Duration,
    /// PUT.
    pub put: Duration,
    /// `PutMetricData`.
    pub metrics: Duration,
}

#[derive(Clone)]
struct Stub {
    objects: Arc<Mutex<BTreeMap<String, Bytes>>>,
    delays: Delays,
}

/// Serves as long as the process lives, on a thread of its own. Returns its endpoint.
///
/// # Panics
/// Never: its lock is held by no thread that panics.
pub fn serve(delays: Delays) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let stub = Stub {
        objects: Arc::default(),
        delays,
    };
    let service = Router::new()
        .route("/{bucket}", get(list))
        .route("/{bucket}/", get(list))
        .route("/{bucket}/{*key}", get(read).put(create))
        .fallback(metrics)
        .with_state(stub);
    std::thread::spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, service).await
        })
    });
    Ok(format!("http://{address}"))
}

/// Tokio's timers ring up to a few milliseconds late, which the function would seem to take: the last of them are spun away.
async fn wait(delay: Duration) {
    let until = Instant::now() + delay;
    sleep(delay.saturating_sub(Duration::from_millis(5))).await;
    while Instant::now() < until {
        tokio::task::yield_now().await;
    }
}

async fn list(
    State(stub): State<Stub>,
    Query(query): Query<HashMap<String, String>>,
) -> impl IntoResponse {
    wait(stub.delays.read).await;
    let of = |name| query.get(name).map_or("", String::as_str);
    let (prefix, after) = (of("prefix"), of("start-after"));
    let mut listing = String::from("<ListBucketResult>");
    let objects = stub.objects.lock().expect("not poisoned");
    let listed = objects.range(after.max(prefix).to_owned()..);
    for (key, body) in listed.take_while(|(key, _)| key.starts_with(prefix)) {
        if key != after {
            let size = body.len();
            let _ = write!(
                listing,
                "<Contents><Key>{key}</Key><Size>{size}</Size></Contents>"
            );
        }
    }
    (
        [(header::CONTENT_TYPE, "application/xml")],
        listing + "</ListBucketResult>",
    )
}

async fn read(
    State(stub): State<Stub>,
    Path((_, key)): Path<(String, String)>,
) -> Result<Bytes, StatusCode> {
    wait(stub.delays.read).await;
    let objects = stub.objects.lock().expect("not poisoned");
    objects.get(&key).cloned().ok_or(StatusCode::NOT_FOUND)
}

async fn create(
    State(stub): State<Stub>,
    Path((_, key)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    wait(stub.delays.put).await;
    let mut objects = stub.objects.lock().expect("not poisoned");
    if headers.contains_key(header::IF_NONE_MATCH) && objects.contains_key(&key) {
        return StatusCode::PRECONDITION_FAILED;
    }
    objects.insert(key, body);
    StatusCode::OK
}

async fn metrics(State(stub): State<Stub>) -> Response {
    wait(stub.delays.metrics).await;
    [("smithy-protocol", "rpc-v2-cbor")].into_response()
}
