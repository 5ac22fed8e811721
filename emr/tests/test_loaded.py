"""What is loaded, as places in logs: it reads back, and whatever it does not know is loaded again."""

from datetime import UTC, datetime, timedelta

import pytest

from tributary_emr import schema
from tributary_emr.lake import LakeError, StoredObject
from tributary_emr.loaded import Listed, Loaded, Named, named, slices
from tributary_emr.object_facts import differences
from tributary_emr.transforms import day_stretches

CELL = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
WRITTEN = int((CELL + timedelta(minutes=3)).timestamp() * 1000)
DAY = timedelta(days=1)


def an_object(
    commit: int = 0, *, cell: datetime = CELL, shard: str = "s-0", written_ms: int = WRITTEN, size: int = 10
) -> Named:
    key = f"events/date={cell:%Y-%m-%d}/tributary.events.{shard}.{cell:%Y%m%dT%H%M}Z.{commit:06d}.parquet"
    found = named(StoredObject(f"s3a://lake/{key}", size, written_ms))
    assert found is not None
    return found


def test_what_is_loaded_reads_back_whatever_the_order_of_loading() -> None:
    objects = [an_object(5), an_object(0), an_object(1), an_object(0, shard="s-1"), an_object(0, cell=CELL - DAY)]
    loaded = Loaded().with_objects(objects).looked_at(Listed(objects, None), DAY)
    again = Loaded.of_text(loaded.to_text())
    assert again == loaded
    assert all(again.holds(found) for found in objects)
    assert not any(again.holds(an_object(commit)) for commit in (2, 3, 4, 6))
    assert again.with_objects([an_object(3)]).logs[an_object().log].missing == (2, 4)


def test_nothing_is_loaded_where_nothing_was_recorded() -> None:
    assert not Loaded.of_text(None).holds(an_object())
    assert Loaded.of_text(None).first_day is None


def test_a_log_that_expired_and_began_anew_is_not_taken_for_the_loaded_one() -> None:
    loaded = Loaded().with_objects([an_object(0), an_object(1)])
    late = an_object(0, written_ms=WRITTEN + 40 * 86_400_000)
    assert not loaded.holds(late)
    after = loaded.with_objects([late])
    assert after.holds(late)
    assert Loaded.of_text(after.to_text()) == after
    assert after.logs[late.log].anew
    # Whether written in the same second as the first one, or an old one that has not expired: it is loaded again.
    for written_ms in (late.stored.modified_ms + 1, late.stored.modified_ms, WRITTEN):
        assert not after.holds(an_object(1, written_ms=written_ms))


def test_a_listing_says_nothing_of_what_lies_before_its_beginning() -> None:
    before = Loaded().with_objects([an_object()]).looked_at(Listed([an_object()], None), DAY)
    later = an_object(cell=CELL + 20 * DAY, written_ms=WRITTEN + 20 * 86_400_000)
    began = (CELL + 5 * DAY).date()
    assert before.with_objects([later]).looked_at(Listed([later], began), DAY).from_ms == before.from_ms
    # After a rollback, a run may have listed by what the table had said before.
    assert Loaded().with_objects([later]).looked_at(Listed([later], began), DAY).first_day is None


def test_what_is_kept_in_mind_is_bounded_and_the_oldest_is_forgotten_first() -> None:
    days = [CELL + n * DAY for n in range(40)]
    loaded = Loaded().with_objects(an_object(cell=day, shard=f"s-{n}") for day in days for n in range(50))
    text = loaded.to_text(len(loaded.to_text()) // 2)
    assert len(text) <= len(loaded.to_text()) // 2
    kept = Loaded.of_text(text)
    assert kept.holds(an_object(cell=days[-1], shard="s-0"))
    assert kept.has_forgotten(an_object(cell=days[0], shard="s-0").name)
    assert not kept.holds(an_object(cell=days[0], shard="s-0"))


def test_what_is_not_loaded_stays_within_reach_however_long_the_job_stands_still() -> None:
    objects = [an_object(), an_object(cell=CELL + 20 * DAY, written_ms=WRITTEN + 20 * 86_400_000)]
    for loaded in (Loaded().with_objects(objects[:1]), Loaded().with_objects(objects[1:])):
        (left,) = (found for found in objects if not loaded.holds(found))
        first = loaded.looked_at(Listed(objects, None), 2 * DAY).first_day
        assert first is not None
        assert first.isoformat() <= left.name.date
    everything = Loaded().with_objects(objects).looked_at(Listed(objects, None), 2 * DAY)
    assert everything.first_day == (CELL + 18 * DAY).date()


def test_a_cell_in_the_far_future_hides_nothing() -> None:
    # With `CreateTime` a producer's clock makes the cell; the store's clock bounds it.
    objects = [an_object(cell=datetime(9000, 1, 1, tzinfo=UTC)), an_object()]
    assert Loaded().with_objects(objects).looked_at(Listed(objects, None), DAY).first_day == (CELL - DAY).date()


def test_forgetting_a_day_means_loading_it_again() -> None:
    loaded = Loaded().with_objects([an_object(), an_object(cell=CELL - DAY)]).without_before(CELL.date())
    assert loaded.holds(an_object())
    assert not loaded.holds(an_object(cell=CELL - DAY))


@pytest.mark.parametrize("text", ["x", "eJw=", "AAAA", Loaded().to_text()[:-8]])
def test_a_record_that_somebody_changed_is_one_clear_line(text: str) -> None:
    with pytest.raises(LakeError, match=r"^what is loaded cannot be read \(\w+\): somebody changed it$"):
        Loaded.of_text(text)


@pytest.mark.parametrize(
    "key",
    [
        "events/date=2026-11-23/tributary.events.s-0.20261122T1015Z.000000.parquet",
        "events/date=2026-11-22/part-0000.snappy.parquet",
        "events/date=2026-11-22/tributary.events.s-0.20261122T1015Z.000000.parquet.tmp",
        "events/date=2026-11-22/_tributary.s-0.20261122T1015Z.000000.parquet",
    ],
)
def test_what_is_no_place_in_a_log_is_no_object_of_ours(key: str) -> None:
    assert named(StoredObject(f"s3a://lake/{key}", 1, 1)) is None


def test_portions_go_by_arrival_and_are_bounded_in_objects_and_bytes() -> None:
    objects = [an_object(n, cell=CELL + timedelta(minutes=15 * (n % 3)), size=n) for n in range(9)]
    portions = list(slices(objects, most_objects=4, most_bytes=15))
    assert [found for portion in portions for found in portion] == sorted(
        objects, key=lambda found: (found.name.cell_start_ms, found.name.commit)
    )
    assert all(len(portion) <= 4 for portion in portions)
    sizes = [sum(found.stored.bytes or 0 for found in portion) for portion in portions]
    assert all(size <= 15 for size in sizes)
    assert [len(portion) for portion in slices([an_object(size=99)], most_objects=4, most_bytes=15)] == [1]


def test_days_are_read_in_stretches() -> None:
    assert day_stretches([5, 3, 4, 9, 4]) == [(3, 6), (9, 10)]
    assert day_stretches([]) == []


def message(**changes: str | None) -> str:
    """A Parquet schema as Spark's reader prints it; a column is replaced, or left out where it is `None`."""
    columns = {
        "event_time": "required int64 event_time (TIMESTAMP(MICROS,true))",
        "device_type": "required binary device_type (STRING)",
        "device_id": "required binary device_id (STRING)",
        "event_duration": "required double event_duration",
        "value": "optional double value",
        "attributes": "optional binary attributes (STRING)",
        "arrival_time": "required int64 arrival_time (TIMESTAMP(MICROS,true))",
        "shard": "required binary shard (STRING)",
        "position": "required binary position (STRING)",
        "schema_version": "required int32 schema_version",
        "event_id": "required binary event_id (STRING)",
    } | changes
    return "message arrow_schema {\n" + "".join(f"  {text};\n" for text in columns.values() if text) + "}\n"


def test_an_object_of_other_columns_is_told_apart() -> None:
    told = {
        "none": list(differences(message(), schema.EVENTS)),
        "may be absent": list(differences(message(value=None), schema.EVENTS)),
        "must be there": list(differences(message(shard=None), schema.EVENTS)),
        "of another type": list(differences(message(value="optional binary value (STRING)"), schema.EVENTS)),
        "not known": list(differences(message(colour="optional binary colour (STRING)"), schema.EVENTS)),
    }
    assert told == {
        "none": [],
        "may be absent": [],
        "must be there": ["it has no column shard"],
        "of another type": ["its column value is binary (STRING); expected double"],
        "not known": ["this job does not know its column colour: a newer version of it has to load it"],
    }
