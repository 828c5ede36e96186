"""What is checked of every pod's life: the order of its end, and what its registrar has said."""

import re

from tests.node import kubelet_log

# Time, state word, sentence, then key=value.
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ +\S.*")


# What a registrar may say besides on a machine that is slow for a moment: of its own server, and of a broker
# that has just come back.
SLOW = frozenset({"server_timeout", "broker_no_answer", "broker_busy", "broker_not_yet", "broker_pod_unseen"})


def check_ending(steps: list[kubelet_log.Step], at_least: float) -> None:
    """Check the order of a pod's end: both hooks over, then the server's SIGTERM, then the registrar's."""
    end, stop = (kubelet_log.when(steps, "server", s) for s in ("hook ends", "SIGTERM"))
    begin = drain_began(steps)
    assert end - begin >= at_least, f"the drain took {end - begin:.1f} s: {steps}"
    assert end <= stop, steps
    assert kubelet_log.when(steps, "registrar", "hook ends") <= kubelet_log.when(
        steps, "registrar", "SIGTERM"
    )
    assert kubelet_log.when(steps, "server", "exit") <= kubelet_log.when(steps, "registrar", "SIGTERM")
    assert not [step for step in steps if step.what in {"hook failed", "hook cut"}], steps


def drain_began(steps: list[kubelet_log.Step]) -> float:
    """Give when the first of the two hooks began, in whatever order the kubelet comes to them."""
    return min(kubelet_log.when(steps, name, "hook begins") for name in ("server", "registrar"))


def check_log(text: str, secrets: tuple[str, ...]) -> None:
    """Check that a registrar's log is one readable line per event, without secrets."""
    lines = text.splitlines()
    assert lines
    assert [line for line in lines if not LOG_LINE.fullmatch(line)] == []
    assert not [secret for secret in secrets if secret in text]


def problems(text: str) -> set[str]:
    """Read the reasons of every problem that a registrar's log names."""
    return set(re.findall(r" PROBLEM .*?\breason=(\w+)", text))
