"""Who leads: one at a time, by a Lease and each one's own clock."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.standins.kube import UNREACHABLE, FakeApi
from tests.virtual_time import now, run
from webhook.kube.api import ApiError
from webhook.kube.leader import Leader, Timing, identity
from webhook.log import Log

PATH = "/apis/coordination.k8s.io/v1/namespaces/shop/leases/webhook"
TIMING = Timing(lease=15, renew=10, retry=2)


class Candidate:
    """One candidate, its own way to the API server, and what it was told."""

    def __init__(self, api: FakeApi, holder: str, **options: Any) -> None:
        self.api = api.another()
        self.lines = io.StringIO()
        self.told: list[bool] = []
        self.leader = Leader(
            self.api,
            PATH,
            holder,
            Log(self.lines),
            **{"timing": TIMING, "use": self.told.append, "now": now, **options},
        )
        self.task = asyncio.create_task(self.leader.run())

    @property
    def leading(self) -> bool:
        """Tell whether it leads now."""
        return self.leader.leading

    async def kill(self) -> None:
        """End it as a crash does: nothing is released."""
        self.task.cancel()
        await asyncio.wait([self.task])

    async def stop(self) -> None:
        """End it as it should be."""
        await self.kill()
        await self.leader.release()


@contextlib.asynccontextmanager
async def two() -> AsyncIterator[tuple[Candidate, Candidate]]:
    """Give two candidates, of which the first leads."""
    api = FakeApi()
    one = Candidate(api, "one")
    await asyncio.sleep(1)
    other = Candidate(api, "other")
    await asyncio.sleep(5)
    assert (one.leading, other.leading) == (True, False)
    yield one, other
    await one.kill()
    await other.kill()


def spec(candidate: Candidate) -> dict[str, Any]:
    """Give what stands in the Lease."""
    found: dict[str, Any] = candidate.api.objects[PATH]["spec"]
    return found


def test_the_first_one_leads_for_as_long_as_it_lives() -> None:
    """A leader that renews is never replaced, and is told once that it leads."""

    async def main() -> None:
        async with two() as (one, other):
            acquired = spec(one)["acquireTime"]
            for _ in range(3600):
                await asyncio.sleep(1)
                assert (one.leading, other.leading) == (True, False)
            assert (one.told, other.told) == ([True], [])
            assert spec(one)["acquireTime"] == acquired
            assert spec(one)["leaseTransitions"] == 1

    run(main())


def test_a_leader_that_crashed_is_replaced_once_its_lease_is_over() -> None:
    """Another one leads within lease and two retries, and not before the lease is over."""

    async def main() -> None:
        async with two() as (one, other):
            await one.kill()
            died = now()
            while not other.leading:
                await asyncio.sleep(0.1)
                assert now() < died + TIMING.lease + 2 * TIMING.retry + 0.2
            assert not one.leading
            assert now() > died + TIMING.lease - TIMING.retry
            assert spec(other)["holderIdentity"] == "other"

    run(main())


def test_a_leader_that_stops_lets_another_one_begin_at_once() -> None:
    """After a release nobody waits for the lease to be over."""

    async def main() -> None:
        async with two() as (one, other):
            await one.stop()
            assert one.told == [True, False]
            assert spec(one)["holderIdentity"] == ""
            await asyncio.sleep(TIMING.retry)
            assert other.leading

    run(main())


@pytest.mark.parametrize("hangs", [False, True])
def test_who_cannot_reach_the_api_server_stops_leading_before_another_begins(*, hangs: bool) -> None:
    """Whether calls fail or hang, never do two lead at a time."""

    async def main() -> None:
        async with two() as (one, other):
            if hangs:
                one.api.hang = asyncio.Event()
            else:
                one.api.fail[""] = UNREACHABLE
            began = now()
            while not other.leading:
                await asyncio.sleep(0.05)
                assert not (one.leading and other.leading)
                assert now() < began + 60
            assert one.told == [True, False]
            assert one.lines.getvalue().count("cannot be read or written") == 1

    run(main())


def test_a_renewal_whose_answer_is_late_counts_from_when_it_was_sent() -> None:
    """A leader believes in its lease no longer than others do who saw it change."""

    async def main() -> None:
        async with two() as (one, _):
            one.api.calls.clear()
            one.api.hang = asyncio.Event()
            while not one.api.calls:  # noqa: ASYNC110 - the moment is what is wanted
                await asyncio.sleep(0.01)
            sent = now()
            await asyncio.sleep(4)
            one.api.hang.set()
            await asyncio.sleep(0.01)
            one.api.fail[""] = UNREACHABLE
            while one.leading:  # noqa: ASYNC110 - the same
                await asyncio.sleep(0.01)
            assert sent + TIMING.renew - 0.02 <= now() <= sent + TIMING.renew + 0.02

    run(main())


def test_one_that_was_frozen_knows_at_once_that_it_leads_no_longer() -> None:
    """After a long pause `leading` is false before anything is asked: the clock went on."""

    async def main() -> None:
        ahead = 0.0
        one = Candidate(FakeApi(), "one", now=lambda: now() + ahead)
        await asyncio.sleep(1)
        before, ahead = one.leading, TIMING.lease
        assert (before, one.leading) == (True, False)
        await one.kill()

    run(main())


def test_the_clocks_of_other_machines_do_not_count() -> None:
    """A Lease renewed by a clock that is a day off is respected, and taken when it changes no more."""

    async def main() -> None:
        api = FakeApi()
        wrong = Candidate(api, "wrong", today=lambda: datetime.now(UTC) - timedelta(days=1))
        await asyncio.sleep(1)
        other = Candidate(api, "other")
        await asyncio.sleep(60)
        assert (wrong.leading, other.leading) == (True, False)
        await wrong.kill()
        await asyncio.sleep(TIMING.lease + 2 * TIMING.retry)
        assert other.leading
        await other.kill()

    run(main())


def test_a_lease_that_was_deleted_is_made_again_by_its_holder() -> None:
    """Somebody who deletes the Lease does not end the leading, nor make two lead."""

    async def main() -> None:
        async with two() as (one, other):
            for _ in range(20):
                one.api.put(PATH, None)
                for _ in range(50):
                    await asyncio.sleep(0.1)
                    assert (one.leading, other.leading) == (True, False)
                assert spec(one)["holderIdentity"] == "one"

    run(main())


def test_a_lease_emptied_by_hand_is_left_to_its_holder() -> None:
    """Its leader, who knows nothing of it yet, writes it again; nobody else begins meanwhile."""

    async def main() -> None:
        async with two() as (one, other):
            for _ in range(20):
                one.api.put(PATH, {"spec": {**spec(one), "holderIdentity": ""}})
                for _ in range(50):
                    await asyncio.sleep(0.1)
                    assert (one.leading, other.leading) == (True, False)

    run(main())


def test_a_lease_in_anothers_name_is_left_to_it() -> None:
    """Who finds another's name in its Lease leads no longer, whoever wrote it there."""

    async def main() -> None:
        async with two() as (one, other):
            one.api.put(PATH, {"spec": {**spec(one), "holderIdentity": "a stranger"}})
            await asyncio.sleep(TIMING.retry + 0.1)
            assert (one.leading, other.leading) == (False, False)
            await asyncio.sleep(TIMING.lease + 2 * TIMING.retry)
            assert [one.leading, other.leading].count(True) == 1

    run(main())


@pytest.mark.parametrize("found", [{}, {"spec": {}}, {"spec": {"holderIdentity": ""}}])
def test_a_lease_of_nobody_is_taken_at_once(found: dict[str, Any]) -> None:
    """An empty Lease, as a manifest may bring it, has no holder; what else is in it stays."""

    async def main() -> None:
        api = FakeApi()
        api.put(PATH, {**found, "metadata": {"labels": {"team": "x"}}})
        one = Candidate(api, "one")
        await asyncio.sleep(0.1)
        assert one.leading
        assert api.objects[PATH]["metadata"]["labels"] == {"team": "x"}
        await one.kill()

    run(main())


def test_a_lease_that_claims_to_last_for_years_is_taken_after_all() -> None:
    """A bad duration in the Lease of a dead holder holds nobody up for longer than ten of ours."""

    async def main() -> None:
        api = FakeApi()
        api.put(PATH, {"spec": {"holderIdentity": "gone", "leaseDurationSeconds": 10**9}})
        one = Candidate(api, "one")
        await asyncio.sleep(9 * TIMING.lease)
        before = one.leading
        await asyncio.sleep(2 * TIMING.lease)
        assert (before, one.leading) == (False, True)
        await one.kill()

    run(main())


def test_a_longer_lease_of_the_holder_is_respected() -> None:
    """While a version with other times is rolled out, the holder's own duration counts."""

    async def main() -> None:
        api = FakeApi()
        slow = Candidate(api, "slow", timing=Timing(lease=60, renew=40, retry=20))
        await asyncio.sleep(1)
        other = Candidate(api, "other")
        await asyncio.sleep(600)
        assert (slow.leading, other.leading) == (True, False)
        await slow.kill()
        await other.kill()

    run(main())


def test_missing_rights_are_said_once() -> None:
    """A replica that may not write the Lease stands for ever without leading, and one line says so."""

    async def main() -> None:
        api = FakeApi()
        one = Candidate(api, "one")
        one.api.fail["create"] = ApiError(403, "Forbidden", "leases is forbidden")
        await asyncio.sleep(600)
        assert not one.leading
        assert one.lines.getvalue().count("403 Forbidden") == 1
        await one.kill()

    run(main())


def test_a_fault_of_the_user_does_not_end_the_standing() -> None:
    """Who is told of the leading may fail; the Lease is renewed all the same."""

    async def main() -> None:
        def breaks(leading: bool) -> None:  # noqa: FBT001 - a callback
            raise KeyError(leading)

        one = Candidate(FakeApi(), "one", use=breaks)
        await asyncio.sleep(60)
        assert one.leading
        assert one.lines.getvalue().count("KeyError") == 1
        await one.kill()

    run(main())


@pytest.mark.parametrize("times", [(15, 15, 2), (15, 10, 6), (0.5, 0.4, 0.1), (15, 10, 0)])
def test_times_in_which_two_could_lead_are_refused(times: tuple[float, float, float]) -> None:
    """A leader must stop believing before others begin, and have a second try."""
    with pytest.raises(ValueError, match="must hold"):
        Timing(*times)


def test_a_restarted_process_has_another_name() -> None:
    """A container that restarts in the same pod is not mistaken for the one that led."""
    assert identity() != identity()
