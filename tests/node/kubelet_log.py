"""What the kubelet did to a container, and when, as it says itself.

The messages are those of pkg/kubelet/kuberuntime/kuberuntime_container.go (Kubernetes 1.36, verbosity 3).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

MESSAGES = {
    "Running preStop hook": "hook begins",
    "PreStop hook completed": "hook ends",
    "PreStop hook failed": "hook failed",
    "PreStop hook not completed in grace period": "hook cut",
    "Killing container with a grace period": "SIGTERM",
    "Container exited normally": "exit",
}
_LINE = re.compile(
    r'[IWE](?P<date>\d{4} \d\d:\d\d:\d\d\.\d{6}) .*?\] "(?P<message>[^"]*)" .*pod="(?P<pod>[^"]*)"'
    r'.* containerName="(?P<container>[^"]*)"'
)


@dataclass(frozen=True, order=True)
class Step:
    """One thing done to a container; `at` in seconds since the epoch."""

    at: float
    container: str
    what: str


def steps(log: str, namespace: str, pod: str) -> list[Step]:
    """Read the steps of one pod's ending, in order of time."""
    found = []
    for line in log.splitlines():
        match = _LINE.match(line)
        if match is None or match["pod"] != f"{namespace}/{pod}" or match["message"] not in MESSAGES:
            continue
        year = datetime.now(UTC).year
        at = datetime.strptime(f"{year}{match['date']}", "%Y%m%d %H:%M:%S.%f").astimezone()
        found.append(Step(at.timestamp(), match["container"], MESSAGES[match["message"]]))
    return sorted(found)


def when(found: list[Step], container: str, what: str) -> float:
    """Give the time of a step that must have happened exactly once."""
    times = [step.at for step in found if (step.container, step.what) == (container, what)]
    assert len(times) == 1, f"{container}: {what} seen {len(times)} times in {found}"
    return times[0]
