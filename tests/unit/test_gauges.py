"""Requests in flight, read from a page of metrics."""

from __future__ import annotations

import pytest

from sidecar.servers.gauges import in_flight

RUNNING = "vllm:num_requests_running"
WAITING = "vllm:num_requests_waiting"
# As vLLM 0.32 writes it, with two data-parallel engines.
PAGE = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tiny"} 3.0
vllm:num_requests_running{engine="1",model_name="tiny"} 1.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="tiny"} 2.0
vllm:num_requests_waiting{engine="1",model_name="tiny"} 0.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="tiny",reason="capacity"} 40.0
"""


def test_series_are_summed() -> None:
    """Running and waiting are added up over every engine's series, and longer names are other gauges."""
    assert in_flight(PAGE, (RUNNING, WAITING)) == 6


@pytest.mark.parametrize(
    "page",
    [
        "",
        "# TYPE vllm:num_requests_running gauge\n",
        'vllm:num_requests_running{engine="0"} 3.0\n',
        f"{RUNNING} 1\n{WAITING} NaN\n",
        f"{RUNNING} 1\n{WAITING} +Inf\n",
        f"{RUNNING} 1\n{WAITING} many\n",
        f"{RUNNING} 1\n{WAITING}" + '{engine="0"}\n',
        "<html>nginx</html>",
    ],
)
def test_absent_or_unreadable_is_unknown(page: str) -> None:
    """A gauge that is absent, cut short or no finite number makes the sum unknown, never zero."""
    assert in_flight(page, (RUNNING, WAITING)) is None


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (f"{RUNNING} 2", 2),
        (f"{RUNNING}\t2.0", 2),
        (f"{RUNNING} 2 1795243987000", 2),
        (f'{RUNNING}{{model_name="a}} b{{\\"c"}} 2', 2),
        (f'{RUNNING}{{model_name="a 7"}} 2 1795243987000', 2),
        (f"{RUNNING} 1e1", 10),
        (f"{RUNNING} -1", 0),
        (f"{RUNNING} 2\r", 2),
    ],
)
def test_ways_to_write_a_sample(line: str, value: int) -> None:
    """Labels with braces, blanks and quotes in them, times after the value, and exponents are read."""
    assert in_flight(line + "\n", (RUNNING,)) == value
