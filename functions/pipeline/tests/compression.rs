//! Compressed payloads, from Lambda's envelope to rows and quarantine.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::Write;

use common::{HASHER, NOON, event, payload};
use events::{Contract, Reason};
use flate2::Compression;
use flate2::write::GzEncoder;
use pipeline::decode::{self, MAX_INFLATED_BYTES, MAX_INFLATION};
use pipeline::filter::Filter;
use pipeline::{cells, parse};
use proptest::prelude::*;
use proptest::sample::Index;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::new(3).unwrap();
    compressor.include_checksum(true).unwrap();
    compressor.compress(bytes).unwrap()
}

/// As a producer writes it that does not know the size beforehand.
fn zstd_stream(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// How the one record ends: its payload, or the reason why there is none. Its bytes are kept as they were sent.
fn payload_of(sent: &[u8]) -> Result<Vec<u8>, (Reason, String)> {
    let event = event(&[(NOON, sent)]);
    let batch = decode::kinesis(&event).unwrap();
    assert_eq!((batch.len(), batch.payload_bytes()), (1, sent.len()));
    let record = batch.record(0);
    assert_eq!(record.sent, sent);
    match record.payload {
        Ok(payload) => Ok(payload.to_vec()),
        Err(rejected) => Err((rejected.reason, rejected.detail.clone())),
    }
}

fn reason_of(sent: &[u8]) -> Option<Reason> {
    payload_of(sent).err().map(|(reason, _)| reason)
}

#[test]
fn a_compressed_payload_is_the_event_that_it_holds() {
    let event = payload("a").into_bytes();
    let (head, tail) = event.split_at(70);
    let skippable = [
        b"\x50\x2A\x4D\x18\x03\x00\x00\x00abc".as_slice(),
        &zstd(tail),
    ]
    .concat();
    for (name, sent) in [
        ("nothing", event.clone()),
        ("gzip", gzip(&event)),
        ("gzip of two members", [gzip(head), gzip(tail)].concat()),
        ("zstd", zstd(&event)),
        ("zstd of unknown size", zstd_stream(&event)),
        (
            "zstd of two frames",
            [zstd(head), zstd_stream(tail)].concat(),
        ),
        (
            "zstd with a skippable frame",
            [zstd(head), skippable].concat(),
        ),
    ] {
        assert_eq!(payload_of(&sent), Ok(event.clone()), "{name}");
    }
}

#[test]
fn what_cannot_be_inflated_to_its_end_is_corrupt() {
    let event = payload("a").into_bytes();
    for sent in [gzip(&event), zstd(&event), zstd_stream(&event)] {
        for end in 4..sent.len() {
            assert_eq!(
                reason_of(&sent[..end]),
                Some(Reason::CorruptCompression),
                "{end} bytes of {sent:?}"
            );
        }
        for after in [b"\0".as_slice(), b"\n", b"{}", &event] {
            assert_eq!(
                reason_of(&[&sent, after].concat()),
                Some(Reason::CorruptCompression),
                "{after:?}"
            );
        }
    }
    let (_, detail) = payload_of(&gzip(&event)[..30]).unwrap_err();
    insta::assert_snapshot!(detail, @"gzip: incomplete deflate stream");
    let (_, detail) = payload_of(&zstd(&event)[..30]).unwrap_err();
    insta::assert_snapshot!(detail, @"zstd: Src size is incorrect");
}

/// A zstd frame of 10 bytes that inflates to `size` spaces: no size, a window of 128 KiB, and one block, the last,
/// that repeats a byte.
fn zstd_bomb(size: u32) -> Vec<u8> {
    let block = (size << 3 | 0b011).to_le_bytes();
    [b"\x28\xB5\x2F\xFD\x00\x38", &block[..3], b" "].concat()
}

#[test]
fn a_payload_of_16_times_its_compressed_bytes_is_the_most() {
    assert_eq!(payload_of(&zstd_bomb(160)), Ok(vec![b' '; 160]));
    let rule =
        "10 compressed bytes inflate to over 160, at most 16 times as many and 1048576 are allowed";
    assert_eq!(
        payload_of(&zstd_bomb(161)),
        Err((Reason::PayloadTooLarge, rule.to_owned()))
    );
    for bomb in [gzip, zstd, zstd_stream].map(|compress| compress(&vec![b' '; 1_000_000])) {
        assert_eq!(reason_of(&bomb), Some(Reason::PayloadTooLarge));
    }
    assert_eq!(
        reason_of(&zstd_bomb(1 << 17).repeat(100_000)),
        Some(Reason::PayloadTooLarge)
    );
}

#[test]
fn a_mebibyte_is_the_most() {
    let stored = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let mut noise = 1_u32;
    let mut byte = || {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        noise.to_be_bytes()[0]
    };
    let text: Vec<u8> = (0..=MAX_INFLATED_BYTES).map(|_| byte()).collect();
    let most = &text[..MAX_INFLATED_BYTES];
    for compress in [&stored as &dyn Fn(&[u8]) -> Vec<u8>, &zstd, &zstd_stream] {
        assert!(payload_of(&compress(most)).unwrap() == most);
        assert_eq!(reason_of(&compress(&text)), Some(Reason::PayloadTooLarge));
    }
}

#[test]
fn a_window_of_two_gibibytes_costs_nothing() {
    // Frame header without size: window descriptor, 2^(10+21). One raw block, the last, of 2 bytes.
    let frame = b"\x28\xB5\x2F\xFD\x00\xA8\x11\x00\x00{}";
    assert_eq!(payload_of(frame), Ok(b"{}".to_vec()));
}

#[test]
fn what_a_payload_inflates_to_is_not_opened_again() {
    let event = payload("a").into_bytes();
    let aggregate = b"\xF3\x89\x9A\xC2".to_vec();
    for inner in [gzip(&event), zstd(&event), aggregate] {
        for sent in [gzip(&inner), zstd(&inner)] {
            assert_eq!(payload_of(&sent), Ok(inner.clone()));
            assert_eq!(
                parse::parse(&inner, NOON, Contract::ours())
                    .unwrap_err()
                    .reason,
                Reason::InvalidUtf8
            );
        }
    }
}

#[test]
fn quarantine_keeps_the_bytes_as_they_were_sent() {
    let broken = zstd(b"oops");
    let event = event(&[
        (NOON, &broken),
        (NOON, &gzip(payload("a").as_bytes())),
        (NOON, &broken[..6].to_vec()),
    ]);
    let batch = decode::kinesis(&event).unwrap();
    let cells = cells(&batch, Contract::ours(), Filter::default(), HASHER);
    let (_, lines) = cells[0].quarantine().unwrap();
    insta::assert_snapshot!(std::str::from_utf8(&lines).unwrap(), @r#"
    {"stream":"orders","shard":"shardId-000000000001","position":"1000","arrival_time":"2026-11-22T12:00:00.000Z","partition_key":"d","reason":"invalid_json","detail":"expected value at line 1 column 1","data":"KLUv/SQEIQAAb29wc1tUJjw="}
    {"stream":"orders","shard":"shardId-000000000001","position":"1002","arrival_time":"2026-11-22T12:00:00.000Z","partition_key":"d","reason":"corrupt_compression","detail":"zstd: Src size is incorrect","data":"KLUv/SQE"}
    "#);
}

proptest! {
    #[test]
    fn any_text_survives_its_compression(text in "\\PC{0,400}", level in 1..=9_u32) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(text.as_bytes()).unwrap();
        for sent in [encoder.finish().unwrap(), zstd::bulk::compress(text.as_bytes(), level.cast_signed()).unwrap()] {
            prop_assert_eq!(payload_of(&sent), Ok(text.clone().into_bytes()));
        }
    }

    #[test]
    fn a_flipped_byte_is_the_same_event_or_none(at in any::<Index>(), flip in 1..=u8::MAX) {
        let text = payload("a");
        for mut sent in [gzip(text.as_bytes()), zstd(text.as_bytes())] {
            *at.get_mut(&mut sent) ^= flip;
            if let Ok(payload) = payload_of(&sent) {
                prop_assert!(payload == text.as_bytes() || parse::parse(&payload, NOON, Contract::ours()).is_err());
            }
        }
    }

    #[test]
    fn hostile_streams_end_within_their_bound(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for magic in [b"\x1F\x8B\x08".as_slice(), b"\x1F\x8B\x08\0\0\0\0\0\0\0", b"\x28\xB5\x2F\xFD", b"\x28\xB5\x2F\xFD\x00\x58"] {
            let sent = [magic, &bytes].concat();
            match payload_of(&sent) {
                Ok(payload) => prop_assert!(payload.len() <= sent.len() * MAX_INFLATION),
                Err((reason, _)) => prop_assert!(matches!(reason, Reason::CorruptCompression | Reason::PayloadTooLarge)),
            }
        }
    }
}
