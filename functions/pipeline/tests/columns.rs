//! What is written and read column by column, against Arrow's writer and reader.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, Float64Array, ListArray, RecordBatch, StringArray,
    TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::datatypes::{Float64Type, Int32Type};
use bytes::Bytes;
use common::{HASHER, NOON, event, payload};
use events::Contract;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Encoding;
use parquet::column::writer::ColumnWriter;
use parquet::file::metadata::{
    KeyValue, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter,
};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::printer::print_schema;
use pipeline::dedupe::SeenIds;
use pipeline::filter::Filter;
use pipeline::rollup::{self, Lateness, Rollup};
use pipeline::{Object, cells, decode, recover};
use proptest::prelude::*;
use proptest::sample::select;

const LATENESS: Lateness = Lateness {
    bound_ms: 60 * 60_000,
};

fn committed(records: &[(i64, String)]) -> (Object, Rollup) {
    let event = event(records);
    let batch = decode::kinesis(&event).unwrap();
    let cells = cells(&batch, Contract::ours(), Filter::default(), HASHER);
    let plan = cells[0].plan(&SeenIds::default());
    let object = cells[0].encode(&plan).unwrap().unwrap();
    (object, cells[0].rollup(&plan, LATENESS, 7).unwrap())
}

fn footer(file: &Bytes) -> ParquetMetaData {
    ParquetMetaDataReader::new().parse_and_finish(file).unwrap()
}

/// The columns, and how each is encoded.
fn described(file: &Bytes) -> String {
    let footer = footer(file);
    let mut schema = Vec::new();
    print_schema(&mut schema, footer.file_metadata().schema());
    let columns = footer.row_group(0).columns().iter().map(|column| {
        let encodings: Vec<_> = column.encodings().map(|of| of.to_string()).collect();
        let name = column.column_path().string();
        let compression = column.compression();
        let bounds = if column.statistics().is_some() {
            "bounds"
        } else {
            ""
        };
        format!("{name}: {} {compression:?} {bounds}", encodings.join(" "))
    });
    let columns = columns.collect::<Vec<_>>().join("\n");
    format!("{}{columns}", String::from_utf8(schema).unwrap())
}

#[test]
fn a_row_object_has_these_columns_and_encodings() {
    let (object, _) = committed(&[(NOON, payload("a"))]);
    insta::assert_snapshot!(described(&object.body));
}

#[test]
fn a_rollup_has_these_columns_and_encodings() {
    let (_, rollup) = committed(&[(NOON, payload("a"))]);
    insta::assert_snapshot!(described(&rollup.body));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_rollup_of_an_object_is_that_of_its_rows_to_the_byte(
        rows in proptest::collection::vec((0_u8..20, 0_usize..3, proptest::option::of(-5..5_i32)), 1..300)
    ) {
        let records: Vec<_> = rows.iter().zip(0_i64..).map(|((device, kind, value), index)| {
            let value = value.map_or("null".to_owned(), |value| value.to_string());
            let payload = payload(&index.to_string())
                .replace("\"d-1\"", &format!("\"dé-{device}\""))
                .replace("door", ["door", "gate", "camera"][*kind])
                .replace("\"value\":null", &format!("\"value\":{value}"));
            (NOON + index, payload)
        }).collect();
        let (object, rollup) = committed(&records);
        prop_assert_eq!(rollup::of_object(object.body, LATENESS, 8).unwrap(), rollup);
    }

    #[test]
    fn ids_come_back_from_any_page_that_arrow_writes(
        texts in proptest::collection::vec(proptest::option::of("[ab]{0,3}|é[0-9a-f]{0,40}"), 1..2000),
        (nullable, with_levels_apart, in_pages_of) in (any::<bool>(), any::<bool>(), select(vec![1, 7, 5000])),
        encoding in select(vec![Encoding::DELTA_BYTE_ARRAY, Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::PLAIN]),
    ) {
        let texts: Vec<_> = texts.into_iter().filter(|text| nullable || text.is_some()).collect();
        let expected: Vec<_> = texts.iter().flatten().map(|id| HASHER.hash(id)).collect();
        let column: ArrayRef = Arc::new(StringArray::from(texts));
        let rows = RecordBatch::try_from_iter_with_nullable([("event_id", column, nullable)]).unwrap();
        let version = if with_levels_apart { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
        let properties = WriterProperties::builder()
            .set_writer_version(version)
            .set_dictionary_enabled(false)
            .set_encoding(encoding)
            .set_write_batch_size(in_pages_of)
            .set_data_page_row_count_limit(in_pages_of);
        prop_assert_eq!(ids(by_arrow(&rows, properties)), Ok(expected));
    }
}

fn by_arrow(rows: &RecordBatch, properties: WriterPropertiesBuilder) -> Bytes {
    let mut file = Vec::new();
    let properties = Some(properties.build());
    let mut writer = ArrowWriter::try_new(&mut file, rows.schema(), properties).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
    file.into()
}

/// A row object of up to two rows, as Arrow writes it, but for one column.
fn foreign(name: &str, column: Option<ArrayRef>, rows: usize) -> Bytes {
    let utc = |of: Vec<i64>| TimestampMicrosecondArray::from(of).with_timezone("UTC");
    let columns: [(&str, ArrayRef); 7] = [
        (
            "event_time",
            Arc::new(utc(vec![NOON * 1000, NOON * 1000 + 1])),
        ),
        ("arrival_time", Arc::new(utc(vec![NOON * 1000; 2]))),
        ("device_id", Arc::new(StringArray::from(vec!["a", "b"]))),
        ("device_type", Arc::new(StringArray::from(vec!["door"; 2]))),
        (
            "event_duration",
            Arc::new(Float64Array::from(vec![1.5, 2.5])),
        ),
        ("value", Arc::new(Float64Array::from(vec![None, Some(7.0)]))),
        ("event_id", Arc::new(StringArray::from(vec!["x", "y"]))),
    ];
    let kept = columns.into_iter().filter(|(of, _)| *of != name);
    let columns = kept.chain(column.map(|column| (name, column)));
    // All of them nullable: Spark writes them so.
    let nullable = columns.map(|(name, column)| (name, column, true));
    let rows = RecordBatch::try_from_iter_with_nullable(nullable)
        .unwrap()
        .slice(0, rows);
    let properties = WriterProperties::builder();
    by_arrow(&rows, properties.set_max_row_group_row_count(Some(1)))
}

fn ids(file: Bytes) -> Result<Vec<pipeline::dedupe::IdHash>, String> {
    let size = file.len() as u64;
    recover::event_ids(file, size, HASHER).map_err(|error| error.to_string())
}

fn rolled_up(file: Bytes) -> Result<Rollup, String> {
    rollup::of_object(file, LATENESS, 7).map_err(|error| error.to_string())
}

#[test]
fn a_file_with_other_row_groups_encodings_and_nullable_columns_is_read_alike() {
    let file = foreign("", None, 2);
    assert_eq!(footer(&file).num_row_groups(), 2);
    assert_eq!(
        ids(file.clone()),
        Ok(["x", "y"].map(|id| HASHER.hash(id)).to_vec())
    );
    let rollup = rolled_up(file).unwrap();
    let rows = ParquetRecordBatchReaderBuilder::try_new(rollup.body).unwrap();
    let rows = rows.build().unwrap().next().unwrap().unwrap();
    let sums = rows.column_by_name("value_sum").unwrap();
    assert_eq!(sums.as_primitive::<Float64Type>().values(), &[0.0, 7.0]);
}

#[test]
fn an_object_of_the_first_version_is_read_as_ever() {
    // Written by way of Arrow; the two bytes before it are the fuzz target's.
    let bytes = include_bytes!("../fuzz/corpus/window_rebuild/whole");
    let file = Bytes::from_static(&bytes[2..]);
    let metadata = footer(&file);
    let is_arrow = |entry: &KeyValue| entry.key == "ARROW:schema";
    let entries = metadata.file_metadata().key_value_metadata().unwrap();
    assert!(entries.iter().any(is_arrow));
    let rows = metadata.file_metadata().num_rows();
    assert_eq!(
        ids(file.clone()).map(|ids| ids.len()),
        Ok(usize::try_from(rows).unwrap())
    );
    assert!(rolled_up(file).unwrap().rows > 0);
}

/// A row object that names converted types alone: so many rows, all alike, with this text for all texts.
fn of_equal_rows(rows: usize, text: &str) -> Bytes {
    let schema = "message old {
        required binary event_id (UTF8);
        required binary device_id (UTF8);
        required binary device_type (UTF8);
        required int64 event_time (TIMESTAMP_MICROS);
        required int64 arrival_time (TIMESTAMP_MICROS);
        required double event_duration;
        optional double value;
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let (texts, times) = (vec![text.into(); rows], vec![NOON * 1000; rows]);
    let (doubles, levels) = (vec![1.5; rows], vec![1; rows]);
    while let Some(mut column) = group.next_column().unwrap() {
        let written = match column.untyped() {
            ColumnWriter::ByteArrayColumnWriter(column) => column.write_batch(&texts, None, None),
            ColumnWriter::Int64ColumnWriter(column) => column.write_batch(&times, None, None),
            ColumnWriter::DoubleColumnWriter(column) => {
                column.write_batch(&doubles, Some(&levels), None)
            }
            _ => unreachable!(),
        };
        assert_eq!(written.unwrap(), rows);
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.into_inner().unwrap().into()
}

#[test]
fn a_file_that_names_converted_types_alone_is_read_alike() {
    let file = of_equal_rows(1, "x");
    let footer = footer(&file);
    let column = footer.file_metadata().schema_descr().column(0);
    assert_eq!(column.logical_type_ref(), None);
    assert_eq!(ids(file.clone()), Ok(vec![HASHER.hash("x")]));
    assert_eq!(rolled_up(file).unwrap().rows, 1);
}

#[test]
fn a_small_file_of_more_rows_or_text_than_an_object_of_ours_has_is_one_clear_line() {
    let rows = of_equal_rows(1_000_001, "x");
    let text = of_equal_rows(1025, &"x".repeat(96 << 10));
    assert!(rows.len() < 1 << 20 && text.len() < 1 << 20);
    insta::assert_snapshot!(ids(rows).unwrap_err(), @"not a row object: Parquet error: 1000001 rows, expected up to 1000000");
    assert_eq!(ids(text.clone()).unwrap().len(), 1025);
    insta::assert_snapshot!(rolled_up(text).unwrap_err(), @"Parquet error: device_id has over 100663296 bytes");
}

#[test]
fn a_column_that_ends_before_the_rows_do_is_one_clear_line() {
    let mut file = of_equal_rows(1, "x").to_vec();
    let footer = footer(&file.clone().into());
    let group = footer.row_group(0).clone().into_builder().set_num_rows(2);
    let groups = vec![group.build().unwrap()];
    let footer = footer.into_builder().set_row_groups(groups).build();
    let writer = ParquetMetaDataWriter::new(&mut file, &footer);
    writer.finish().unwrap();
    insta::assert_snapshot!(ids(file.into()).unwrap_err(), @"not a row object: Parquet error: event_id ends before the rows do");
}

#[test]
fn of_an_object_without_rows_there_is_a_rollup_without_row_groups() {
    let empty = foreign("", None, 0);
    let rollup = rolled_up(empty).unwrap();
    assert_eq!(footer(&rollup.body).num_row_groups(), 0);
}

/// Room for as many would be made before the first is read.
#[test]
fn a_dictionary_with_more_values_than_bytes_is_not_believed() {
    let file = committed(&[(NOON, payload("a"))]).0.body.to_vec();
    // Headers of dictionary pages in Thrift's compact form: kind 2, two sizes, and a struct that begins with the number
    // of values.
    let header = [0x15, 0x04, 0x15, 0, 0x15, 0, 0x4c, 0x15];
    let is_header = |bytes: &[u8]| {
        bytes
            .iter()
            .zip(header)
            .all(|(byte, of)| of == 0 || *byte == of)
    };
    let places = (0..file.len() - header.len()).filter(|at| is_header(&file[*at..*at + 8]));
    let errors = places.filter_map(|at| {
        let mut file = file.clone();
        file[at + 8] = 63 << 1;
        rolled_up(file.into()).err()
    });
    insta::assert_snapshot!(errors.collect::<Vec<_>>().join("\n"), @r"
    Parquet error: a page (DICTIONARY_PAGE) says it has more values than it can have
    Parquet error: a page (DICTIONARY_PAGE) says it has more values than it can have
    ");
}

#[test]
fn a_column_that_is_not_as_ours_is_one_clear_line() {
    let nanoseconds = TimestampNanosecondArray::from(vec![NOON * 1_000_000; 2]);
    let nulls = TimestampMicrosecondArray::from(vec![Some(NOON * 1000), None]);
    let absurd = TimestampMicrosecondArray::from(vec![NOON * 1000, i64::MIN]);
    let absurd = absurd.with_timezone("UTC");
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)]), None]);
    let columns: [(&str, Option<ArrayRef>); 8] = [
        ("event_time", Some(Arc::new(nanoseconds))),
        ("event_time", Some(Arc::new(nulls.clone()))),
        ("event_time", Some(Arc::new(nulls.with_timezone("UTC")))),
        ("event_time", Some(Arc::new(absurd))),
        ("value", None),
        ("event_id", None),
        (
            "event_id",
            Some(Arc::new(BinaryArray::from_vec(vec![b"x", b"y"]))),
        ),
        ("event_id", Some(Arc::new(lists))),
    ];
    let lines = columns.map(|(name, column)| {
        let file = foreign(name, column, 2);
        match name {
            "event_id" => ids(file).unwrap_err(),
            _ => rolled_up(file).unwrap_err(),
        }
    });
    insta::assert_snapshot!(lines.join("\n"), @r"
    Parquet error: event_time is not of the kind Time
    Parquet error: event_time is not of the kind Time
    Parquet error: row 1 is no event of ours
    Parquet error: row 1 is no event of ours
    Parquet error: no column value
    not a row object: Parquet error: no column event_id
    not a row object: Parquet error: event_id is not of the kind Text
    not a row object: Parquet error: no column event_id
    ");
}
