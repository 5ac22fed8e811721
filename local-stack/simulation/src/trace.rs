//! What happened in a run, with virtual times, for a person who has to find out why.

use std::fmt;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

#[derive(Clone)]
pub(crate) struct Trace {
    began: Instant,
    /// `None` costs nothing: a run that breaks is run again for its trace.
    lines: Option<Arc<Mutex<Vec<String>>>>,
    broken: Arc<Mutex<Option<String>>>,
}

impl Trace {
    pub(crate) fn new(kept: bool) -> Self {
        Self {
            began: Instant::now(),
            lines: kept.then(Arc::default),
            broken: Arc::default(),
        }
    }

    pub(crate) fn say(&self, what: fmt::Arguments) {
        if let Some(lines) = &self.lines {
            let line = format!("{:>10.3} {what}", self.began.elapsed().as_secs_f64());
            lines.lock().expect("not poisoned").push(line);
        }
    }

    /// A rule that was broken where nobody can be told at once; the first one stays.
    pub(crate) fn broken(&self, rule: String) {
        self.say(format_args!("  broken: {rule}"));
        let mut broken = self.broken.lock().expect("not poisoned");
        broken.get_or_insert(rule);
    }

    pub(crate) fn first_broken(&self) -> Option<String> {
        self.broken.lock().expect("not poisoned").clone()
    }

    pub(crate) fn text(&self) -> String {
        let lines = self.lines.iter();
        let lines = lines.map(|lines| lines.lock().expect("not poisoned").join("\n"));
        lines.collect()
    }
}
