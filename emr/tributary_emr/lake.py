"""Where the lake is, what is in it, and writing to it, through Hadoop's file systems.

So the jobs use one S3 client with one set of credentials, Spark's, on EMR and locally; a local directory works too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame, DataFrameReader, SparkSession

from tributary_emr import schema


class LakeError(Exception):
    """The lake cannot be read or written; the text is one line for the user."""


#: What Spark raises.
SPARK_ERRORS = (Py4JJavaError, PySparkException)


class StoredObject(NamedTuple):
    """One object of the lake."""

    uri: str
    """As Hadoop prints a path: nothing in it is encoded, so a `#`, a `?` or a `%` is that character."""
    bytes: int | None = None
    """Its size, where it is known."""
    modified_ms: int = 0
    """When it was written, by the store's clock, in milliseconds since the Unix epoch; 0 where that is not known."""

    @property
    def key(self) -> str:
        """Relative to the lake: `events/date=…/….parquet`."""
        return key_of(self.uri)

    @property
    def name(self) -> str:
        """`date=…/….parquet`, which an `events/` object and its rollup share."""
        return self.key.partition("/")[2]


def key_of(uri: str) -> str:
    """The key of an object, from any spelling of its URI (`file:/…` and `file:///…` are both in use)."""
    return uri[max(uri.rfind("/events/"), uri.rfind("/rollups/")) + 1 :]


def place_of(uri: str) -> tuple[str, str, str]:
    """Scheme, bucket and path of a `StoredObject.uri`; for a local file scheme and bucket may be empty."""
    match = re.fullmatch(r"(?:([a-z0-9]+):)?(?://([^/]*))?(.*)", uri, re.DOTALL)
    assert match is not None, "every text is such a one"
    return match[1] or "", match[2] or "", match[3]


def bucket_uri(environ: Mapping[str, str]) -> str:
    """The lake's bucket as $TRIBUTARY_BUCKET names it, `s3a://<bucket>`."""
    bucket = environ.get("TRIBUTARY_BUCKET")
    if not bucket:
        raise LakeError("no lake: give --input and --output, or set TRIBUTARY_BUCKET")
    return f"s3a://{bucket}"


def parquet_objects(spark: SparkSession, prefix: str) -> list[StoredObject]:
    """Every Parquet object under the URI `prefix` (`events/` or `rollups/`), ordered by key.

    Raises `LakeError` when there is none, or the lake cannot be listed.
    """
    with_rows = [stored for stored in _files(spark, prefix) if stored.uri.endswith(".parquet")]
    if not with_rows:
        raise LakeError(f"{prefix}: the lake is empty, no Parquet object has been committed")
    return sorted(with_rows, key=lambda stored: stored.key)


def list_days(spark: SparkSession, prefix: str, first: date | None) -> tuple[list[StoredObject], list[StoredObject]]:
    """What lies in the folders `date=…` of the URI `prefix` from `first` on (`None`: in all), ordered by key; and what
    lies there beside such folders, or in a folder of one of them.

    Raises `LakeError` when the lake cannot be listed; an empty one has no object.
    """
    try:
        path, file_system = _file_system(spark, prefix)
        if not file_system.exists(path):
            return [], []
        objects: list[StoredObject] = []
        strange: list[StoredObject] = []
        # Looked up once: each name on the way to a class is a call.
        path_of = spark.sparkContext._jvm.org.apache.hadoop.fs.Path
        for stored, is_folder in _listed(spark, file_system, path):
            day = re.search(r"/date=(\d{4}-\d\d-\d\d)$", stored.uri) if is_folder else None
            if day is None:
                strange.append(stored)
            elif first is None or day[1] >= first.isoformat():
                for inner, is_inner_folder in _listed(spark, file_system, path_of(stored.uri)):
                    (strange if is_inner_folder else objects).append(inner)
    except (Py4JJavaError, OSError) as error:
        raise LakeError(f"{prefix}: cannot be listed: {_told(error)}") from error
    # They share what is before the key.
    return sorted(objects, key=lambda stored: stored.uri), strange


def list_folder(spark: SparkSession, uri: str) -> list[StoredObject]:
    """What lies in the folder `uri`, folders as well; nothing if there is none. Raises `LakeError`."""
    try:
        path, file_system = _file_system(spark, uri)
        return [stored for stored, _ in _listed(spark, file_system, path)] if file_system.exists(path) else []
    except (Py4JJavaError, OSError) as error:
        raise LakeError(f"{uri}: cannot be listed: {_told(error)}") from error


# As `FileStatus.toString` writes it, in every file system of Hadoop's.
_STATUS = re.compile(
    r"\w+\{path=(.*); isDirectory=(?:(true)|false; length=(\d+)); .*?modification_time=(\d+); ", re.DOTALL
)


def _listed(spark: SparkSession, file_system, path, *, recursive: bool = False) -> Iterator[tuple[StoredObject, bool]]:
    """What lies in a folder, or all files below it, and whether it is a folder."""
    if file_system.getScheme() == "file":
        yield from _on_disk(path.toUri().getPath(), recursive)
        return
    # In one piece: calls for each file would take longer than the listing.
    jvm = spark.sparkContext._jvm
    if recursive:
        # S3A lists a thousand keys per request, whatever the directories.
        files = jvm.org.apache.hadoop.util.functional.RemoteIterators.toList(file_system.listFiles(path, True))
        joined = jvm.org.apache.commons.lang3.StringUtils.join(files, "\0")
    else:
        joined = jvm.scala.collection.mutable.WrappedArray.make(file_system.listStatus(path)).mkString("\0")
    for text in filter(None, joined.split("\0")):
        status = _STATUS.match(text)
        assert status is not None, text
        uri, is_folder, length, modified = status.groups()
        yield StoredObject(uri, int(length or 0), int(modified)), is_folder is not None


def _on_disk(folder: str, recursive: bool) -> Iterator[tuple[StoredObject, bool]]:
    """The same of a local folder, past Hadoop, which starts a process `ls` for each file."""
    for entry in os.scandir(folder):
        is_folder = entry.is_dir()
        if is_folder and recursive:
            yield from _on_disk(entry.path, recursive)
        elif not (entry.name.startswith(".") and entry.name.endswith(".crc")):  # Hadoop's, of its own files
            status = entry.stat()
            yield StoredObject(f"file:{entry.path}", status.st_size, status.st_mtime_ns // 1_000_000), is_folder


def read_events(spark: SparkSession, *uris: str) -> DataFrame:
    """The rows of `events/` or of some of its objects, in the columns of `schema.EVENTS`."""
    # The given schema saves reading a footer to infer it.
    return _reader(spark).schema(schema.EVENTS).parquet(*map(_literal, uris))


def read_rollups(spark: SparkSession, *uris: str) -> DataFrame:
    """The rows of `rollups/` or of some of its objects, in the columns of `schema.ROLLUPS`."""
    return _reader(spark).schema(schema.ROLLUPS).parquet(*map(_literal, uris))


def keys_read(rows: DataFrame) -> set[str]:
    """The keys of the objects that Spark reads for `rows`; those that are empty are among them, though it does not."""
    files = rows._jdf.inputFiles()
    # In one piece: a call for each would take longer than Spark's own listing. They are encoded, and so have no space.
    joined = rows.sparkSession._jvm.org.apache.hadoop.util.StringUtils.join(" ", files)
    return {key for key in (key_of(unquote(uri)) for uri in joined.split()) if not _is_hidden(key.rpartition("/")[2])}


def _is_hidden(name: str) -> bool:
    # By Spark's PartitioningAwareFileIndex. Its list of input files, by InMemoryFileIndex, has `_metadata…` in it.
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


def read_whole(
    spark: SparkSession, prefix: str, read: Callable[[SparkSession, str], DataFrame]
) -> tuple[DataFrame, int]:
    """What `read` (`read_events`, `read_rollups`) makes of the URI `prefix`, and the number of objects that it has.

    Raises `LakeError` when there is none, when the lake cannot be listed, or when Spark passes over one of them.
    """
    # Listed first: what is committed meanwhile is read as well.
    listed = parquet_objects(spark, prefix)
    try:
        rows = read(spark, prefix)
        keys = keys_read(rows)
    except AnalysisException as error:
        raise LakeError(f"{prefix}: cannot be listed: {str(error).splitlines()[0]}") from error
    except Py4JJavaError as error:
        raise LakeError(f"{prefix}: cannot be listed: {first_line(error)}") from error
    unread = [stored.key for stored in listed if stored.key not in keys or stored.bytes == 0]
    if unread:
        what = f"{len(unread):,} of {len(listed):,} objects, first {unread[0]}"
        raise LakeError(f"{prefix}: Spark passes over {what}: {PASSED_OVER}")
    return rows, len(keys)


#: Spark's `InMemoryFileIndex` and `PartitioningAwareFileIndex` leave such files out without a word.
PASSED_OVER = "its name, or its folder's, begins with _ or ., or it is empty"


def put_file(spark: SparkSession, file: Path, uri: str) -> None:
    """Puts the local `file` as one object, in place of what was there."""
    try:
        path, file_system = _file_system(spark, uri)
        # Not as a URI: Hadoop would take its %20 for a name.
        source = spark.sparkContext._jvm.org.apache.hadoop.fs.Path(f"file://{file.absolute()}")
        file_system.copyFromLocalFile(False, True, source, path)
    except Py4JJavaError as error:
        raise LakeError(f"{uri}: cannot be written: {first_line(error)}") from error


def write_days(rows: DataFrame, uri: str) -> None:
    """Writes Parquet under the folder `uri`, a folder `date=…` per value of column `date`.

    A folder of that name that was there is replaced, others stay. Rows are ordered by `schema.ROLLUP_KEY`.
    """
    # By range, so that a file holds a stretch of time, and not every file a little of each day.
    order = ["date", *schema.ROLLUP_KEY]
    ordered = rows.repartitionByRange(*order).sortWithinPartitions(*order)
    try:
        ordered.write.partitionBy("date").option("partitionOverwriteMode", "dynamic").parquet(uri, mode="overwrite")
    except Py4JJavaError as error:
        raise LakeError(f"{uri}: cannot be written: {first_line(error)}") from error


def write_text(spark: SparkSession, uri: str, text: str) -> None:
    """Puts `text` as one object in UTF-8, in place of what was there."""
    try:
        path, file_system = _file_system(spark, uri)
        stream = file_system.create(path, True)
        try:
            stream.write(bytearray(text.encode()))
        finally:
            stream.close()
    except Py4JJavaError as error:
        raise LakeError(f"{uri}: cannot be written: {first_line(error)}") from error


def read_text(spark: SparkSession, uri: str) -> str | None:
    """The object `uri`, in UTF-8; `None` if there is none. Raises `LakeError`."""
    try:
        path, file_system = _file_system(spark, uri)
        if not file_system.exists(path):
            return None
        stream = file_system.open(path)
        try:
            return bytes(spark.sparkContext._jvm.org.apache.commons.io.IOUtils.toByteArray(stream)).decode()
        finally:
            stream.close()
    except Py4JJavaError as error:
        raise LakeError(f"{uri}: cannot be read: {first_line(error)}") from error
    except UnicodeDecodeError as error:
        raise LakeError(f"{uri}: is not UTF-8") from error


def _files(spark: SparkSession, prefix: str) -> Iterator[StoredObject]:
    try:
        path, file_system = _file_system(spark, prefix)
        if not file_system.exists(path):
            raise LakeError(f"{prefix}: the lake is empty, no object has been committed")
        for stored, _ in _listed(spark, file_system, path, recursive=True):
            yield stored
    except (Py4JJavaError, OSError) as error:
        raise LakeError(f"{prefix}: cannot be listed: {_told(error)}") from error


def _told(error: Py4JJavaError | OSError) -> str:
    return first_line(error) if isinstance(error, Py4JJavaError) else str(error)


def _reader(spark: SparkSession) -> DataFrameReader:
    # Whatever the cluster's settings say: an object that cannot be read ends the job.
    return spark.read.options(ignoreCorruptFiles="false", ignoreMissingFiles="false")


def _literal(uri: str) -> str:
    """`uri` as a pattern of Hadoop's that nothing but it matches: Spark takes paths for patterns."""
    return re.sub(r"[\\{}\[\]*?]", r"\\\g<0>", uri)


def _file_system(spark: SparkSession, uri: str):
    path = spark.sparkContext._jvm.org.apache.hadoop.fs.Path(uri)
    return path, path.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration())


def reason(error: Exception) -> str:
    """What an error says, of Java's or of ours, in one line."""
    if isinstance(error, Py4JJavaError):
        return first_line(error)
    return next(iter(str(error).splitlines()), type(error).__name__)


def first_line(error: Py4JJavaError) -> str:
    """What Java says, in one line without the SDK's request ids."""
    # The S3 connector repeats the SDK's message around it.
    exception = error.java_exception.getCause() or error.java_exception
    line = str(exception.getMessage()).splitlines()[0]
    # The SDK's request ids tell a reader nothing.
    return re.sub(r"\s*\((Service|Request ID|S3 Extended).*", "", line)
