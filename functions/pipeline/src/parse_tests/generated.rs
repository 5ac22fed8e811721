//! What holds of any input: agreement with the contract crate, with `jiff` and with `serde_json`.

use events::{Event, MAX_DEVICE_TYPE_BYTES, MAX_ID_BYTES, MIN_EVENT_TIME_US};
use proptest::prelude::*;

use super::*;

fn any_event() -> impl Strategy<Value = Event<'static>> {
    let text = |max: usize| {
        proptest::collection::vec(any::<char>(), 1..=max / 4).prop_map(String::from_iter)
    };
    (
        text(MAX_ID_BYTES),
        text(MAX_ID_BYTES),
        text(MAX_DEVICE_TYPE_BYTES),
        MIN_EVENT_TIME_US..ARRIVAL_MS * 1000,
        0.0..1e300,
        proptest::option::of(-1e300..1e300),
        any::<bool>(),
    )
        .prop_map(
            |(event_id, device_id, device_type, us, event_duration, value, test)| Event {
                schema_version: 1,
                event_id: event_id.into(),
                device_id: device_id.into(),
                device_type: device_type.into(),
                event_time: jiff::Timestamp::from_microsecond(us)
                    .expect("in range")
                    .to_string()
                    .into(),
                event_duration,
                value,
                test,
            },
        )
}

proptest! {
    #[test]
    fn whatever_the_contract_type_writes_is_read_back_the_same(event in any_event()) {
        let text = serde_json::to_string(&event).expect("an event is JSON");
        let row = accepted(&text);
        prop_assert_eq!(&row.event_id, &event.event_id);
        prop_assert_eq!(&row.device_id, &event.device_id);
        prop_assert_eq!(&row.device_type, &event.device_type);
        prop_assert_eq!(row.event_duration.to_bits(), event.event_duration.to_bits());
        prop_assert_eq!(row.value.map(f64::to_bits), event.value.map(f64::to_bits));
        prop_assert_eq!(row.filtered, event.test);
        prop_assert_eq!(row.attributes, None);
        let time: jiff::Timestamp = event.event_time.parse().expect("a time");
        prop_assert_eq!(row.event_time_us, time.as_microsecond());
    }

    #[test]
    fn a_number_is_read_as_the_double_that_is_nearest(
        text in r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?"
    ) {
        let event = event_with("value", Some(&text));
        let nearest: f64 = text.parse().expect("a number");
        match parse(event.as_bytes(), ARRIVAL_MS, Contract::ours()) {
            Ok(row) => prop_assert_eq!(row.value.map(f64::to_bits), Some((nearest + 0.0).to_bits()), "{}", text),
            Err(rejected) => {
                prop_assert_eq!(rejected.reason, Reason::OutOfRange);
                prop_assert!(nearest.is_infinite(), "{}", text);
            }
        }
    }

    #[test]
    fn an_event_time_is_read_as_jiff_reads_it(
        us in MIN_EVENT_TIME_US..ARRIVAL_MS * 1000, minutes in -1439_i32..=1439, digits in 0_usize..=9, more in "[0-9]{0,30}"
    ) {
        let time = jiff::Timestamp::from_microsecond(us).expect("in range");
        let offset = jiff::tz::Offset::from_seconds(minutes * 60).expect("in range");
        let fraction = format!("{:06}000", us.rem_euclid(1_000_000));
        let fraction = if digits == 0 { String::new() } else { format!(".{}{}", &fraction[..digits], if digits == 9 { &*more } else { "" }) };
        let sign = if minutes < 0 { '-' } else { '+' };
        let (hours, minutes) = (minutes.abs() / 60, minutes.abs() % 60);
        let text = format!(
            "{}{fraction}{sign}{hours:02}:{minutes:02}", offset.to_datetime(time).strftime("%Y-%m-%dT%H:%M:%S")
        );
        let event = event_with("event_time", Some(&format!("\"{text}\"")));
        let scale = 10_i64.pow(u32::try_from(6_usize.saturating_sub(digits)).expect("small"));
        prop_assert_eq!(accepted(&event).event_time_us, us.div_euclid(scale) * scale, "{}", text);
    }

    #[test]
    fn hostile_bytes_are_rejected_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(parse(&bytes, ARRIVAL_MS, Contract::ours()).is_err());
    }

    #[test]
    fn a_truncated_event_is_invalid_json(event in any_event(), keep in 0.0..1.0) {
        let text = serde_json::to_string(&event).expect("an event is JSON");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an index")]
        let cut = 1 + ((text.len() - 2) as f64 * keep) as usize;
        let reason = rejected(&text.as_bytes()[..cut]).0;
        prop_assert!(matches!(reason, Reason::InvalidJson | Reason::InvalidUtf8), "{:?}", reason);
    }

    #[test]
    fn what_is_accepted_is_json_to_serde_json_too(text in r#"\{("[a-z_]{1,8}":(-?[0-9.eE+]{1,6}|"[^"\\]{0,5}"|\[\]|null),?){0,4}\}"#) {
        let judged_valid = !matches!(rejected(text.as_bytes()).0, Reason::InvalidJson);
        let overflow = rejected(text.as_bytes()).0 == Reason::OutOfRange;
        prop_assert_eq!(judged_valid, overflow || serde_json::from_str::<IgnoredAny>(&text).is_ok(), "{}", text);
    }
}
