"""How requests are made of a world, honest ones but for what is said."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from sidecar.row_contract import pod_prefix, row_id
from tests.injected import CLUSTER
from tests.peers.broker import Caller
from tests.real.broker.world import HAND_MADE, METADATA, NODE, Attack, Sent, World, model

JSON = dict[str, Any]
Change = Mapping[str, Any]

GONE: Final = object()
NEW: Final = "never-made"
# An answer of aiohttp's own to what is no HTTP.
NO_HTTP: Final = "400"
DONE: Final = "200"
SECRET: Final = "os.environ/LITELLM_MASTER_KEY"


def changed(row: JSON, changes: Change) -> JSON:
    """Give a row with these places changed, written like `litellm_params.model`."""
    row = copy.deepcopy(row)
    for place, value in changes.items():
        *path, last = place.split(".")
        at = row
        for step in path:
            at = at[step]
        if value is GONE:
            at.pop(last, None)
        else:
            at[last] = value
    return row


def new(w: World, changes: Change | None = None, served: str = NEW, **more: Any) -> Sent:
    """Give the creation of a row that an honest registrar could send, but for these changes."""
    return Sent("POST", "/model/new", changed(w.attacker.row(served), changes or {}), **more)


def change(w: World, changes: Change | None = None, key: str = "", **more: Any) -> Sent:
    """Give a change of the attacker's own row, but for these changes."""
    row = changed(w.attacker.row(model(w.attacker)), changes or {})
    return Sent("PATCH", f"/model/{key or w.mine}/update", row, **more)


def delete(key: str, **more: Any) -> Sent:
    """Give a deletion."""
    return Sent("POST", "/model/delete", {"id": key}, **more)


def get(target: str, **more: Any) -> Sent:
    """Give a reading."""
    return Sent("GET", target, **more)


def look(key: str, **more: Any) -> Sent:
    """Give a look at one row."""
    return get(f"/v2/model/info?modelId={key}&size=1", **more)


def of(token: Callable[[World], str | None]) -> Callable[[World], tuple[Sent, ...]]:
    """Give an honest creation, reading and deletion with this in place of the pod's token."""

    def sent(w: World) -> tuple[Sent, ...]:
        value = token(w)
        headers = {"Authorization": None if value is None else f"Bearer {value}"}
        return new(w, headers=headers), look(w.mine, headers=headers), delete(w.mine, headers=headers)

    return sent


def places(place: str, *values: Any) -> Callable[[World], tuple[Sent, ...]]:
    """Give a creation and a change of the attacker's row with each of these values there."""
    return lambda w: tuple(make(w, {place: value}) for value in values for make in (new, change))


def param(**params: Any) -> Callable[[World], tuple[Sent, ...]]:
    """Give a creation and a change with each of these parameters."""
    return lambda w: tuple(
        make(w, {f"litellm_params.{key}": value}) for key, value in params.items() for make in (new, change)
    )


def info(**keys: Any) -> Callable[[World], tuple[Sent, ...]]:
    """Give a creation and a change with each of these in `model_info`."""
    return lambda w: tuple(
        make(w, {f"model_info.{key}": value}) for key, value in keys.items() for make in (new, change)
    )


def named(*names: str | Callable[[World], str]) -> Callable[[World], tuple[Sent, ...]]:
    """Give a creation and a change with each of these names: as the model's own, as an alias, and none."""

    def sent(w: World) -> Iterable[Sent]:
        for name in names:
            text = name if isinstance(name, str) else name(w)
            yield new(w, {"model_name": text})
            key = row_id(CLUSTER, w.attacker.namespace, w.attacker.uid, NEW, alias=text)
            yield new(w, {"model_name": text, "model_info.id": key, "model_info.registrar.alias": text})
            yield change(w, {"model_name": text})
            yield change(w, {"model_name": text, "litellm_params": {}, "model_info.mode": GONE})

    return lambda w: tuple(sent(w))


def providers(*models: Any) -> Callable[[World], tuple[Sent, ...]]:
    """Give a creation with each of these as the model behind it, and the id that it would have."""

    def served(found: Any) -> str:
        return found.partition("/")[2] if isinstance(found, str) else NEW

    return lambda w: tuple(new(w, {"litellm_params.model": each}, served(each)) for each in models)


def bodies(*found: bytes) -> Callable[[World], tuple[Sent, ...]]:
    """Give these bodies, for every route that takes one."""
    return lambda w: tuple(
        Sent(method, path, body)
        for body in found
        for method, path in (
            ("POST", "/model/new"),
            ("PATCH", f"/model/{w.mine}/update"),
            ("POST", "/model/delete"),
        )
    )


def raw(*heads: str, body: str = "") -> Callable[[World], tuple[Sent, ...]]:
    """Give requests as they are; `{token}`, `{mine}`, `{theirs}` stand for the pod's token and ids."""

    def sent(w: World, head: str) -> Sent:
        text = head.replace("\n", "\r\n") if "\r" not in head else head
        for mark, value in (
            ("{auth}", f"Authorization: Bearer {w.attacker.token}\r\nX-Registrar-Contract: 3"),
            ("{mine}", w.mine),
            ("{theirs}", theirs(w)),
        ):
            text = text.replace(mark, value)
        return Sent("", "", whole=text.encode("latin-1") + b"\r\n\r\n" + body.encode())

    return lambda w: tuple(sent(w, head) for head in heads)


def theirs(w: World) -> str:
    """Give the id of the victim's row."""
    return w.victim.id(model(w.victim))


def others(w: World) -> tuple[str, ...]:
    """Give ids of rows that are not the attacker's."""
    forged = row_id(CLUSTER, w.attacker.namespace, w.attacker.uid, "x")[:-1]
    pod = w.attacker
    return (
        theirs(w),
        w.neighbour.id(model(w.neighbour)),
        w.foreign,
        "config-row",
        HAND_MADE,
        "",
        w.prefix,
        forged,
        f"{forged}g",
        w.mine.upper(),
        f"{w.mine}\n",
        f"{w.mine}0",
        f"{pod_prefix(CLUSTER, w.victim.namespace, w.attacker.uid)}{'0' * 24}",
        row_id("another-cluster", pod.namespace, pod.uid, model(pod)),
        row_id(CLUSTER, pod.namespace, w.neighbour.uid, model(pod)),
    )


def in_path(key: str) -> bool:
    """Tell whether an id can be written into a target."""
    return bool(key) and "\n" not in key


def elsewhere(w: World) -> tuple[str, ...]:
    """Give addresses that are not the attacker's pod's own."""
    pod = w.attacker
    own = f"{pod.address}:{pod.port}"
    decimal = int.from_bytes(bytes(map(int, pod.address.split("."))))
    return (
        f"http://{w.neighbour.address}:{w.neighbour.port}/v1",
        f"http://{w.victim.address}:{w.victim.port}/v1",
        f"http://{METADATA}/latest/meta-data/iam/security-credentials",
        f"http://{METADATA}:{pod.port}/v1",
        w.proxy.urls[0],
        f"{w.proxy.urls[0]}/v1",
        f"http://{NODE}:10250/v1",
        f"http://{NODE}:{pod.port}/v1",
        f"http://127.0.0.1:{pod.port}/v1",
        f"http://localhost:{pod.port}/v1",
        "https://kubernetes.default.svc/v1",
        f"http://{pod.address}:{pod.port + 1}/v1",
        f"http://{pod.address}/v1",
        f"https://{own}/v1",
        f"HTTP://{own}/v1",
        f"http://{own}/v1/",
        f"http://{own}/v1/../admin",
        f"http://{own}/v1?x=/v1",
        f"http://{own}/v1#/v1",
        f"http://{own}@{METADATA}/v1",
        f"http://user@{own}/v1",
        f"http://{own}\\@{METADATA}/v1",
        f"http://{own}/v1\n",
        f" http://{own}/v1",
        f"http://{decimal}:{pod.port}/v1",
        f"http://[::ffff:{pod.address}]:{pod.port}/v1",
        f"http://{pod.address}.:{pod.port}/v1",
        "file:///etc/passwd",
        "",
        SECRET,
    )


def unsigned(w: World) -> str:
    """Give the victim's claims as a token that says to need no signature."""
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    return f"{head}.{w.victim.token.split('.')[1]}."


def spliced(w: World) -> str:
    """Give the victim's claims under the attacker's signature."""
    head, _, signature = w.attacker.token.split(".")
    return f"{head}.{w.victim.token.split('.')[1]}.{signature}"


def odd(what: str) -> Callable[[World], Sent]:
    """Give the honest creation of a row for one of the pods that get none."""

    def sent(w: World) -> Sent:
        pod = w.odd[what]
        return Sent("POST", "/model/new", pod.row(NEW), by=pod)

    return sent


def by(pod: Callable[[World], Caller]) -> Callable[[World], tuple[Sent, ...]]:
    """Give what is done with the attacker's own rows, with another pod's token."""
    return lambda w: (
        new(w, by=pod(w)),
        change(w, by=pod(w)),
        look(w.mine, by=pod(w)),
        delete(w.mine, by=pod(w)),
    )


def a(name: str, says: str, sent: Callable[[World], Any], *answered: str, writes: bool = False) -> Attack:
    """Give a row of the table."""
    return Attack(name, says, sent, frozenset(answered), writes)
