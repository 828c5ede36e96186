"""Whatever goes wrong, no two candidates for a Lease lead at a time, and one leads when all is well again."""

import asyncio
import io
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.standins.kube import UNREACHABLE, FakeApi
from tests.virtual_time import now, run
from webhook.kube.leader import Leader, Timing
from webhook.log import Log

PATH = "/apis/coordination.k8s.io/v1/namespaces/shop/leases/webhook"
TIMING = Timing(lease=15, renew=10, retry=2)


class Candidate:
    """A candidate whose calls may fail or hang, and which may crash or stop."""

    def __init__(self, cluster: FakeApi, name: str) -> None:
        self.api = cluster.another()
        self._log = Log(io.StringIO())
        self._name = name
        self._births = 0
        self._born()

    def _born(self) -> None:
        self._births += 1
        self.leader = Leader(
            self.api,
            PATH,
            f"{self._name}-{self._births}",
            self._log,
            timing=TIMING,
            now=now,
        )
        self.task = asyncio.create_task(self.leader.run())

    async def suffer(self, what: str) -> None:
        """Have something happen to it."""
        if what == "fails":
            self.api.fail[""] = UNREACHABLE
        elif what == "reads only":
            self.api.fail["replace"] = self.api.fail["create"] = UNREACHABLE
        elif what == "hangs":
            self.api.hang = asyncio.Event()
        else:
            self.task.cancel()
            await asyncio.wait([self.task])
            if what == "stops":
                await self.leader.release()

    def recover(self) -> None:
        """Have all be well again."""
        self.api.fail.clear()
        if self.api.hang is not None:
            self.api.hang.set()
            self.api.hang = None
        if self.task.done():
            self._born()


TROUBLES = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["fails", "reads only", "hangs", "crashes", "stops"]),
        st.floats(0.1, 30),
        st.floats(0, 20),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(TROUBLES, st.integers(0, 2**32))
def test_no_two_lead_at_a_time_and_one_leads_in_the_end(
    troubles: list[tuple[int, str, float, float]], seed: int
) -> None:
    """Calls that fail or hang, crashes and stops, one after another and all at once."""
    random.seed(seed)  # the candidates' jitter

    async def main() -> None:
        cluster = FakeApi()
        candidates = [Candidate(cluster, name) for name in "abc"]

        async def for_a_while(seconds: float) -> None:
            end = now() + seconds
            while now() < end:
                assert sum(candidate.leader.leading for candidate in candidates) <= 1
                await asyncio.sleep(0.1)

        await for_a_while(5)
        for number, what, seconds, pause in troubles:
            await candidates[number].suffer(what)
            await for_a_while(seconds)
            if number != 1:  # the troubles of one last on while others come
                candidates[number].recover()
            await for_a_while(pause)
        for candidate in candidates:
            candidate.recover()
        await for_a_while(TIMING.lease + TIMING.renew)
        assert sum(candidate.leader.leading for candidate in candidates) == 1
        for candidate in candidates:
            candidate.task.cancel()
        await asyncio.wait([candidate.task for candidate in candidates])

    run(main())
