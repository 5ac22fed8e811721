//! One execution environment: a process of the function, and its own Runtime API.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::reaper::Reaper;
use super::runtime_api::{Event, Phase, RuntimeApi};

/// Lambda's bound on a function's start (developer guide, "Lambda execution environment lifecycle").
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The variable by which a function learns in which form its mapping reads partial answers.
pub const PARTIAL_RESPONSES: &str = "TRIBUTARY_PARTIAL_RESPONSES";

/// What is the same for all environments of a function.
#[derive(Debug)]
pub struct FunctionSettings {
    /// The executable that Lambda would run as `bootstrap`.
    pub artifact: PathBuf,
    /// The function's name, as its environment and log see it.
    pub name: String,
    /// Only told to the function and printed in `REPORT`; not enforced.
    pub memory_mb: u32,
    /// From the delivery of an event to its deadline, at which the process is killed.
    pub timeout: Duration,
    /// Such as `us-east-1`.
    pub region: String,
    /// Twelve digits.
    pub account: String,
    /// Variables added to those that Lambda sets; they win over them.
    pub variables: Vec<(String, String)>,
    /// Takes the process's standard output and error, and the `REPORT` lines.
    pub log: FunctionLog,
    /// Kills the processes of an event source that was killed itself; without one an orphan may end its invocation.
    pub reaper: Option<Reaper>,
}

impl FunctionSettings {
    /// The function's ARN.
    pub fn arn(&self) -> String {
        format!(
            "arn:aws:lambda:{}:{}:function:{}",
            self.region, self.account, self.name
        )
    }

    /// Tells the function in which form its mapping reads partial answers, `off` for none. What was said of it before is
    /// dropped: only the mapping knows.
    pub fn set_partial_responses(&mut self, form: &str) {
        self.variables.retain(|(name, _)| name != PARTIAL_RESPONSES);
        self.variables
            .push((PARTIAL_RESPONSES.to_owned(), form.to_owned()));
    }

    /// The environment that Lambda gives to an OS-only runtime (developer guide, "Defined runtime environment
    /// variables"); nothing is inherited.
    fn environment(&self, runtime_api: &str) -> Vec<(String, String)> {
        let task_root = self.artifact.parent().unwrap_or(Path::new("/"));
        let set = [
            ("_HANDLER", "bootstrap".to_owned()),
            ("AWS_DEFAULT_REGION", self.region.clone()),
            ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023".to_owned()),
            (
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
                self.memory_mb.to_string(),
            ),
            ("AWS_LAMBDA_FUNCTION_NAME", self.name.clone()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
            (
                "AWS_LAMBDA_LOG_GROUP_NAME",
                format!("/aws/lambda/{}", self.name),
            ),
            (
                "AWS_LAMBDA_LOG_STREAM_NAME",
                format!("[$LATEST]{}", Uuid::new_v4().simple()),
            ),
            ("AWS_LAMBDA_RUNTIME_API", runtime_api.to_owned()),
            ("AWS_REGION", self.region.clone()),
            ("LAMBDA_TASK_ROOT", task_root.display().to_string()),
            ("LANG", "en_US.UTF-8".to_owned()),
            ("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin".to_owned()),
            ("TZ", ":UTC".to_owned()),
        ];
        set.into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .chain(self.variables.iter().cloned())
            .collect()
    }
}

/// The file that function output is appended to.
#[derive(Clone, Debug)]
pub struct FunctionLog(Arc<File>);

impl FunctionLog {
    /// Opens the file for appending, with the directories above it.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let file = File::options()
            .create(true)
            .read(true)
            .append(true)
            .open(path)?;
        Ok(Self(Arc::new(file)))
    }

    fn stdio(&self) -> io::Result<Stdio> {
        Ok(self.0.try_clone()?.into())
    }

    fn line(&self, line: &str) {
        if let Err(error) = (&*self.0).write_all(format!("{line}\n").as_bytes()) {
            tracing::warn!(%error, "the function log cannot be written");
        }
    }

    fn len(&self) -> u64 {
        self.0.metadata().map_or(0, |metadata| metadata.len())
    }

    /// The last line written since the log had this length: why a process that just ended did so.
    fn last_line_since(&self, length: u64) -> Option<String> {
        let mut file = &*self.0;
        let start = length.max(self.len().saturating_sub(4096));
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(start)).ok()?;
        file.read_to_end(&mut tail).ok()?;
        let text = String::from_utf8_lossy(&tail);
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
        Some(line.to_owned())
    }
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvocationEnd {
    /// The function answered with this body.
    Answered(Bytes),
    /// The function answered with an error, crashed, or ran into its time-out: one line that says which.
    Failed(String),
    /// The event never reached the function.
    NotInvoked(String),
}

/// A started process that asks for events one at a time.
#[derive(Debug)]
pub struct Environment {
    settings: Arc<FunctionSettings>,
    api: RuntimeApi,
    child: Child,
    group: Option<Pid>,
    /// Until it was reported.
    init_duration: Option<Duration>,
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Environment {
    /// Starts the process and waits until it asks for its first event. The error is one line.
    pub async fn start(settings: &Arc<FunctionSettings>) -> Result<Self, String> {
        let api = RuntimeApi::serve(&settings.arn())
            .await
            .map_err(|error| format!("no port for the Runtime API: {error}"))?;
        let artifact = settings.artifact.display();
        let stdio = || {
            settings
                .log
                .stdio()
                .map_err(|error| format!("function log: {error}"))
        };
        let log_length = settings.log.len();
        let started = Instant::now();
        let child = Command::new(&settings.artifact)
            .env_clear()
            .envs(settings.environment(&api.address.to_string()))
            .current_dir(settings.artifact.parent().unwrap_or(Path::new("/")))
            .stdin(Stdio::null())
            .stdout(stdio()?)
            .stderr(stdio()?)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{artifact}: {error}"))?;
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        if let (Some(reaper), Some(group)) = (&settings.reaper, group) {
            reaper.watch(group);
        }
        let mut environment = Self {
            settings: Arc::clone(settings),
            api,
            child,
            group,
            init_duration: None,
        };
        let mut phase = environment.api.phase.clone();
        let ready = phase.wait_for(|phase| *phase != Phase::Initializing);
        let outcome = tokio::select! {
            biased;
            phase = ready => match phase.as_deref() {
                Ok(Phase::InitFailed(reason)) => Err(reason.clone()),
                _ => Ok(()),
            },
            status = environment.child.wait() => {
                let last = settings.log.last_line_since(log_length);
                let last = last.map(|line| format!("; its last output: {line}")).unwrap_or_default();
                Err(format!("{artifact}: {} before it asked for an event{last}", exit_text(status)))
            }
            () = tokio::time::sleep(INIT_TIMEOUT) => {
                Err(format!("{artifact}: did not ask for an event within {} s", INIT_TIMEOUT.as_secs()))
            }
        };
        outcome?;
        environment.init_duration = Some(started.elapsed());
        Ok(environment)
    }

    /// Invokes the function; the environment is fit for another invocation only if the flag is set.
    pub async fn invoke(&mut self, request_id: Uuid, payload: Bytes) -> (InvocationEnd, bool) {
        let (delivered, delivery) = oneshot::channel();
        let (answer, answered) = oneshot::channel();
        let event = Event {
            request_id,
            payload,
            timeout: self.settings.timeout,
            delivered,
            answer,
        };
        let started = match self.deliver(event, delivery).await {
            Ok(started) => started,
            Err(reason) => return (InvocationEnd::NotInvoked(reason), false),
        };
        let (end, status) = tokio::select! {
            biased;
            answer = answered => match answer {
                Ok(Ok(body)) => (InvocationEnd::Answered(body), None),
                Ok(Err(error)) => (InvocationEnd::Failed(error), Some("error")),
                Err(_) => (InvocationEnd::Failed("the Runtime API ended".to_owned()), Some("error")),
            },
            status = self.child.wait() => {
                let reason = format!("Runtime.ExitError: {}", exit_text(status));
                self.settings.log.line(&format!("RequestId: {request_id} Error: {reason}"));
                (InvocationEnd::Failed(reason), Some("error"))
            }
            () = sleep_until(started + self.settings.timeout) => {
                let reason = format!("Task timed out after {:.2} seconds", self.settings.timeout.as_secs_f64());
                self.settings.log.line(&format!("{request_id} {reason}"));
                (InvocationEnd::Failed(reason), Some("timeout"))
            }
        };
        self.report(request_id, started.elapsed(), status);
        let alive = status != Some("timeout") && matches!(self.child.try_wait(), Ok(None));
        if !alive {
            self.kill();
        }
        (end, alive)
    }

    /// Hands the event over as soon as the process asks for it. A process that ended (or does not come back) after
    /// its last answer has not seen the event.
    async fn deliver(
        &mut self,
        event: Event,
        delivery: oneshot::Receiver<Instant>,
    ) -> Result<Instant, String> {
        let mut phase = self.api.phase.clone();
        let waiting = timeout(
            INIT_TIMEOUT,
            phase.wait_for(|phase| *phase == Phase::Waiting),
        );
        tokio::select! {
            biased;
            status = self.child.wait() => return Err(format!("{} between invocations", exit_text(status))),
            waiting = waiting => match waiting {
                Ok(Ok(_)) => {}
                _ => return Err("the function does not ask for the next event".to_owned()),
            }
        }
        self.api
            .events
            .send(event)
            .await
            .map_err(|_| "the Runtime API ended".to_owned())?;
        tokio::select! {
            delivered = delivery => delivered.map_err(|_| "the Runtime API ended".to_owned()),
            status = self.child.wait() => Err(format!("{} between invocations", exit_text(status))),
        }
    }

    /// Kills the process and whatever it started.
    fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            // ESRCH: nothing of the group is left.
            let _ = killpg(group, Signal::SIGKILL);
            if let Some(reaper) = &self.settings.reaper {
                reaper.forget(group);
            }
        }
    }

    fn report(&mut self, request_id: Uuid, duration: Duration, status: Option<&str>) {
        let init = self.init_duration.take();
        let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
        let memory = self.child.id().and_then(peak_memory_mb);
        let memory = memory.map_or_else(
            || "not measured".to_owned(),
            |megabytes| format!("{megabytes} MB"),
        );
        let billed = millis(duration + init.unwrap_or_default()).ceil();
        let mut fields = vec![
            format!("REPORT RequestId: {request_id}"),
            format!("Duration: {:.2} ms", millis(duration)),
            format!("Billed Duration: {billed:.0} ms"),
            format!("Memory Size: {} MB", self.settings.memory_mb),
            format!("Max Memory Used: {memory}"),
        ];
        fields.extend(init.map(|init| format!("Init Duration: {:.2} ms", millis(init))));
        fields.extend(status.map(|status| format!("Status: {status}")));
        self.settings.log.line(&fields.join("\t"));
    }
}

fn exit_text(status: io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => format!("exited with {status}"),
        Err(error) => format!("was lost: {error}"),
    }
}

/// Peak resident memory of a live process, rounded up; only Linux tells.
fn peak_memory_mb(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes.div_ceil(1024))
}
