"""The schedule of chaos: what a seed fixes, and what no seed leaves out."""

import pytest

from tributary_local.faults.schedule import ProcessFault, RequestFault, RequestFaults, counts, plan
from tributary_local.runs.chaos import FUNCTION_TIMEOUT_SECONDS

LATE_EFFECTS = {RequestFault.EFFECT_AFTER_RESET, RequestFault.EFFECT_AFTER_TIME_OUT}


def dealt(faults: RequestFaults, method: str, requests: int) -> list:
    return [faults.next(method) for _ in range(requests)]


def kinds(faults: RequestFaults, method: str, requests: int) -> set[RequestFault]:
    return {injection.fault for injection in dealt(faults, method, requests) if injection}


def test_a_seed_fixes_the_plan_and_what_each_request_meets() -> None:
    assert plan(7, 180) == plan(7, 180)
    assert plan(7, 180) != plan(8, 180)
    assert dealt(RequestFaults(7), "PUT", 200) == dealt(RequestFaults(7), "PUT", 200)
    assert dealt(RequestFaults(7), "PUT", 200) != dealt(RequestFaults(8), "PUT", 200)


def test_what_writes_meet_does_not_depend_on_the_reads_between_them() -> None:
    with_reads, alone = RequestFaults(7), RequestFaults(7)
    writes = []
    for _ in range(100):
        with_reads.next("GET")
        writes.append(with_reads.next("PUT"))
    assert writes == dealt(alone, "PUT", 100)


@pytest.mark.parametrize("seconds", [60, 180, 3600])
def test_every_process_fault_comes_within_the_run_in_order_of_time(seconds: int) -> None:
    for seed in range(100):
        planned = plan(seed, seconds)
        assert {fault.fault for fault in planned} == set(ProcessFault)
        times = [fault.at for fault in planned]
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] < seconds


def test_a_paused_function_goes_on_before_its_time_out() -> None:
    pauses = [fault.lasts for fault in plan(7, 3600) if fault.fault is ProcessFault.PAUSE_FUNCTION]
    assert min(pauses) > 0
    assert max(pauses) < FUNCTION_TIMEOUT_SECONDS


def test_every_fault_hits_one_of_the_first_sixty_writes() -> None:
    for seed in range(100):
        assert kinds(RequestFaults(seed), "PUT", 60) == set(RequestFault)


def test_reads_meet_every_fault_but_late_effects_for_they_have_none() -> None:
    for seed in range(100):
        assert kinds(RequestFaults(seed), "GET", 50) == set(RequestFault) - LATE_EFFECTS


def test_a_fault_that_is_left_out_does_not_come_and_the_others_stay_as_they_are() -> None:
    without = {ProcessFault.SECOND_EVENT_SOURCE, RequestFault.DELAY}
    assert plan(7, 600, without) == [one for one in plan(7, 600) if one.fault not in without]
    every, fewer = dealt(RequestFaults(7), "PUT", 600), dealt(RequestFaults(7, without), "PUT", 600)
    assert fewer == [None if one and one.fault in without else one for one in every]


def test_faults_that_never_came_are_counted_as_such() -> None:
    without = {ProcessFault.SECOND_EVENT_SOURCE}
    counted = counts({RequestFault.DELAY: 3}, without)
    assert counted[RequestFault.DELAY] == 3
    assert counted[ProcessFault.KILL_FUNCTION] == 0
    assert set(counted) == {*ProcessFault, *RequestFault} - without
