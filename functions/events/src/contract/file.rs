//! The file → [`Contract`], or the first thing that is wrong with it.

mod build;
mod tables;

use sha2::{Digest, Sha256};
use std::fmt::Write;

use super::{Contract, Problem};
use tables::Tables;

pub(super) fn read(bytes: &[u8]) -> Result<Contract, Problem> {
    let text = text(bytes)?;
    let tables: Tables = toml::from_str(text).map_err(|error| unreadable(text, &error))?;
    let hash = Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut hash, byte| {
            _ = write!(hash, "{byte:02x}");
            hash
        });
    build::contract(text, tables, hash)
}

/// One contract has one hash: what editors add unseen is refused.
fn text(bytes: &[u8]) -> Result<&str, Problem> {
    let of_line = |line, what: &str| Problem {
        line: Some(line),
        what: what.to_owned(),
    };
    let text = str::from_utf8(bytes).map_err(|error| {
        let line = 1 + newlines(&bytes[..error.valid_up_to()]);
        of_line(line, "is not UTF-8")
    })?;
    if text.starts_with('\u{FEFF}') {
        return Err(of_line(
            1,
            "begins with a byte order mark; save the file as UTF-8 without one",
        ));
    }
    if let Some(at) = text.find('\r') {
        return Err(of_line(
            line_of(text, at),
            "ends as Windows has it (CR LF); save the file with LF alone",
        ));
    }
    if text.trim().is_empty() {
        return Err(Problem {
            line: None,
            what: "is empty; it must say where the fields of an event are".to_owned(),
        });
    }
    Ok(text)
}

/// What `toml` says, and the key of the line where it says so.
fn unreadable(text: &str, error: &toml::de::Error) -> Problem {
    let message = error.message().lines().collect::<Vec<_>>().join("; ");
    let line = error.span().map(|span| line_of(text, span.start));
    let key = line
        .and_then(|line| text.lines().nth(line - 1))
        .and_then(|line| line.split_once('='))
        .map(|(key, _)| key.trim())
        .filter(|key| !message.contains(&format!("`{key}`")));
    Problem {
        line,
        what: key.map_or(message.clone(), |key| format!("{key}: {message}")),
    }
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'\n').count() - 1
}

/// The line, from 1, of a byte.
fn line_of(text: &str, at: usize) -> usize {
    1 + newlines(&text.as_bytes()[..at.min(text.len())])
}
