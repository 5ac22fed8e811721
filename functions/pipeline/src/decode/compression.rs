//! Compressed payloads: gzip (RFC 1952, <https://www.rfc-editor.org/rfc/rfc1952>) and zstd (RFC 8878,
//! <https://www.rfc-editor.org/rfc/rfc8878>), told by their first bytes. JSON begins with neither.
//!
//! Members and frames may follow one another; their contents are one payload. Nothing else may.

use std::io::Read;

use events::Reason;
use flate2::bufread::MultiGzDecoder;
use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{self, DCtx};

use crate::parse::Rejected;

/// A payload may have this many times the bytes of its compressed form: an event shrinks to a third or a fifth, a bomb has
/// a thousand times and more. The 4.5 MB that fit in an invocation's 6 MB as base64 so inflate to 72 MB at most, in
/// however many records they come.
pub const MAX_INFLATION: usize = 16;

/// A payload may have this many bytes once inflated: 1 MiB, far more than an event needs.
pub const MAX_INFLATED_BYTES: usize = 1024 * 1024;

/// How a payload is compressed.
#[derive(Clone, Copy)]
pub(super) enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    /// `None` if it is not.
    pub(super) fn of(payload: &[u8]) -> Option<Self> {
        match payload {
            // The third byte is the method: deflate is the only one.
            [0x1F, 0x8B, 0x08, ..] => Some(Self::Gzip),
            [0x28, 0xB5, 0x2F, 0xFD, ..] => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Inflates payloads, one after the other, in memory that it keeps.
#[derive(Default)]
pub(super) struct Inflater {
    buffer: Vec<u8>,
    zstd: Option<DCtx<'static>>,
}

/// Why a payload cannot be had.
enum Failure {
    Corrupt(String),
    TooLarge,
}

impl Inflater {
    /// What a compressed payload holds. What is allowed depends on this payload alone, so that every delivery of it
    /// ends the same way.
    ///
    /// # Errors
    /// [`Reason::CorruptCompression`], [`Reason::PayloadTooLarge`].
    pub(super) fn inflate(
        &mut self,
        compression: Compression,
        payload: &[u8],
    ) -> Result<&[u8], Rejected> {
        let most = payload
            .len()
            .saturating_mul(MAX_INFLATION)
            .min(MAX_INFLATED_BYTES);
        // One byte more, to tell what fits exactly from what does not.
        if self.buffer.len() <= most {
            self.buffer.resize(most + 1, 0);
        }
        let inflated = match compression {
            Compression::Gzip => gunzip(payload, &mut self.buffer[..=most]),
            Compression::Zstd => {
                let context = self.zstd.get_or_insert_with(DCtx::create);
                unzstd(context, payload, &mut self.buffer[..most])
            }
        };
        match inflated {
            Ok(bytes) => Ok(&self.buffer[..bytes]),
            Err(Failure::Corrupt(detail)) => Err(Rejected::new(Reason::CorruptCompression, detail)),
            Err(Failure::TooLarge) => Err(Rejected::new(
                Reason::PayloadTooLarge,
                format!(
                    "{} compressed bytes inflate to over {most}, at most {MAX_INFLATION} times as many and \
                     {MAX_INFLATED_BYTES} are allowed",
                    payload.len()
                ),
            )),
        }
    }
}

/// Fails with `TooLarge` if the last byte of `buffer` is reached.
fn gunzip(payload: &[u8], buffer: &mut [u8]) -> Result<usize, Failure> {
    let mut decoder = MultiGzDecoder::new(payload);
    let mut bytes = 0;
    while bytes < buffer.len() {
        match decoder.read(&mut buffer[bytes..]) {
            Ok(0) => return Ok(bytes),
            Ok(more) => bytes += more,
            Err(error) => return Err(Failure::Corrupt(format!("gzip: {error}"))),
        }
    }
    Err(Failure::TooLarge)
}

/// In one shot: a streaming decoder would allocate the window that the frame asks for.
fn unzstd(context: &mut DCtx, payload: &[u8], buffer: &mut [u8]) -> Result<usize, Failure> {
    context.decompress(buffer, payload).map_err(|code| {
        if zstd_safe::is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall) {
            Failure::TooLarge
        } else {
            Failure::Corrupt(format!("zstd: {}", zstd_safe::get_error_name(code)))
        }
    })
}
