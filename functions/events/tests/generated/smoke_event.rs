//! The event of a deployment's smoke test: what the contract requires, and no more. `@id@`, `@time@` (RFC 3339) and
//! `@epoch_s@` stand for the id and for now.

use events::Contract;
use events::contract::{Absent, Field, Literal, Role, Rule, TimeFormat, Versions};
use serde_json::json;

/// Device and kind: the report leaves out kinds that have few events.
const NAME: &str = "smoke-test";

pub(crate) fn of(contract: &Contract) -> String {
    object(contract, &[]) + "\n"
}

/// The object at a path, its members in the contract's order.
fn object(contract: &Contract, path: &[String]) -> String {
    let inside =
        |field: &&Field| field.path.len() == path.len() + 1 && field.path.starts_with(path);
    let fields = contract.fields().iter().filter(inside);
    let members = fields.filter_map(|field| {
        let json = if field.role == Role::Object {
            Some(object(contract, &field.path)).filter(|object| object != "{}")
        } else {
            value(contract, field)
        };
        Some(format!("{}:{}", json!(field.path.last()?), json?))
    });
    let members: Vec<_> = members.collect();
    format!("{{{}}}", members.join(","))
}

/// `None` leaves the field out.
fn value(contract: &Contract, field: &Field) -> Option<String> {
    if field.absent != Absent::Required && !matches!(field.role, Role::Key | Role::Kind) {
        return None;
    }
    Some(match &field.rule {
        Rule::Version => match contract.versions() {
            Versions::Numbers(numbers) => json!(numbers.last()).to_string(),
            Versions::Texts(texts) => json!(texts.last()).to_string(),
        },
        Rule::Text { .. } if field.role == Role::Id => json!("@id@").to_string(),
        Rule::Text {
            min_bytes,
            max_bytes,
            one_of,
        } => {
            let name: String = NAME.chars().take(*max_bytes).collect();
            let name = format!("{name:x<min_bytes$}");
            let listed = one_of.iter().find(|text| !drops(contract, field, text));
            json!(listed.unwrap_or(&name)).to_string()
        }
        Rule::Integer { min, max, one_of } => {
            let integer = one_of.first().copied().unwrap_or(0.clamp(*min, *max));
            json!(integer).to_string()
        }
        Rule::Double { min, max, .. } => {
            let number = min.map_or(1.0, |min| min.max(1.0));
            json!(max.map_or(number, |max| max.min(number))).to_string()
        }
        Rule::Boolean => json!(false).to_string(),
        Rule::Time { format, .. } => time(*format),
        Rule::Json { .. } => json!(0).to_string(),
        Rule::Object | Rule::Filter(_) => return None,
    })
}

/// Whether an event with this text is dropped on purpose.
fn drops(contract: &Contract, field: &Field, text: &str) -> bool {
    let filter = contract
        .filter()
        .filter(|filter| Some(filter.slot) == field.slot);
    filter.is_some_and(|filter| filter.values.contains(&Literal::Text(text.to_owned())))
}

fn time(format: TimeFormat) -> String {
    match format {
        TimeFormat::Rfc3339 => "\"@time@\"".to_owned(),
        TimeFormat::Epoch { microseconds } => {
            // The fewer microseconds one has, the more digits.
            let zeros = (1_000_000 / microseconds).ilog10() as usize;
            format!("@epoch_s@{}", "0".repeat(zeros))
        }
    }
}
