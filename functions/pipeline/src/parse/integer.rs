//! JSON numbers to integers of 64 bits.

use super::read::Scalar;

/// From here on a double may stand for another integer than was written: 2^53.
const ROUNDED: f64 = 9_007_199_254_740_992.0;

/// Why a value is none of 64 bits.
pub(super) enum Unfit {
    /// It is of another type.
    Type,
    /// It is larger, or may have been rounded.
    Range,
}

/// The integer that was certainly written.
#[expect(clippy::cast_possible_truncation, reason = "its range is checked")]
pub(super) fn integer(found: &Scalar) -> Result<i64, Unfit> {
    match *found {
        Scalar::Unsigned(number) => i64::try_from(number).map_err(|_| Unfit::Range),
        Scalar::Signed(number) => Ok(number),
        Scalar::Float(number) if number.fract() == 0.0 && number.abs() < ROUNDED => {
            Ok(number as i64)
        }
        Scalar::Float(number) if number.fract() == 0.0 => Err(Unfit::Range),
        _ => Err(Unfit::Type),
    }
}

/// Microseconds since the Unix epoch; a fraction is rounded to the nearest.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the range is checked; a million is exact"
)]
pub(super) fn epoch_us(found: &Scalar, microseconds: i64) -> Result<i64, Unfit> {
    match *found {
        Scalar::Unsigned(number) => {
            let number = i64::try_from(number).map_err(|_| Unfit::Range)?;
            number.checked_mul(microseconds).ok_or(Unfit::Range)
        }
        Scalar::Signed(number) => number.checked_mul(microseconds).ok_or(Unfit::Range),
        Scalar::Float(number) => {
            let us = (number * microseconds as f64).round();
            if us.abs() < 9e18 {
                Ok(us as i64)
            } else {
                Err(Unfit::Range)
            }
        }
        _ => Err(Unfit::Type),
    }
}
