//! `event_time`: forms, precision, range.

use super::*;

#[test]
fn event_times_are_read_in_any_offset_to_the_microsecond() {
    for (text, us) in [
        ("2026-11-22T11:59:00Z", 1_795_348_740_000_000),
        ("2026-11-22t11:59:00z", 1_795_348_740_000_000),
        ("2026-11-22 11:59:00Z", 1_795_348_740_000_000),
        ("2026-11-22T23:44:00.25+11:45", 1_795_348_740_250_000),
        ("2026-11-21T23:59:00-12:00", 1_795_348_740_000_000),
        ("2026-11-22T11:59:00-00:00", 1_795_348_740_000_000),
        ("2026-11-22T11:58:59.123456789Z", 1_795_348_739_123_456),
        ("2026-11-23T12:00:00Z", 1_795_435_200_000_000),
        ("2000-01-01T00:00:00Z", 946_684_800_000_000),
        // Below the microsecond is cut off, however long it is.
        ("2026-11-22T11:59:00.1Z", 1_795_348_740_100_000),
        ("2026-11-22T11:59:00.1234569999Z", 1_795_348_740_123_456),
        (
            "2026-11-22T11:59:00.0000009999999999999999999999999999z",
            1_795_348_740_000_000,
        ),
        // A leap second counts as the second before it: Unix time has no other place for it.
        ("2016-12-31T23:59:60Z", 1_483_228_799_000_000),
        ("2016-12-31T23:59:60.25Z", 1_483_228_799_250_000),
        ("2017-01-01T05:44:60+05:45", 1_483_228_799_000_000),
        ("2016-12-31T15:59:60-08:00", 1_483_228_799_000_000),
        ("2024-02-29T23:59:59+23:59", 1_709_164_859_000_000),
        ("2024-02-28T00:00:00-23:59", 1_709_164_740_000_000),
    ] {
        let event = event_with("event_time", Some(&format!("\"{text}\"")));
        assert_eq!(accepted(&event).event_time_us, us, "{text}");
    }
}

#[test]
fn event_times_that_are_not_rfc_3339_are_rejected() {
    const FORM: &str = "is not an RFC 3339 date and time with an offset";
    const DAY: &str = "is not on a day of the calendar";
    const TIME: &str = "is not at a time of the day";
    const LEAP: &str = "is at a leap second other than 23:59:60 UTC";
    const OFFSET: &str = "has an offset beyond 23:59";
    for (text, detail) in [
        ("", FORM),
        ("yesterday", FORM),
        ("2026-11-22", FORM),
        ("2026-11-22T11:59:00", FORM),
        ("2026-11-22T11:59Z", FORM),
        ("20261122T115900Z", FORM),
        ("2026-11-22T11:59:00+01", FORM),
        ("2026-11-22T11:59:00+0100", FORM),
        ("2026-11-22T11:59:00+1:00", FORM),
        ("2026-11-22T11:59:00\u{2212}01:00", FORM),
        ("2026-11-22T11:59:00Z[UTC]", FORM),
        ("2026-11-22T11:59:00ZZ", FORM),
        ("2026-11-22T11:59:00,5Z", FORM),
        ("2026-11-22T11:59:00.Z", FORM),
        ("2026-11-22T11:59:00.5.5Z", FORM),
        ("2026-11-22T11:59:00. 5Z", FORM),
        ("2026-11-22_11:59:00Z", FORM),
        ("2026-11-22  11:59:00Z", FORM),
        (" 2026-11-22T11:59:00Z", FORM),
        ("2026-11-22T11:59:00Z ", FORM),
        ("2026-11-22T+1:59:00Z", FORM),
        ("2026-11-22T11:59:-1Z", FORM),
        ("+002026-11-22T11:59:00Z", FORM),
        ("-026-11-22T11:59:00Z", FORM),
        ("12026-11-22T11:59:00Z", FORM),
        ("\u{0662}026-11-22T11:59:00Z", FORM),
        ("2026-1\u{0661}-22T11:59:00Z", FORM),
        ("Z", FORM),
        ("é026-11-22T11:59:00Z", FORM),
        ("2026-02-29T00:00:00Z", DAY),
        ("2100-02-29T00:00:00Z", DAY),
        ("2026-13-01T00:00:00Z", DAY),
        ("2026-00-10T00:00:00Z", DAY),
        ("2026-11-00T00:00:00Z", DAY),
        ("2026-11-31T00:00:00Z", DAY),
        ("2026-11-22T24:00:00Z", TIME),
        ("2026-11-22T23:60:00Z", TIME),
        ("2026-11-22T11:59:61Z", TIME),
        ("2026-11-22T11:59:60Z", LEAP),
        ("2026-11-22T23:58:60Z", LEAP),
        ("2026-11-22T23:59:60+01:00", LEAP),
        ("2026-11-22T22:59:60+00:30", LEAP),
        ("2026-11-22T11:59:00+24:00", OFFSET),
        ("2026-11-22T11:59:00-25:59", OFFSET),
        ("2026-11-22T11:59:00+01:60", OFFSET),
    ] {
        let event = event_with("event_time", Some(&format!("\"{text}\"")));
        assert_eq!(
            rejected(event.as_bytes()),
            (Reason::InvalidEventTime, format!("event_time {detail}")),
            "{text}"
        );
    }
}

#[test]
fn event_times_of_the_calendar_that_are_too_early_or_late_are_out_of_range() {
    for text in [
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:60Z",
        "9999-12-31T23:59:59.999999999-23:59",
        "0000-01-01T00:00:00Z",
        "0000-01-01T00:00:00+23:59",
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:60Z",
        "1999-12-31T23:59:59.999999999Z",
    ] {
        let event = event_with("event_time", Some(&format!("\"{text}\"")));
        assert_eq!(
            rejected(event.as_bytes()).0,
            Reason::EventTimeOutOfRange,
            "{text}"
        );
    }
}
