//! What a person sees while events are sent: a bar on a terminal, a line every few seconds elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::pace::Limit;
use crate::totals::Totals;

/// Time between two lines where there is no terminal.
const LINE_PERIOD: Duration = Duration::from_secs(5);

/// Progress on standard error. Clones show on the same bar.
#[derive(Clone, Debug)]
pub struct Progress {
    bar: ProgressBar,
    limit: Limit,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// A bar over the events, or over the time, that a run is limited to.
    pub fn new(limit: Limit) -> Self {
        let (length, template) = match limit {
            Limit::Events(events) => (
                events,
                "{bar:32} {human_pos} of {human_len} events, {msg}, {eta} left",
            ),
            Limit::Duration(duration) => (duration.as_secs(), "{bar:32} {pos} of {len} s, {msg}"),
        };
        let bar = if io::stderr().is_terminal() {
            ProgressBar::new(length)
        } else {
            ProgressBar::hidden()
        };
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        let now = Instant::now();
        Self {
            bar,
            limit,
            started: now,
            last_line: now,
        }
    }

    /// Shows the totals; call it a few times a second.
    pub fn show(&mut self, totals: &Totals) {
        if self.bar.is_hidden() {
            if self.last_line.elapsed() >= LINE_PERIOD {
                self.last_line = Instant::now();
                let line = format!("{}, {}", self.of_limit(totals), self.rate(totals));
                let _ = writeln!(io::stderr(), "{line}"); // nobody reads it: nothing to do
            }
            return;
        }
        match self.limit {
            Limit::Events(_) => self.bar.set_position(totals.acknowledged()),
            Limit::Duration(_) => self.bar.set_position(self.started.elapsed().as_secs()),
        }
        self.bar.set_message(self.rate(totals));
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn of_limit(&self, totals: &Totals) -> String {
        let acknowledged = HumanCount(totals.acknowledged());
        match self.limit {
            Limit::Events(events) => format!("{acknowledged} of {} events", HumanCount(events)),
            Limit::Duration(duration) => {
                let elapsed = self.started.elapsed().as_secs();
                format!(
                    "{elapsed} of {} s, {acknowledged} events",
                    duration.as_secs()
                )
            }
        }
    }

    fn rate(&self, totals: &Totals) -> String {
        let rate = events_per_second(totals.acknowledged(), self.started.elapsed());
        match totals.retries() {
            0 => format!("{}/s", HumanCount(rate)),
            retries => format!("{}/s, {} retries", HumanCount(rate), HumanCount(retries)),
        }
    }
}

/// A mean rate, rounded.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a rate for people"
)]
pub fn events_per_second(events: u64, elapsed: Duration) -> u64 {
    (events as f64 / elapsed.as_secs_f64().max(1e-3)).round() as u64
}

/// A writer of log lines that keeps the bar below them.
impl Write for Progress {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.bar.suspend(|| io::stderr().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
