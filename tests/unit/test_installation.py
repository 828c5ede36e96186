"""The commands of an installation: a self-test, and an uninstall that takes nothing that is not its own."""

import json
from collections import Counter
from typing import Any

import pytest

from sidecar.row_contract import row_id
from tests.restricted import violations
from tests.standins.kube import FakeApi
from webhook.broker.own_rows import own_row
from webhook.broker.shapes import Call, RefusedError, Reply, Rule
from webhook.inject import Injection, inject
from webhook.installation.remains import injected, told
from webhook.installation.selftest import pod, selftest
from webhook.installation.uninstall import ended, prepare, remove_objects, remove_rows
from webhook.kube.api import JSON, ApiError
from webhook.patch import apply
from webhook.tls.publication import webhook_configurations

BLOCK = {"cluster": "here", "namespace": "shop", "pod_uid": "uid-1"}
OURS = row_id("here", "shop", "uid-1", "qwen")
FORBIDDEN = ApiError(403, "Forbidden", "not allowed")


def row(key: object = OURS, block: object = BLOCK) -> dict[str, Any]:
    """Give a row as LiteLLM shows it."""
    return {"model_name": "qwen", "model_info": {"id": key, "registrar": block}}


def with_registrar(*labels: str, phase: str = "Running") -> JSON:
    """Give a pod as it lives after an injection, with these labels of ours."""
    metadata = {"labels": {f"litellm-registrar.io/{label}": "openai" for label in labels}}
    return {**_injected(), "metadata": metadata, "status": {"phase": phase}}


def _injected() -> JSON:
    ops = inject(pod(), Injection(cluster="here", image="registrar:1"), "0" * 32).ops
    found: JSON = apply(pod(), ops)
    return found


class Table:
    """A LiteLLM with rows; those of `late` are shown from the second reading on."""

    def __init__(self, *rows: dict[str, Any], late: tuple[dict[str, Any], ...] = ()) -> None:
        self.rows = [*rows]
        self.late = late
        self.deleted: list[str] = []
        self.fault: Reply | None = None
        self.deletion: Reply | None = None
        self.waited: list[float] = []

    async def send(self, call: Call, _: float) -> Reply:
        """Answer as /v2/model/info and /model/delete do."""
        if self.fault:
            return self.fault
        if call.path == "/model/delete":
            assert call.body is not None
            self.deleted.append(call.body["id"])
            return self.deletion or Reply(200, f"Model: {call.body['id']} deleted successfully".encode())
        assert call.path == "/v2/model/info"
        size, number = int(call.query["size"]), int(call.query["page"])
        shown = self.rows[(number - 1) * size : number * size]
        return Reply(200, json.dumps({"data": shown, "total_count": len(self.rows)}).encode())

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.waited.append(seconds)
        self.rows += self.late


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (row(block={**BLOCK, "cluster": "elsewhere"}), "another cluster's"),
        (row(row_id("elsewhere", "shop", "uid-1", "qwen")), "a block of ours on an id of another cluster's"),
        (row("a-hand-made-id"), "a copied block on a row that was made by hand"),
        (row(OURS[:-1]), "an id that only begins like one"),
        (row(OURS + "0"), "an id that goes on"),
        (row(block={**BLOCK, "pod_uid": "uid-2"}), "an id of another pod than the block says"),
        (row(block={"cluster": "here"}), "a block without a pod"),
        (row(block="here"), "a block that is none"),
        (row(block=None), "no block"),
        (row(7), "an id that is no text"),
        ({"model_name": "qwen"}, "nothing"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_row_is_ours_only_if_block_and_id_both_say_so(shown: dict[str, Any], why: str) -> None:
    """Neither a copied block nor an id like ours makes somebody's row one to delete."""
    assert own_row(shown, "here") == "", why


def test_a_row_of_this_cluster_is_known_by_its_block_and_id() -> None:
    """Any namespace's and any pod's, as a registrar made it."""
    assert own_row(row(), "here") == OURS


async def test_rows_of_this_cluster_are_removed_and_no_others_on_all_pages_and_what_is_shown_late() -> None:
    """LiteLLM's replicas know of each other's rows after a while only: the table is read a second time."""
    mine = [row_id("here", "shop", "uid-1", f"m{number}") for number in range(450)]
    late = row_id("here", "shop", "uid-1", "late")
    table = Table(*(row(key) for key in mine), row("foreign", None), late=(row(late),))
    said: list[str] = []
    assert await remove_rows(table, "here", said.append, table.sleep)
    assert set(table.deleted) == {*mine, late}
    assert table.waited == [35.0]
    assert said == ["Rows of cluster here removed from LiteLLM: 451."]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Reply(500, b"{}"), "HTTP 500"),
        (Reply(200, b"[]"), "cannot_ask_litellm: LiteLLM cannot be asked: a list of rows was expected"),
        (Reply(401, b"no"), "HTTP 401"),
    ],
)
async def test_a_litellm_that_does_not_answer_is_said_and_is_a_failure(fault: Reply, why: str) -> None:
    """What could not be removed must not look as if it were gone."""
    table = Table(row())
    table.fault = fault
    said: list[str] = []
    assert not await remove_rows(table, "here", said.append, table.sleep)
    assert said == [f"Rows of cluster here removed: 0; then it failed: {why}"]


async def test_a_deletion_that_litellm_does_not_confirm_is_a_failure() -> None:
    """A login page before LiteLLM's admin API answers 200 to everything."""
    table = Table(row())
    table.deletion = Reply(200, b"<html>Sign in</html>")
    said: list[str] = []
    assert not await remove_rows(table, "here", said.append, table.sleep)
    assert said == ["Rows of cluster here removed: 0; then it failed: HTTP 200"]


async def test_a_litellm_that_cannot_be_reached_is_said_too() -> None:
    """The way's own refusal comes through."""

    class Away(Table):
        async def send(self, call: Call, seconds: float) -> Reply:
            raise RefusedError(Rule.CANNOT_ASK_LITELLM, f"{call.path} had no answer in {seconds:g} s", 504)

    said: list[str] = []
    assert not await remove_rows(Away(), "here", said.append)
    assert "had no answer in 30 s" in said[0]


async def test_an_uninstall_removes_both_configurations_first_and_counts_who_lives_on() -> None:
    """A pod is counted once, whichever of our labels it has; one that has ended is not."""
    api = FakeApi()
    mutating, validating = (target.path for target in webhook_configurations(["admission"]))
    api.put(mutating, {})
    for name, found in {
        "shop/pods/labelled": with_registrar("server"),
        "shop/pods/both": with_registrar("server", "carried"),
        "lab/pods/carried": with_registrar("carried"),
        "lab/pods/ended": with_registrar("server", phase="Succeeded"),
        "lab/pods/missed": {"metadata": {"labels": {"litellm-registrar.io/server": "vllm"}}, "spec": {}},
    }.items():
        api.put(f"/api/v1/namespaces/{name}", found)
    said: list[str] = []
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    await prepare(api, ["admission"], said.append, sleep)
    assert api.calls[:2] == [("delete", mutating), ("delete", validating)]
    assert waited == [2.0]
    assert said[:2] == [
        "Removed: mutatingwebhookconfigurations/admission",
        "3 injected pods live on in 2 namespaces (shop: 2, lab: 1).",
    ]
    assert "Nobody keeps their rows in LiteLLM true any more" in said[2]


async def test_an_uninstall_that_may_do_nothing_says_so_and_goes_on() -> None:
    """It is a hook: a failure of it would stop the uninstall."""
    api = FakeApi()
    api.fail[""] = FORBIDDEN
    said: list[str] = []
    await prepare(api, ["admission"], said.append)
    assert said == [
        "Not removed: mutatingwebhookconfigurations/admission: 403 Forbidden: not allowed",
        "Not removed: validatingwebhookconfigurations/admission: 403 Forbidden: not allowed",
        "Pods cannot be counted: 403 Forbidden: not allowed",
    ]


async def test_a_clean_up_waits_for_the_pods_of_webhook_and_broker_but_not_for_ever() -> None:
    """They would make again what is removed, as long as they live."""
    api = FakeApi()
    path = "/api/v1/namespaces/shop/pods/broker"
    api.put(path, {"metadata": {"labels": {"app": "ours"}}})
    said: list[str] = []
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            api.put(path, None)

    await ended(api, "shop", "app=ours", said.append, sleep)
    assert (sum(waited), said) == (6.0, [])
    api.put(path, {"metadata": {"labels": {"app": "ours"}}})
    await ended(api, "shop", "app=ours", said.append, sleep)
    assert said == ["1 pods of webhook and broker have not ended; what they make again stays."]


async def test_what_the_processes_made_is_removed_and_nothing_beside_it() -> None:
    """By name, and of Leases those that claim names of models; what is gone already is no failure."""
    api = FakeApi()
    leases = "/apis/coordination.k8s.io/v1/namespaces/shop/leases"
    theirs = "/api/v1/namespaces/shop/secrets/litellm-key"
    for path in ("/api/v1/namespaces/shop/secrets/tls", theirs, f"{leases}/webhook"):
        api.put(path, {})
    api.put(f"{leases}/name-0", {"metadata": {"labels": {"litellm-registrar.io/claim": "name"}}})
    names = {"secrets": ["tls"], "configmaps": ["absent"], "leases": ["webhook"]}
    said: list[str] = []
    assert await remove_objects(api, "shop", names, said.append)
    assert [*api.objects] == [theirs]
    assert said == ["Removed: secrets/tls", "Removed: leases/webhook", "Removed: leases/name-0"]


async def test_an_object_that_may_not_be_removed_is_a_failure_and_the_others_go() -> None:
    """Each is tried."""
    api = FakeApi()
    path = "/api/v1/namespaces/shop/secrets"
    for name in ("one", "two"):
        api.put(f"{path}/{name}", {})
    api.fail[f"delete {path}/one"] = FORBIDDEN
    assert not await remove_objects(api, "shop", {"secrets": ["one", "two"]}, lambda _: None)
    assert [*api.objects] == [f"{path}/one"]


def test_of_many_namespaces_the_ten_with_the_most_pods_are_named() -> None:
    """A line that people read has an end."""
    many = Counter({f"team-{number:02}": 20 - number for number in range(12)})
    assert told(many).endswith("team-09: 11, 2 more).")
    assert told(Counter({"shop": 1})) == "1 injected pod lives on in 1 namespace (shop: 1)."
    assert told(Counter()) == "No injected pod lives on."


def test_the_tried_pod_is_injected_and_restricted() -> None:
    """Only the namespace, a policy or a webhook that is away can stand in its way."""
    assert injected([_injected()]).total() == 1
    spec = _injected()["spec"]
    assert [violations(one) for one in (*spec["initContainers"], *spec["containers"])] == [[], []]


class Injecting(FakeApi):
    """An API server that calls the webhook, from the given call on."""

    def __init__(self, after: int = 0) -> None:
        super().__init__()
        self.after = after

    async def rehearse(self, path: str, body: JSON) -> JSON:
        """Answer as after an admission."""
        assert (path, body) == ("/api/v1/namespaces/shop/pods", pod())
        self.after -= 1
        return _injected() if self.after < 0 else body


async def test_a_pod_that_comes_back_without_a_registrar_fails_the_test() -> None:
    """With failurePolicy Ignore that is what a webhook that is away looks like; it has ten seconds."""
    said: list[str] = []
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    assert not await selftest(Injecting(11), "shop", said.append, sleep)
    assert sum(waited) == 10
    assert len(said) == 1
    assert "comes back without a registrar" in said[0]


async def test_a_webhook_that_is_called_a_moment_after_it_is_ready_passes_the_test() -> None:
    """Helm 3 waits for its readiness alone, and the API server is called by whoever comes next."""
    said: list[str] = []

    async def sleep(_: float) -> None:
        said.append("waited")

    assert await selftest(Injecting(10), "shop", said.append, sleep)
    assert said == ["waited"] * 10 + ["A labelled pod in namespace shop gets its registrar, registrar:1"]


async def test_a_pod_that_is_refused_fails_the_test_with_the_refusal() -> None:
    """Whoever refuses it says why, and the test says what may be done."""
    api = FakeApi()
    api.fail["rehearse"] = ApiError(403, "Forbidden", "images: not from our registry")
    said: list[str] = []
    assert not await selftest(api, "shop", said.append)
    assert "images: not from our registry" in said[0]
    assert "test.namespace" in said[0]


async def test_a_pod_with_its_registrar_passes_the_test_and_nothing_is_made() -> None:
    """In direct mode there is no broker to ask."""
    api = Injecting()
    said: list[str] = []
    assert await selftest(api, "shop", said.append)
    assert said == ["A labelled pod in namespace shop gets its registrar, registrar:1"]
    assert api.objects == {}
