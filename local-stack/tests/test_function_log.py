"""What is counted in the function's log."""

from tributary_local.account.function_log import count_lines

LOG = """\
{"level":"INFO","message":"batch","received":10,"written":7,"duplicates":3,"handed_back":0,"conflicts":2}
REPORT RequestId: 1\tDuration: 1.00 ms\tMax Memory Used: 20 MB\tInit Duration: 9.00 ms
{"level":"WARN","key":"events/k","message":"create_unanswered"}
{"level":"INFO","message":"batch","received":4,"written":0,"duplicates":0,"handed_back":4,"conflicts":1}
{"level":"ERROR","from":"1","message":"batch_handed_back"}
{"level":"INFO","key":"rollups/k","message":"rollup_was_missing"}
REPORT RequestId: 2\tDuration: 1.00 ms\tMax Memory Used: 20 MB
RequestId: 3 Error: Runtime.ExitError: exited with signal: 9 (SIGKILL)
REPORT RequestId: 3\tDuration: 1.00 ms\tMax Memory Used: not measured\tStatus: error
4 Task timed out after 10.00 seconds
REPORT RequestId: 4\tDuration: 10000.00 ms\tMax Memory Used: 20 MB\tInit Duration: 9.00 ms\tStatus: timeout
{"level":"INFO","message":"batch","received":4,"writ
"""


def test_events_are_counted_and_the_counts_of_batches_summed() -> None:
    assert count_lines(LOG.splitlines()) == {
        "invocations": 4,
        "cold starts": 2,
        "invocations killed at the time-out": 1,
        "invocations ended by an error or a kill": 1,
        "batches handed back": 1,
        "creates without a plain answer": 1,
        "rollups made by a later look": 1,
        "names found taken (412)": 3,
        "duplicates dropped": 3,
    }


def test_what_never_happened_is_counted_as_zero() -> None:
    assert set(count_lines([]).values()) == {0}
