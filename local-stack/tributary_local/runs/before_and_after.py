"""The report on objects, then on the table that they are loaded into: verified each time."""

from collections.abc import Callable

from tributary_local import jobs
from tributary_local.runs.steps import Steps
from tributary_local.settings import Settings


def before_and_after_compaction(settings: Settings, steps: Steps, compact: Callable[[Settings], None]) -> None:
    """`compact`: how the table comes to hold what is new."""
    with steps.step("Report with Spark"):
        jobs.report(settings)
    with steps.step("Verify"):
        jobs.verify(settings)
    with steps.step("Compact into the table"):
        compact(settings)
    with steps.step("Report from the table"):
        jobs.report(settings)
    with steps.step("Verify again"):
        jobs.verify(settings)
