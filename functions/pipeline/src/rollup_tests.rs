use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

use super::*;

/// 2026-11-22T12:00:00Z in milliseconds.
const NOON: i64 = 1_795_348_800_000;
const LATENESS: Lateness = Lateness {
    bound_ms: 60 * 60_000,
};

fn event(event_time_us: i64, device_id: &str, value: Option<f64>) -> Event<'_> {
    Event {
        event_time_us,
        arrival_ms: NOON,
        device_id,
        device_type: "door",
        event_duration: 2.5,
        value,
    }
}

fn printed(rollup: Bytes) -> String {
    let reader = ParquetRecordBatchReaderBuilder::try_new(rollup).expect("Parquet");
    let rows: Vec<_> = reader
        .build()
        .expect("Parquet")
        .collect::<Result<_, _>>()
        .expect("rows");
    let mut lines = Vec::new();
    for rows in &rows {
        for row in 0..rows.num_rows() {
            let cells = rows
                .columns()
                .iter()
                .map(|column| match column.data_type() {
                    DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
                    DataType::Int64 => {
                        let column = column.as_primitive::<arrow::datatypes::Int64Type>();
                        column.value(row).to_string()
                    }
                    DataType::Float64 if column.is_null(row) => "null".to_owned(),
                    DataType::Float64 => {
                        column.as_primitive::<Float64Type>().value(row).to_string()
                    }
                    _ => {
                        let column = column.as_primitive::<TimestampMicrosecondType>();
                        (column.value(row) / 1_000_000).to_string()
                    }
                });
            lines.push(cells.collect::<Vec<_>>().join(" "));
        }
    }
    lines.join("\n")
}

#[test]
fn events_are_gathered_by_minute_of_event_time_device_and_type() {
    let noon_us = NOON * 1000;
    let hours_ago = noon_us - 2 * 60 * WINDOW_US;
    let events = [
        event(noon_us, "b", Some(1.5)),
        event(noon_us + WINDOW_US - 1, "b", Some(-0.5)),
        event(noon_us + WINDOW_US, "b", None),
        event(noon_us, "a", Some(7.0)),
        event(hours_ago, "a", Some(3.0)),
        Event {
            device_type: "car",
            event_duration: 4.0,
            ..event(noon_us, "b", None)
        },
    ];
    let rollup = of_events(events.into_iter(), LATENESS, 7).expect("encoded");
    insta::assert_snapshot!(printed(rollup.body), @r"
    1795341600 a door 1 1 3 3 3 2.5 2.5 2.5 1
    1795348800 a door 1 1 7 7 7 2.5 2.5 2.5 0
    1795348800 b car 1 0 0 null null 4 4 4 0
    1795348800 b door 2 2 1 -0.5 1.5 5 2.5 2.5 0
    1795348860 b door 1 0 0 null null 2.5 2.5 2.5 0
    ");
}

#[test]
fn a_minute_before_the_epoch_begins_at_its_own_start() {
    let rollup = of_events([event(-1, "a", None)].into_iter(), LATENESS, 7).expect("encoded");
    assert!(printed(rollup.body).starts_with("-60 a door 1"));
}

#[test]
fn a_sum_beyond_a_double_is_not_finite_and_its_range_holds() {
    let noon_us = NOON * 1000;
    let events = [
        event(noon_us, "a", Some(1.7e308)),
        event(noon_us, "a", Some(1.7e308)),
        event(noon_us, "b", Some(-1.7e308)),
        event(noon_us, "b", Some(-1.7e308)),
    ];
    let rollup = of_events(events.into_iter(), LATENESS, 7).expect("encoded");
    let shown = |number: f64| number.to_string();
    let lines = printed(rollup.body);
    let cells: Vec<Vec<&str>> = lines
        .lines()
        .map(|line| line.split(' ').collect())
        .collect();
    let (most, least) = (shown(1.7e308), shown(-1.7e308));
    assert_eq!(cells[0][5..8], ["inf", &*most, &*most]);
    assert_eq!(cells[1][5..8], ["-inf", &*least, &*least]);
}

#[test]
fn sums_add_up_in_the_order_of_the_row_object_whatever_the_hash_seed() {
    let noon_us = NOON * 1000;
    let values = [("a", 1e16), ("b", 1.0), ("a", -1e16), ("a", 1.0)];
    let events = values.map(|(device, value)| event(noon_us, device, Some(value)));
    let of_seed = |seed| of_events(events.into_iter(), LATENESS, seed).expect("encoded");
    let lines = printed(of_seed(7).body);
    let sum = lines.split(' ').nth(5);
    assert_eq!(sum, Some("1"), "the other way round it is 0");
    assert!((0..20).all(|seed| of_seed(seed) == of_seed(7)));
}

#[test]
fn late_is_older_than_arrival_by_more_than_the_bound() {
    let bound_us = NOON * 1000 - LATENESS.bound_ms * 1000;
    assert!(!LATENESS.is_late(bound_us, NOON));
    assert!(LATENESS.is_late(bound_us - 1, NOON));
    assert!(!LATENESS.is_late(NOON * 1000 + 1, NOON));
}

#[test]
fn what_is_not_a_row_object_has_no_rollup() {
    assert!(of_object(Bytes::from_static(b"PAR1 nonsense PAR1"), LATENESS, 7).is_err());
    let rollup = of_events([event(0, "a", None)].into_iter(), LATENESS, 7).expect("encoded");
    let error = of_object(rollup.body, LATENESS, 7).expect_err("a rollup is no row object");
    assert!(
        error.to_string().contains("no column event_time"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn every_event_is_counted_once_whatever_the_order_of_windows(
        events in proptest::collection::vec((0_i64..600, 0_u8..3, proptest::option::of(-1e6..1e6)), 0..80)
    ) {
        let names = ["a", "b", "c"];
        let events: Vec<_> = events
            .into_iter()
            .map(|(second, device, value)| event(second * 1_000_000, names[usize::from(device)], value))
            .collect();
        let text = printed(of_events(events.iter().copied(), LATENESS, 7).expect("encoded").body);
        let column = |index: usize| -> usize {
            let cells = text.lines().filter(|line| !line.is_empty());
            cells.map(|line| line.split(' ').nth(index).expect("a cell").parse::<usize>().expect("a count")).sum()
        };
        prop_assert_eq!(column(3), events.len());
        prop_assert_eq!(column(4), events.iter().filter(|event| event.value.is_some()).count());
        let keys: Vec<_> = text.lines().map(|line| line.splitn(4, ' ').take(3).collect::<Vec<_>>()).collect();
        prop_assert!(keys.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
