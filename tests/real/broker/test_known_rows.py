"""Who holds a name, held against where the real LiteLLM sends a request by that name."""

from __future__ import annotations

import io

import pytest

from sidecar.row_contract import row_id
from tests.peers.cluster import wait_until
from tests.peers.proxy import LiteLLM
from tests.real.broker.conftest import Way
from webhook.broker.known_rows import KnownRows
from webhook.broker.shapes import Holder, RefusedError
from webhook.broker.upstream import FaultError, Upstream
from webhook.log import Log

pytestmark = pytest.mark.real

OURS = Holder("here", "shop")
ELSEWHERE = Holder()
# Tuned models and images are known by the form of their names, the others by LiteLLM's list of models.
NAMES = {
    "gpt-4o": True,
    "named": True,
    "an-alias": True,
    "an-id-of-its-own": True,
    "openai/its-model": True,
    "openai/of-no-list": True,
    "gpt-4.1-mini": True,
    "tts-1": True,
    "ft:gpt-4o:mine": True,
    "gpt-image-of-tomorrow": True,
    "team-a-x": True,
    "team-a-xyz": True,
    "my-team-a-x": False,
    "qwen": False,
    "Qwen/Qwen2.5-7B": False,
    "its-model": False,
    "GPT-4o": False,
    "claude-3-5-sonnet-20240620": False,
}


def known(upstream: Upstream) -> KnownRows:
    """Give what a broker knows that has just started."""
    return KnownRows(upstream, "here", Log(io.StringIO()))


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_is_held_exactly_if_litellm_takes_requests_by_it(
    configured: LiteLLM, way: Way, name: str
) -> None:
    """By rows, patterns, ids, models behind, an alias: no request that had a place to go can be taken."""
    refused = configured.chat(name)
    reached = "There are no healthy deployments" not in refused.text and "Invalid model" not in refused.text
    async with way(configured) as upstream:
        holders = await known(upstream).holders(name)
    assert (reached, bool(holders)) == (NAMES[name], NAMES[name]), refused.text


async def test_whose_rows_have_a_name_is_told_by_their_blocks(proxy: LiteLLM, way: Way) -> None:
    """A registrar's row is its namespace's, one made by hand nobody's."""
    block = {"cluster": "here", "namespace": "shop", "pod_uid": "uid-1"}
    params = {"model": "hosted_vllm/m", "api_base": "http://127.0.0.1:9/v1", "api_key": "none"}
    key = row_id("here", "shop", "uid-1", "shared-name")
    proxy.create("shared-name", params, {"id": key, "registrar": block})
    async with way(proxy) as upstream:
        assert await known(upstream).holders("shared-name") == (OURS,)
        proxy.create("shared-name", params, {"id": "made-by-hand"})
        assert set(await known(upstream).holders("shared-name")) == {OURS, ELSEWHERE}


async def test_a_row_of_a_moment_ago_on_another_replica_is_found(shipped: LiteLLM, way: Way) -> None:
    """The replica that is asked will not know it for up to 30 s; the database does."""
    async with way(shipped, replica=1) as upstream:
        rows = known(upstream)
        # when it knows this one it has just read the database, and does not read it again for 30 s
        shipped.create("first", {"model": "openai/x", "api_key": "none"}, {"id": "first"})
        wait_until("a row on the other replica", 120, lambda: "first" in shipped.known(1))
        assert await rows.holders("made-just-now") == ()
        made = shipped.create("made-just-now", {"model": "openai/y", "api_key": "none"}, {})
        seen = shipped.rows("made-just-now", replica=1)
        assert await rows.holders("made-just-now") == (ELSEWHERE,)
        assert await rows.holders("not-made") == ()
    for key in ("first", made):  # of other tests these are not
        shipped.call("POST", "/model/delete", {"id": key})
    assert seen == [], "the other replica knew at once: nothing was shown"


async def test_without_its_database_no_new_name_is_given(proxy: LiteLLM, way: Way) -> None:
    """LiteLLM says so itself, and what it says is passed on; held names go on."""
    async with way(proxy) as upstream:
        rows = known(upstream)
        assert await rows.holders("made-in-ui") == (ELSEWHERE,)
        proxy.stop_database()
        try:
            with pytest.raises((FaultError, RefusedError)) as refused:
                # one that has not just heard that the database is there: that counts for a second
                await known(upstream).holders("quite-new")
            assert await rows.holders("made-in-ui") == (ELSEWHERE,)
        finally:
            proxy.start_database()
        if isinstance(refused.value, FaultError):
            assert refused.value.reply.status >= 500

    def is_back() -> bool:
        asked = "/v2/model/info?model=quite-new&search=quite-new&size=1"
        return all(proxy.call("GET", asked, replica=replica).status_code == 200 for replica in (0, 1))

    wait_until("LiteLLM has its database again", 120, is_back)
