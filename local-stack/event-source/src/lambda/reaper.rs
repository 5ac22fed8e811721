//! Nothing outlives the event source, however it ends.
//!
//! A function in mid-invocation does not notice that its Runtime API is gone. So a companion process holds the reading
//! end of a pipe and is told of every process group; when the event source ends, even by SIGKILL, the system closes
//! the pipe and the companion kills what is left.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// The event source's end of the pipe.
#[derive(Clone, Debug)]
pub struct Reaper {
    pipe: Arc<Mutex<ChildStdin>>,
}

impl Reaper {
    /// Starts `command`, which must end up in [`reap`].
    pub fn start(mut command: Command) -> io::Result<Self> {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // Out of the reach of a terminal's Ctrl-C.
            .process_group(0)
            .spawn()?;
        let pipe = child.stdin.ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self {
            pipe: Arc::new(Mutex::new(pipe)),
        })
    }

    pub(crate) fn watch(&self, group: Pid) {
        self.tell('+', group);
    }

    pub(crate) fn forget(&self, group: Pid) {
        self.tell('-', group);
    }

    fn tell(&self, sign: char, group: Pid) {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = writeln!(pipe, "{sign}{group}") {
            tracing::warn!(%error, "the reaper is gone: a killed event source would leave processes behind");
        }
    }
}

/// The companion's whole life: notes `+<group>` and `-<group>` lines until `input` ends, then kills the groups noted.
pub fn reap(input: impl BufRead) {
    let mut groups = BTreeSet::new();
    for line in input.lines().map_while(Result::ok) {
        let (sign, group) = line.split_at_checked(1).unwrap_or_default();
        match (sign, group.parse::<i32>()) {
            ("+", Ok(group)) => groups.insert(group),
            ("-", Ok(group)) => groups.remove(&group),
            _ => false,
        };
    }
    for group in groups {
        // ESRCH: it ended by itself.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    fn sleeper() -> std::process::Child {
        let mut command = Command::new("sleep");
        command.arg("60").process_group(0).spawn().expect("sleep")
    }

    #[test]
    fn groups_still_noted_when_the_pipe_closes_are_killed_and_no_others() {
        let (mut noted, mut forgotten) = (sleeper(), sleeper());
        let input = format!("+{}\n+{1}\n-{1}\n", noted.id(), forgotten.id());
        reap(input.as_bytes());
        assert_eq!(noted.wait().expect("ended").signal(), Some(9));
        assert!(forgotten.try_wait().expect("known").is_none());
        forgotten.kill().expect("killed");
        forgotten.wait().expect("ended");
    }
}
