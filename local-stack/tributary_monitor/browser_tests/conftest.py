"""A producer that sends, a monitor that serves, a browser that looks. The local stack is up."""

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

ROOT = Path(__file__).resolve().parents[3]
SECONDS_TO_START = 30


@contextmanager
def running(command: list[str | Path], **environment: str) -> Iterator[subprocess.Popen]:
    """A process for as long as the test needs it."""
    # NiceGUI serves only its own test doubles when it finds this variable.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    process = subprocess.Popen([str(part) for part in command], cwd=ROOT, env={**inherited, **environment})
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def producer() -> Iterator[subprocess.Popen]:
    """Sends events of now for as long as the tests last."""
    command = [ROOT / ".local/venv/lake/bin/python", "-m", "tributary_local", "produce", "--"]
    arguments = ["--duration", "10m", "--rate", "300", "--days", "0", "--metrics"]
    with running([*command, *arguments], PYTHONPATH="local-stack") as process:
        yield process


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Of a monitor on a port of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [ROOT / ".local/venv/monitor/bin/python", "-m", "tributary_monitor"]
    with running(command, PYTHONPATH="local-stack", TRIBUTARY_MONITOR_PORT=port) as process:
        wait_for(f"http://127.0.0.1:{port}/healthy", process)
        yield f"http://127.0.0.1:{port}"


def wait_for(url: str, process: subprocess.Popen) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            opener.open(url, timeout=5).close()
            return
        except OSError:
            assert process.poll() is None, "the monitor ended"
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.2)


@pytest.fixture(scope="session")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    # Containers give Chromium's sandbox nothing to build on; it sees pages of this machine only.
    for argument in ("--headless=new", "--no-sandbox", "--no-proxy-server", "--hide-scrollbars"):
        options.add_argument(argument)
    options.add_argument("--window-size=1600,1300")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_script_timeout(30)
    yield driver
    driver.quit()
