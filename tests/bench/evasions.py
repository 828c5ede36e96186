"""How many pods of the evasion list get past the policy."""

from tests.bench.figures import Figure
from tests.policy.evasions.cases import cases

_SHOWN = 5


async def measure() -> list[Figure]:
    """Give evasions."""
    every = cases()
    passing = [case.name for case in every if case.passes]
    refused_twins = sum(not case.allowed.verdict.answer.allowed for case in every)
    shown = f"; {', '.join(passing[:_SHOWN])}" if passing else ""
    of = f"of {len(every)} pods, each beside its honest twin, of which {refused_twins} are refused{shown}"
    return [Figure("evasions", len(passing), "pods let pass", "= 0", of)]
