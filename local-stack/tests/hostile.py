"""A shell, a home directory and a network that want the local stack to talk to somebody else."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KEY_LIKE_AN_ACCOUNT = "123456789012"

_CONFIG = """
[default]
region = eu-central-1
endpoint_url = {url}
ignore_configured_endpoint_urls = true
use_fips_endpoint = true
use_dualstack_endpoint = true
services = elsewhere
s3 =
    use_accelerate_endpoint = true
    addressing_style = virtual
[services elsewhere]
s3 =
    endpoint_url = {url}
kinesis =
    endpoint_url = {url}
"""


class Elsewhere:
    """Listens, and notes who comes."""

    def __init__(self) -> None:
        self.visits: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._socket.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    self.visits.append(connection.recv(300))
                except OSError:
                    self.visits.append(b"")


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    """One listener for as long as a test needs it."""
    listener = Elsewhere()
    try:
        yield listener
    finally:
        listener.close()


def hostile_environment(directory: Path, place: Elsewhere) -> dict[str, str]:
    """What a shell may be set to: all of it leads to `place`, or breaks what runs in it. Files go to `directory`."""
    home, scripts = directory / "home", directory / "scripts"
    (home / ".aws/cli").mkdir(parents=True)
    (home / ".localstack").mkdir()
    scripts.mkdir()
    (home / ".aws/config").write_text(_CONFIG.format(url=place.url), encoding="utf-8")
    (home / ".aws/credentials").write_text(
        f"[default]\naws_access_key_id = {KEY_LIKE_AN_ACCOUNT}\naws_secret_access_key = theirs\n", encoding="utf-8"
    )
    knock = f"exec 9<>/dev/tcp/127.0.0.1/{place.port}; echo knock >&9; exit 9"
    (home / ".aws/cli/alias").write_text(f"[toplevel]\ns3api = !bash -c '{knock}'\n", encoding="utf-8")
    (home / ".localstack/default.env").write_text(f"OUTBOUND_HTTP_PROXY={place.url}\n", encoding="utf-8")
    (scripts / "bash_env").write_text(knock, encoding="utf-8")
    (scripts / "sitecustomize.py").write_text(
        f"import socket; socket.create_connection(('127.0.0.1', {place.port})).send(b'sitecustomize')", encoding="utf-8"
    )
    (scripts / "core-site.xml").write_text(
        "<configuration><property><name>fs.s3a.endpoint</name><final>true</final>"
        f"<value>{place.url}</value></property></configuration>",
        encoding="utf-8",
    )
    services = ("S3", "KINESIS", "SQS", "CLOUDWATCH", "STS", "LAMBDA", "CLOUDFORMATION")
    proxies = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        **{f"AWS_ENDPOINT_URL_{service}": place.url for service in services},
        **dict.fromkeys(proxies, place.url),
        "NO_PROXY": "none",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_CONFIG_FILE": str(home / ".aws/config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / ".aws/credentials"),
        "AWS_PROFILE": "default",
        "AWS_ACCESS_KEY_ID": KEY_LIKE_AN_ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "theirs",
        "AWS_SESSION_TOKEN": "theirs",
        "AWS_REGION": "eu-central-1",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": place.url,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": place.url,
        "AWS_DATA_PATH": str(scripts),
        "DOCKER_HOST": f"tcp://127.0.0.1:{place.port}",
        "BASH_ENV": str(scripts / "bash_env"),
        "ENV": str(scripts / "bash_env"),
        "BASH_FUNC_env%%": f"() {{ {knock}\n}}",
        "BASH_FUNC_cd%%": f"() {{ {knock}\n}}",
        "SHELLOPTS": "noglob:xtrace",
        "CDPATH": "/",
        "GREP_OPTIONS": "--color=always",
        "PYTHONPATH": str(scripts),
        "PYTHONSTARTUP": str(scripts / "sitecustomize.py"),
        "PYTHONIOENCODING": "ascii",
        "PYTHONUTF8": "0",
        "PYTHONHOME": "/nowhere",
        "NODE_OPTIONS": "--require=/nowhere.js",
        "JAVA_TOOL_OPTIONS": f"-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort={place.port}",
        "CLASSPATH": str(scripts),
        "SPARK_HOME": "/nowhere",
        "SPARK_CONF_DIR": str(scripts),
        "SPARK_REMOTE": f"sc://127.0.0.1:{place.port}",
        "HADOOP_CONF_DIR": str(scripts),
        "PYSPARK_SUBMIT_ARGS": f"--master spark://127.0.0.1:{place.port} pyspark-shell",
        "PYSPARK_GATEWAY_PORT": str(place.port),
        "PYSPARK_PYTHON": "/nowhere/python",
        "MASTER": f"spark://127.0.0.1:{place.port}",
        "LC_ALL": "POSIX",
        "LANGUAGE": "de",
        "TZ": "Asia/Kolkata",
        "TMPDIR": "/nowhere",
        "IFS": "/",
    }
