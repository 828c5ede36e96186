"""What a cluster is called if nobody names it."""

import asyncio
import io

import pytest

from tests.standins.kube import UNREACHABLE, FakeApi
from tests.virtual_time import run
from webhook.kube.api import ApiError
from webhook.kube.identity import asked_uid, cluster_uid
from webhook.log import Log

KUBE_SYSTEM = "/api/v1/namespaces/kube-system"


def test_it_is_the_uid_of_kube_system() -> None:
    """Nothing is said of what works."""

    async def main() -> None:
        api, lines = FakeApi(), io.StringIO()
        api.put(KUBE_SYSTEM, {})
        uid = api.objects[KUBE_SYSTEM]["metadata"]["uid"]
        assert await cluster_uid(api, Log(lines)) == uid
        assert lines.getvalue() == ""

    run(main())


def test_an_api_server_that_is_away_is_asked_until_it_is_back() -> None:
    """What is in the way is said once, with the flag that gives an id."""

    async def main() -> None:
        api, lines = FakeApi(), io.StringIO()
        api.put(KUBE_SYSTEM, {})
        api.fail[""] = UNREACHABLE
        asking = asyncio.create_task(cluster_uid(api, Log(lines)))
        await asyncio.sleep(600)
        assert not asking.done()
        api.fail.clear()
        await asyncio.sleep(10)
        assert asking.result()
        assert lines.getvalue().count("--cluster-id gives one: no answer Unreachable") == 1

    run(main())


def test_an_answer_without_a_uid_is_none() -> None:
    """What is in the way of the API server may answer 200 for it: no cluster is called by that."""

    class Proxy:
        async def get(self, _: str) -> dict[str, object]:
            return {"status": "ok"}

    async def main() -> None:
        with pytest.raises(ApiError, match="a namespace without uid"):
            await asked_uid(Proxy())

    run(main())
