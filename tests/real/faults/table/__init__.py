"""Every fault there is, by groups."""

from typing import Final

from tests.real.faults.fault import Fault
from tests.real.faults.table import answers, kubernetes, litellm, processes, ways

FAULTS: Final[tuple[Fault, ...]] = (
    *answers.FAULTS,
    *litellm.FAULTS,
    *processes.FAULTS,
    *ways.FAULTS,
    *kubernetes.FAULTS,
)
