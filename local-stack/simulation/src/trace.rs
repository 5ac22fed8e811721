//! What happened in a run, with virtual times, for a person who has to find out why.

use std::fmt;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

#[derive(Clone)]
pub(crate) struct Trace {
    began: Instant,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            lines: Arc::default(),
        }
    }

    pub(crate) fn say(&self, what: fmt::Arguments) {
        let line = format!("{:>10.3} {what}", self.began.elapsed().as_secs_f64());
        self.lines.lock().expect("not poisoned").push(line);
    }

    pub(crate) fn text(&self) -> String {
        self.lines.lock().expect("not poisoned").join("\n")
    }
}
