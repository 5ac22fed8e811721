//! The records of one event are alike but for a few fields: keys, their order, and most values repeat, and are more than
//! half of the text. What lies between the fields of the first record is its skeleton. A record that has the same one is
//! as good JSON as the first, and is read by comparing instead of parsing.
//!
//! What is not alike, for any reason, is left to a parser: `None` is never an error.

use memchr::{memchr, memchr2};

/// What lies between `FIELDS` fields of a record.
#[derive(Debug)]
pub(super) struct Skeleton<'e, const FIELDS: usize> {
    before: &'e [u8],
    /// Which field comes, and what follows it, in the order of the text.
    fields: [(usize, &'e [u8]); FIELDS],
}

impl<'e, const FIELDS: usize> Skeleton<'e, FIELDS> {
    /// Of a record that is valid JSON, in which `fields` lie; a string is what stands between its quotes.
    pub(super) fn of(record: &'e str, fields: [&str; FIELDS]) -> Option<Self> {
        let mut places: [(usize, usize, usize); FIELDS] = [(0, 0, 0); FIELDS];
        for (index, field) in fields.into_iter().enumerate() {
            let start = field.as_ptr().addr().checked_sub(record.as_ptr().addr())?;
            places[index] = (start, start + field.len(), index);
        }
        places.sort_unstable();
        let mut skeleton = Self {
            before: record.as_bytes().get(..places[0].0)?,
            fields: [(0, &[]); FIELDS],
        };
        for (place, &(_, end, index)) in places.iter().enumerate() {
            let next = places.get(place + 1).map_or(record.len(), |next| next.0);
            let after = record.as_bytes().get(end..next)?;
            skeleton.fields[place] = (index, after);
        }
        Some(skeleton)
    }

    /// The fields of the record at the beginning of `text`, without escapes, and what follows it; `None` unless it has this
    /// skeleton.
    pub(super) fn fields<'t>(&self, text: &'t [u8]) -> Option<([&'t [u8]; FIELDS], &'t [u8])> {
        let mut fields = [&[] as &[u8]; FIELDS];
        let mut rest = text.strip_prefix(self.before)?;
        for (index, after) in self.fields {
            let end = match after.first()? {
                b'"' => memchr2(b'"', b'\\', rest)?,
                end => memchr(*end, rest)?,
            };
            fields[index] = &rest[..end];
            rest = rest[end..].strip_prefix(after)?;
        }
        Some((fields, rest))
    }
}

/// What is between the quotes of a JSON string without escapes, as text; `None` if no string may hold it.
pub(super) fn plain(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    text.bytes().all(|byte| byte >= b' ').then_some(text)
}

/// A JSON number of digits and at most one point, as text.
pub(super) fn plain_decimal(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_json = whole == "0" || !whole.starts_with('0');
    (is_digits(whole) && is_digits(fraction) && is_json).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_any_order_and_end_where_the_record_does() {
        let first = r#"{"b":"two","a":1,"z":"z"}"#;
        let skeleton = Skeleton::of(first, [&first[15..16], &first[6..9]]).expect("a skeleton");
        let (fields, rest) = skeleton
            .fields(br#"{"b":"","a":23,"z":"z"},more"#)
            .expect("alike");
        assert_eq!(
            (fields, rest),
            ([b"23".as_slice(), b""], b",more".as_slice())
        );
    }

    #[test]
    fn what_is_not_alike_is_left_to_a_parser() {
        let first = r#"{"a":1,"b":"two"}"#;
        let skeleton = Skeleton::of(first, [&first[5..6], &first[12..15]]).expect("a skeleton");
        for other in [
            r#"{"a":1,"b":"t\"o"}"#,
            r#"{"a":1, "b":"two"}"#,
            r#"{"b":"two","a":1}"#,
            r#"{"a":1,"b":"two","c":3}"#,
            r#"{"a":1,"b":2}"#,
            r#"{"a":1,"b":"#,
            "",
        ] {
            let fields = skeleton.fields(other.as_bytes());
            let alike = fields.is_some_and(|(_, rest)| rest.is_empty());
            assert!(!alike, "{other}");
        }
    }

    #[test]
    fn a_field_that_lies_elsewhere_makes_no_skeleton() {
        assert!(Skeleton::of(r#"{"a":1}"#, ["elsewhere"]).is_none());
    }

    #[test]
    fn a_plain_decimal_is_a_json_number() {
        for text in ["0", "0.5", "1545084650.987", "10"] {
            assert_eq!(plain_decimal(text.as_bytes()), Some(text));
        }
        for text in ["", "00", "01.5", "1.", ".5", "1.2.3", "-1", "1e3", "1 "] {
            assert_eq!(plain_decimal(text.as_bytes()), None, "{text}");
        }
    }
}
