"""The Spark session of both worlds: one Python process on a laptop, or a job that spark-submit started (EMR).

Under spark-submit everything comes from the submission: master, memory, the platform's own S3 connector and its
credentials. Started as `python -m …`, the session is local: it is this PySpark's, on a Java that can run it, whatever
the shell says of other Sparks, and S3A is configured here, from the standard AWS environment variables.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from pyspark.sql import SparkSession

from tributary_emr.catalog import Catalog

_LOG4J = Path(__file__).with_name("log4j2.properties")
_DEFAULT_JARS = Path(__file__).parents[2] / ".local" / "jars"
# Spark 3.5's oldest for us, and the newest whose SecurityManager can be allowed (https://openjdk.org/jeps/486): Hadoop
# asks it who the user is.
_OLDEST_JAVA, _NEWEST_JAVA = 17, 23
# What a shell that has another Spark sets for it, and what is added to every Java.
_OF_ANOTHER_SPARK = re.compile(
    r"(SPARK|PYSPARK|HADOOP|YARN|HIVE|HDFS)_.*|MASTER|CLASSPATH|JAVA_TOOL_OPTIONS|JDK_JAVA_OPTIONS|_JAVA_OPTIONS"
)


class SessionError(Exception):
    """The session cannot be made from what was given; the text is one line for the user."""


def open_session(
    name: str, environ: MutableMapping[str, str], *, uris: Sequence[str], catalog: Catalog | None = None
) -> SparkSession:
    """A session called `name` that can read and write `uris`, and the table of `catalog`.

    `environ` is that of this process.

    Raises `SessionError` when a local session has no Java for it, or one of `uris` is on S3 and it has no connector.
    """
    builder = SparkSession.builder.appName(name)
    # No job joins by a table's partitions, but Spark plans the report's second reading twice to look for it.
    builder = builder.config("spark.sql.optimizer.dynamicPartitionPruning.enabled", "false")
    for key, value in (catalog.spark_config(environ) if catalog else {}).items():
        builder = builder.config(key, value)
    # Set by spark-submit for the Python process that it starts.
    if "PYSPARK_GATEWAY_PORT" not in environ:
        make_own(environ)
        require_java(environ)
        for key, value in local_config(environ, uris=uris, table=catalog is not None).items():
            builder = builder.config(key, value)
    return builder.getOrCreate()


def make_own(environ: MutableMapping[str, str]) -> None:
    """Makes an environment this PySpark's own: nothing in it puts another Spark, settings or cluster in its place."""
    for name in list(environ):
        if _OF_ANOTHER_SPARK.fullmatch(name):
            del environ[name]
    environ["PYSPARK_PYTHON"] = sys.executable
    # By it Java decides what the names of files are written in.
    environ["LC_ALL"] = "C.UTF-8"


def require_java(environ: Mapping[str, str]) -> None:
    """Looks at the Java that Spark will take: that of JAVA_HOME, else the first on the PATH.

    Raises `SessionError` when there is none, or it cannot run this Spark.
    """
    home = environ.get("JAVA_HOME")
    java = f"{home}/bin/java" if home else shutil.which("java", path=environ.get("PATH"))
    needed = f"Spark needs Java {_OLDEST_JAVA} to {_NEWEST_JAVA}; JAVA_HOME chooses it"
    if java is None:
        raise SessionError(f"java is not on the PATH, and JAVA_HOME is not set: {needed}")
    probe = [java, "-XshowSettings:properties", "-version"]
    try:
        said = subprocess.run(probe, env=dict(environ), capture_output=True, check=False, timeout=60).stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SessionError(f"{java} does not start ({type(error).__name__}): {needed}") from error
    found = re.search(rb"^\s*java\.specification\.version = ([0-9.]+)\s*$", said, re.MULTILINE)
    if found is None:
        raise SessionError(f"{java} does not say its version: {needed}")
    version = found[1].decode()
    if not (version.isdecimal() and _OLDEST_JAVA <= int(version) <= _NEWEST_JAVA):
        raise SessionError(f"{java} is Java {version}: {needed}")


def local_config(environ: Mapping[str, str], *, uris: Sequence[str], table: bool = False) -> dict[str, str]:
    """Spark's configuration for a local session, which may be one that reads and writes a `table`."""
    jars = Path(environ.get("TRIBUTARY_SPARK_JARS", _DEFAULT_JARS))
    compiler = environ.get("TRIBUTARY_SPARK_COMPILER", "1")
    if compiler not in ("1", "4"):
        raise SessionError(f"TRIBUTARY_SPARK_COMPILER is '{compiler}'; it must be 1 (quick) or 4 (better)")
    config = {
        "spark.master": environ.get("TRIBUTARY_SPARK_MASTER", "local[2]"),
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": environ.get("TRIBUTARY_SPARK_MEMORY", "2g"),
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={_LOG4J.as_uri()}"
        # A short job is over before the better compiler pays. With it alone Java stops compiling after 48 MB of code.
        f" -XX:TieredStopAtLevel={compiler} -XX:ReservedCodeCacheSize=240m"
        # What leaves two cores the most: with Java's own choice a report takes a tenth longer.
        " -XX:+UseParallelGC"
        # Java 18 and newer are told to let Hadoop ask who the user is.
        " -Djava.security.manager=allow",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Two cores read a few hundred small objects: few reduce tasks, and objects packed many to a read task.
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.files.openCostInBytes": str(256 * 1024),
        # When many paths are named, their listing is a job: not with a task for each.
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "8",
        # A sort before the shuffle, to drop copies early, costs more than the few copies are worth.
        "spark.sql.optimizer.windowGroupLimitThreshold": "-1",
    }
    on_s3 = any(urlsplit(uri).scheme in ("s3", "s3a") for uri in uris)
    for jar, what in [("hadoop-aws", "s3a:// paths")] * on_s3 + [("iceberg-spark-runtime", "the table")] * table:
        if not any(jars.glob(f"{jar}-*.jar")):
            raise SessionError(f"{jars}: no {jar} jar for {what}; `make setup` fetches it")
        config["spark.driver.extraClassPath"] = config["spark.executor.extraClassPath"] = f"{jars}/*"
    if on_s3:
        config |= _s3a_config(environ)
    return config


def _s3a_config(environ: Mapping[str, str]) -> dict[str, str]:
    config = {
        "spark.hadoop.fs.s3a.aws.credentials.provider": "com.amazonaws.auth.DefaultAWSCredentialsProviderChain",
        # s3:// is EMR's own scheme; here it means the same bucket.
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        # The defaults retry an endpoint that is not there for minutes.
        "spark.hadoop.fs.s3a.attempts.maximum": "2",
        "spark.hadoop.fs.s3a.retry.limit": "2",
        "spark.hadoop.fs.s3a.retry.interval": "200ms",
        "spark.hadoop.fs.s3a.connection.establish.timeout": "3000",
        "spark.hadoop.fs.s3a.connection.timeout": "20000",
        # Uploads are small: keep them off the disk.
        "spark.hadoop.fs.s3a.fast.upload.buffer": "bytebuffer",
    }
    if region := environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION"):
        config["spark.hadoop.fs.s3a.endpoint.region"] = region
    if endpoint := environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL"):
        scheme = urlsplit(endpoint).scheme
        if scheme not in ("http", "https"):
            raise SessionError(f"AWS_ENDPOINT_URL {endpoint}: must start with http:// or https://")
        config |= {
            "spark.hadoop.fs.s3a.endpoint": endpoint,
            "spark.hadoop.fs.s3a.path.style.access": "true",
            "spark.hadoop.fs.s3a.connection.ssl.enabled": str(scheme == "https").lower(),
        }
    return config
