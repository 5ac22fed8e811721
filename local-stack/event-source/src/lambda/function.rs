//! A function: its warm environments, and new ones as concurrency asks for them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::MAXIMUM_PAYLOAD_BYTES;
use super::environment::{Environment, FunctionSettings, InvocationEnd};

const FIRST_INIT_BACK_OFF: Duration = Duration::from_millis(500);
const LONGEST_INIT_BACK_OFF: Duration = Duration::from_secs(15);

/// Invokes the function in a warm environment, or in a cold one when none is free. How many there are is decided by
/// the callers: one per concurrent invocation.
#[derive(Debug)]
pub struct Function {
    settings: Arc<FunctionSettings>,
    warm: Mutex<Vec<Environment>>,
    failed_starts: tokio::sync::Mutex<FailedStarts>,
    stopping: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct FailedStarts {
    in_a_row: u32,
    not_before: Option<Instant>,
}

impl Function {
    /// A function without an environment yet.
    pub fn new(settings: FunctionSettings) -> Self {
        Self {
            settings: Arc::new(settings),
            warm: Mutex::default(),
            failed_starts: tokio::sync::Mutex::default(),
            stopping: watch::Sender::new(false),
        }
    }

    /// The function's ARN.
    pub fn arn(&self) -> String {
        self.settings.arn()
    }

    /// How its environments are made.
    pub fn settings(&self) -> &FunctionSettings {
        &self.settings
    }

    /// Invokes the function once.
    pub async fn invoke(&self, request_id: Uuid, payload: Vec<u8>) -> InvocationEnd {
        if payload.len() > MAXIMUM_PAYLOAD_BYTES {
            return InvocationEnd::NotInvoked(format!(
                "Request must be smaller than {MAXIMUM_PAYLOAD_BYTES} bytes for the InvokeFunction operation"
            ));
        }
        let payload = Bytes::from(payload);
        loop {
            let warm = self.warm().pop();
            let was_warm = warm.is_some();
            let mut environment = match warm {
                Some(environment) => environment,
                None => match self.start().await {
                    Ok(environment) => environment,
                    Err(reason) => return InvocationEnd::NotInvoked(reason),
                },
            };
            let (end, fit) = environment.invoke(request_id, payload.clone()).await;
            if fit {
                self.warm().push(environment);
            }
            // One that died while it was idle costs nothing but another start.
            if !(was_warm && matches!(end, InvocationEnd::NotInvoked(_))) {
                return end;
            }
        }
    }

    /// From now on an invocation needs a warm environment; nobody waits for a start any more.
    pub fn start_no_more(&self) {
        self.stopping.send_replace(true);
    }

    /// Kills all idle environments.
    pub fn stop(&self) {
        self.warm().clear();
    }

    fn warm(&self) -> std::sync::MutexGuard<'_, Vec<Environment>> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn start(&self) -> Result<Environment, String> {
        let mut stopping = self.stopping.subscribe();
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => Err("the event source is stopping".to_owned()),
            started = self.start_in_turn() => started,
        }
    }

    /// Starts run side by side until one fails; from then on one at a time, with growing waits, until one succeeds.
    async fn start_in_turn(&self) -> Result<Environment, String> {
        let mut failed = self.failed_starts.lock().await;
        let Some(not_before) = failed.not_before else {
            drop(failed);
            let started = Environment::start(&self.settings).await;
            if let Err(reason) = &started {
                self.failed_starts.lock().await.add(reason);
            }
            return started;
        };
        sleep_until(not_before).await;
        let started = Environment::start(&self.settings).await;
        match &started {
            Ok(_) => *failed = FailedStarts::default(),
            Err(reason) => failed.add(reason),
        }
        started
    }
}

impl FailedStarts {
    fn add(&mut self, reason: &str) {
        let wait =
            (FIRST_INIT_BACK_OFF * 2_u32.pow(self.in_a_row.min(10))).min(LONGEST_INIT_BACK_OFF);
        self.in_a_row += 1;
        self.not_before = Some(Instant::now() + wait);
        tracing::warn!(
            attempt = self.in_a_row,
            next_in_ms = wait.as_millis(),
            "function failed to start: {reason}"
        );
    }
}
