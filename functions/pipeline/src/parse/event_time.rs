//! The text of RFC 3339, section 5.6, to microseconds since the Unix epoch.

use jiff::civil::{Date, DateTime, Time};

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
const FORM: &str = "is not an RFC 3339 date and time with an offset";
const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

/// Microseconds since the Unix epoch; what is below a microsecond is cut off. Or what is wrong with the text.
///
/// As the RFC allows, `T` and `Z` may be lower-case letters, and a space may stand for `T`. A leap second, which there
/// is at 23:59:60 UTC alone, counts as the second before it: Unix time has no other place for it.
pub(super) fn micros(text: &str) -> Result<i64, &'static str> {
    let (local, rest) = text.as_bytes().split_at_checked(19).ok_or(FORM)?;
    let &[
        y0,
        y1,
        y2,
        y3,
        b'-',
        mo0,
        mo1,
        b'-',
        d0,
        d1,
        separator,
        h0,
        h1,
        b':',
        mi0,
        mi1,
        b':',
        s0,
        s1,
    ] = local
    else {
        return Err(FORM);
    };
    if !matches!(separator, b'T' | b't' | b' ') {
        return Err(FORM);
    }
    let year = i16::from(two_digits([y0, y1])?) * 100 + i16::from(two_digits([y2, y3])?);
    let (month, day) = (two_digits([mo0, mo1])?, two_digits([d0, d1])?);
    let (hour, minute) = (two_digits([h0, h1])?, two_digits([mi0, mi1])?);
    let second = two_digits([s0, s1])?;
    let (fraction_us, offset) = fraction(rest)?;
    let offset = offset_seconds(offset)?;

    let date = Date::new(year, month, day).map_err(|_| "is not on a day of the calendar")?;
    let is_leap_second = second == 60;
    let time = Time::new(hour, minute, if is_leap_second { 59 } else { second }, 0)
        .map_err(|_| "is not at a time of the day")?;
    let seconds = date.to_datetime(time).duration_since(EPOCH).as_secs() - offset;
    if is_leap_second && seconds.rem_euclid(SECONDS_PER_DAY) != SECONDS_PER_DAY - 1 {
        return Err("is at a leap second other than 23:59:60 UTC");
    }
    Ok(seconds * 1_000_000 + fraction_us)
}

fn two_digits(digits: [u8; 2]) -> Result<i8, &'static str> {
    let [tens, ones] = digits.map(|digit| digit.wrapping_sub(b'0').cast_signed());
    if (0..=9).contains(&tens) && (0..=9).contains(&ones) {
        Ok(tens * 10 + ones)
    } else {
        Err(FORM)
    }
}

/// The fraction of a second in microseconds, and what follows it.
fn fraction(rest: &[u8]) -> Result<(i64, &[u8]), &'static str> {
    let Some(rest) = rest.strip_prefix(b".") else {
        return Ok((0, rest));
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at(digits);
    if digits.is_empty() {
        return Err(FORM);
    }
    let padded = digits.iter().chain(b"000000").take(6);
    let micros = padded.fold(0, |micros, digit| micros * 10 + i64::from(digit - b'0'));
    Ok((micros, rest))
}

fn offset_seconds(offset: &[u8]) -> Result<i64, &'static str> {
    let &[sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] = offset else {
        return match offset {
            b"Z" | b"z" => Ok(0),
            _ => Err(FORM),
        };
    };
    let (hours, minutes) = (two_digits([h0, h1])?, two_digits([m0, m1])?);
    if hours > 23 || minutes > 59 {
        return Err("has an offset beyond 23:59");
    }
    let seconds = (i64::from(hours) * 60 + i64::from(minutes)) * 60;
    Ok(if sign == b'-' { -seconds } else { seconds })
}
