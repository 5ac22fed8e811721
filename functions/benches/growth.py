"""`make bench-growth`: how the pure part grows with window, batch, and partitions of an event, as one plot."""

import argparse
import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib as mpl
from lambda_events import RECORDS, kafka_event, kinesis_event, payloads
from matplotlib.figure import Figure

IDS = (1_000_000, 2_000_000, 5_000_000, 10_000_000)
BATCHES = (10, 30, 100, 300, 1_000, 3_000, RECORDS)
PARTITIONS = (1, 2, 5, 10, 20, 50)
# Small batches are over before a clock has ticked often.
RECORDS_MEASURED = 400_000
MOST_ROUNDS = 4_000
INK = "#30363d"
LINE = "#3274d9"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--built", required=True, type=Path, help="the directory of the built binaries")
    parser.add_argument("--plot", required=True, type=Path, help="the SVG to write")
    arguments = parser.parse_args()

    program = arguments.built / "bench-window-memory/bootstrap"
    window = [(ids, window_megabytes(program, ids)) for ids in IDS]
    records = payloads(arguments.built / "producer/bootstrap")
    with TemporaryDirectory() as folder:
        event = Path(folder) / "event.json"

        def milliseconds(content: bytes, count: int) -> float:
            event.write_bytes(content)
            rounds = min(RECORDS_MEASURED // count, MOST_ROUNDS)
            command = [arguments.built / "bench-batch/bootstrap", event, str(rounds)]
            ran = subprocess.run(command, check=True, capture_output=True)
            return json.loads(ran.stdout)["milliseconds"]

        batch = [(count, milliseconds(kinesis_event(records[:count]), count) / count * 1000) for count in BATCHES]
        partitions = [(count, milliseconds(kafka_event(records, count), RECORDS)) for count in PARTITIONS]
    panels = (
        ("ids in the window", "MB at the peak", window),
        ("records in a batch", "microseconds a record", batch),
        (f"partitions of an event of {RECORDS:,}", "ms an event", partitions),
    )
    for x, y, points in panels:
        print(f"{x}: " + ", ".join(f"{at:,} → {value:.1f}" for at, value in points) + f" {y}")
    draw(panels, arguments.plot)


def window_megabytes(program: Path, ids: int) -> float:
    """The peak of a process that fills a window."""
    said = subprocess.run([program, str(ids)], check=True, capture_output=True, text=True).stdout
    return float(re.search(r"([0-9.]+) MB at the peak", said)[1])


def draw(panels: Sequence[tuple[str, str, Sequence[tuple[int, float]]]], plot: Path) -> None:
    """One panel beside the other, each with its values; the same file for the same values."""
    mpl.rcParams.update({"svg.hashsalt": "growth", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9})
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    figure.set_facecolor("white")
    for axes, (x, y, points) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, color=LINE)
        for at, value in points:
            axes.annotate(f"{value:.3g}", (at, value), (0, 6), textcoords="offset points", ha="center", color=INK)
        axes.set_xscale("log")
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.set_ylim(0, max(value for _, value in points) * 1.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(plot, metadata={"Date": None})


if __name__ == "__main__":
    main()
