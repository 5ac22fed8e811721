//! Lambda's Runtime API, version 2018-06-01, for one execution environment.
//!
//! Source: Lambda developer guide, "Using the Lambda runtime API for custom runtimes".

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{self, Body};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

/// Lambda's limit on a synchronous invocation's answer, as its error message states it.
const MAXIMUM_ANSWER_BYTES: usize = 6_291_556;

/// Larger answers are not even read to their end.
const MAXIMUM_BODY_BYTES: usize = 64 * 1024 * 1024;

/// What the runtime in the function's process did last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has not asked for an event yet.
    Initializing,
    /// It reported that its start failed.
    InitFailed(String),
    /// It waits for an event.
    Waiting,
    /// It has an event.
    Busy,
}

/// The function's answer: its body, or its error as one line.
pub(crate) type FunctionAnswer = Result<Bytes, String>;

/// An event to be handed to the next caller of `invocation/next`.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) request_id: Uuid,
    pub(crate) payload: Bytes,
    /// From the moment of delivery to the deadline.
    pub(crate) timeout: Duration,
    pub(crate) delivered: oneshot::Sender<Instant>,
    pub(crate) answer: oneshot::Sender<FunctionAnswer>,
}

/// The server; it ends when this is dropped, and with it the function's pending request.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    pub(crate) address: SocketAddr,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) phase: watch::Receiver<Phase>,
    server: JoinHandle<()>,
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Shared {
    events: tokio::sync::Mutex<mpsc::Receiver<Event>>,
    phase: watch::Sender<Phase>,
    current: Mutex<Option<(Uuid, oneshot::Sender<FunctionAnswer>)>>,
    function_arn: String,
}

/// The body of `error` and `init/error`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorBody {
    #[serde(default)]
    error_message: String,
    #[serde(default)]
    error_type: String,
}

impl RuntimeApi {
    /// Serves on a port of the loopback interface that the system picks.
    pub(crate) async fn serve(function_arn: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (events, receiver) = mpsc::channel(1);
        let (phase, phases) = watch::channel(Phase::Initializing);
        let shared = Arc::new(Shared {
            events: tokio::sync::Mutex::new(receiver),
            phase,
            current: Mutex::new(None),
            function_arn: function_arn.to_owned(),
        });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route(
                "/2018-06-01/runtime/invocation/{request_id}/response",
                post(response),
            )
            .route(
                "/2018-06-01/runtime/invocation/{request_id}/error",
                post(error),
            )
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .with_state(shared);
        // Without TCP_NODELAY an answer of two packets waits 40 ms for the delayed acknowledgement of the first.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY was refused");
            }
        });
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the Runtime API ended");
            }
        });
        Ok(Self {
            address,
            events,
            phase: phases,
            server,
        })
    }
}

impl Shared {
    fn take_current(&self, request_id: &str) -> Option<oneshot::Sender<FunctionAnswer>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current
            .take_if(|(id, _)| id.to_string() == request_id)
            .map(|(_, answer)| answer)
    }
}

async fn next(State(shared): State<Arc<Shared>>) -> Response {
    let mut events = shared.events.lock().await;
    shared.phase.send_replace(Phase::Waiting);
    let Some(event) = events.recv().await else {
        return StatusCode::GONE.into_response();
    };
    drop(events);
    shared.phase.send_replace(Phase::Busy);
    let deadline = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        + event.timeout;
    let headers = [
        (
            "Lambda-Runtime-Aws-Request-Id",
            event.request_id.to_string(),
        ),
        (
            "Lambda-Runtime-Deadline-Ms",
            deadline.as_millis().to_string(),
        ),
        (
            "Lambda-Runtime-Invoked-Function-Arn",
            shared.function_arn.clone(),
        ),
        ("Lambda-Runtime-Trace-Id", trace_id(event.request_id)),
        (header::CONTENT_TYPE.as_str(), "application/json".to_owned()),
    ];
    *shared
        .current
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = Some((event.request_id, event.answer));
    // Nobody waits any more when the environment was given up meanwhile.
    let _ = event.delivered.send(Instant::now());
    (headers, event.payload).into_response()
}

/// `Root=1-<8 hex>-<24 hex>`: the form of X-Ray's header, from the request id.
fn trace_id(request_id: Uuid) -> String {
    let hex = request_id.simple().to_string();
    format!("Root=1-{}-{};Sampled=0", &hex[..8], &hex[8..])
}

async fn response(
    State(shared): State<Arc<Shared>>,
    Path(request_id): Path<String>,
    body: Body,
) -> Response {
    let body = body::to_bytes(body, MAXIMUM_BODY_BYTES).await.ok();
    let Some(answer) = shared.take_current(&request_id) else {
        return unknown_request();
    };
    match body {
        Some(body) if body.len() <= MAXIMUM_ANSWER_BYTES => {
            let _ = answer.send(Ok(body));
            accepted()
        }
        _ => {
            let message =
                format!("Exceeded maximum allowed payload size ({MAXIMUM_ANSWER_BYTES} bytes).");
            let _ = answer.send(Err(format!("Function.ResponseSizeTooLarge: {message}")));
            let body = error_json("RequestEntityTooLarge", &message);
            (StatusCode::PAYLOAD_TOO_LARGE, body).into_response()
        }
    }
}

async fn error(
    State(shared): State<Arc<Shared>>,
    Path(request_id): Path<String>,
    body: Bytes,
) -> Response {
    let Some(answer) = shared.take_current(&request_id) else {
        return unknown_request();
    };
    let _ = answer.send(Err(one_line(&body)));
    accepted()
}

async fn init_error(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    shared
        .phase
        .send_replace(Phase::InitFailed(one_line(&body)));
    accepted()
}

fn one_line(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<ErrorBody>(body) {
        Ok(error) => format!("{}: {}", error.error_type, error.error_message),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn error_json(kind: &str, message: &str) -> String {
    serde_json::json!({"errorType": kind, "errorMessage": message}).to_string()
}

fn unknown_request() -> Response {
    let body = error_json("InvalidRequestID", "Invalid request ID");
    (StatusCode::BAD_REQUEST, body).into_response()
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, r#"{"status":"OK"}"#).into_response()
}
