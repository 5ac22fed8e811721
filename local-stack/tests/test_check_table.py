"""What check-table finds between the table's rows and the objects."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tributary_local.account.table import differences

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def rows(*numbers: int, minutes: int = 0, **more: object) -> pa.Table:
    """Rows of these numbers; `minutes` is how long after noon they arrived."""
    made = [
        {
            "event_id": f"event-{number}",
            "event_time": NOON,
            "arrival_time": NOON + timedelta(minutes=minutes),
            "shard": "s-0",
            "position": str(number),
            **more,
        }
        for number in numbers
    ]
    return pa.Table.from_pylist(made)


def stored(directory: Path, *objects: pa.Table) -> list[str]:
    files = [directory / f"{number}.parquet" for number in range(len(objects))]
    for file, held in zip(files, objects, strict=True):
        pq.write_table(held, file)
    return list(map(str, files))


def test_rows_that_one_side_lacks_are_named(tmp_path: Path) -> None:
    files = stored(tmp_path, rows(1, 2, 3), rows(3, 4, minutes=5))
    assert list(differences(pa.concat_tables([rows(1, 2, 3), rows(4, minutes=5)]), files)) == []
    assert list(differences(rows(1, 3), files)) == ["2 rows are missing from the table, first event-2"]
    assert list(differences(pa.concat_tables([rows(1, 2, 3, 9), rows(4, minutes=5)]), files)) == [
        "1 rows are in no object, first event-9"
    ]


def test_objects_of_an_earlier_contract_have_fewer_columns_whichever_comes_first(tmp_path: Path) -> None:
    older, newer = rows(1), rows(2, order="x")
    table = pa.concat_tables([older, newer], promote_options="default")
    for number, objects in enumerate([(older, newer), (newer, older)]):
        (tmp_path / str(number)).mkdir()
        assert list(differences(table, stored(tmp_path / str(number), *objects))) == []
    altered = pa.concat_tables([older, rows(2, order="y")], promote_options="default")
    assert list(differences(altered, stored(tmp_path, older, newer))) == [
        "1 rows are missing from the table, first event-2",
        "1 rows are in no object, first event-2",
    ]
