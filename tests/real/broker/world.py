"""What attacks on the broker are made from, how they are sent, and what they came to."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, Self

from sidecar.broker_contract import RULE_HEADER
from sidecar.row_contract import pod_prefix
from tests.injected import CLUSTER, injected
from tests.peers.broker import BrokerProcess, Caller, caller, injected_caller
from tests.peers.cluster import Cluster, wait_until
from tests.peers.proxy import LiteLLM, litellm
from tests.peers.scripts import FOLDER, loopback_address

JSON = dict[str, Any]

NODE: Final = "192.0.2.1"
METADATA: Final = "169.254.169.254"
# What is written into rows of others, to be found wherever it comes out.
SENTINEL: Final = "known-to-its-owner-alone"
HAND_MADE: Final = "hand-made"
CONFIGURED: Final = "from-config"
ALIAS: Final = "an-alias"
_NOWHERE: Final = "http://127.0.0.1:9/v1"
_CONFIG: Final = f"""model_list:
- model_name: {CONFIGURED}
  litellm_params: {{model: openai/configured, api_key: none, api_base: "{_NOWHERE}"}}
  model_info: {{id: config-row, mode: chat, note: {SENTINEL}}}
- {{model_name: "any-*-x", litellm_params: {{model: openai/any, api_key: none, api_base: "{_NOWHERE}"}}}}
router_settings:
  model_group_alias: {{{ALIAS}: {CONFIGURED}}}
"""
# Longer than the broker waits for a body, and for what it asks.
_SECONDS: Final = 120.0
_numbers = itertools.count(1)
# For a further answer.
_MORE_SECONDS: Final = 1.0
# The broker closes a connection that has been idle for 30 s.
_IDLE: Final = 10.0


@contextmanager
def attacked(folder: Path, logs: Path | None = None, replicas: int = 2) -> Iterator[LiteLLM]:
    """Run a LiteLLM with a row, a pattern and an alias in its configuration."""
    file = folder / "attacked.yaml"
    file.write_text((FOLDER / "litellm" / "config.yaml").read_text().replace("model_list: []\n", _CONFIG))
    with litellm(logs, replicas=replicas, reload_seconds=2, config=file) as proxy:
        yield proxy


@dataclass(frozen=True, slots=True)
class World:
    """Pods of two namespaces, rows of others, and the broker between them.

    `attacker` and `neighbour` share a namespace, `victim` is of another one; each has the row `model(pod)`.
    `odd` are pods of the attacker's namespace for which no row may be made, by what is wrong with them.
    `foreign` is the id of a row that somebody made by hand, called HAND_MADE.
    """

    cluster: Cluster
    proxy: LiteLLM
    broker: BrokerProcess
    attacker: Caller
    neighbour: Caller
    victim: Caller
    odd: Mapping[str, Caller]
    tokens: Mapping[str, str] = field(repr=False)
    foreign: str = ""

    @property
    def prefix(self) -> str:
        """How ids of the attacker's own rows begin."""
        return pod_prefix(CLUSTER, self.attacker.namespace, self.attacker.uid)

    @property
    def mine(self) -> str:
        """The id of the attacker's own row."""
        return self.attacker.id(model(self.attacker))

    def secrets(self) -> tuple[str, ...]:
        """Give what may come out nowhere, the pods' own tokens and keys of LiteLLM's among it."""
        pods = (self.attacker, self.neighbour, self.victim, *self.odd.values())
        keys = (self.proxy.key, self.broker.key_file.read_text(), f"key-{SENTINEL}")
        return (*keys, *(pod.token for pod in pods), *self.tokens.values())

    def of_others(self) -> dict[str, str]:
        """Give what tells of a row of others, to the row's id: these may be in no answer unless asked by."""
        tells = {key: key for key in (self.foreign, "config-row")}
        for pod in (self.neighbour, self.victim):
            key = pod.id(model(pod))
            tells |= {key: key, pod.address: key, pod.uid: key}
        return tells | {SENTINEL: "any"}


def model(pod: Caller) -> str:
    """Give the name of a pod's row."""
    return f"{pod.namespace}-{pod.name}"


@contextmanager
def world(cluster: Cluster, proxy: LiteLLM, broker: BrokerProcess) -> Iterator[World]:
    """Make it; at the end its namespaces and rows are gone."""
    number = next(_numbers)
    ours, theirs = cluster.namespace(f"attackers-{number}"), cluster.namespace(f"victims-{number}")
    pods = [
        injected_caller(cluster, namespace, name, loopback_address())
        for namespace, name in ((ours, "attacker"), (ours, "neighbour"), (theirs, "victim"))
    ]
    odd = _odd(cluster, ours)
    foreign = proxy.create(
        HAND_MADE,
        {"model": "openai/by-hand", "api_key": f"key-{SENTINEL}", "api_base": _NOWHERE},
        {"note": SENTINEL},
    )
    proxy.foreign = frozenset({foreign})
    attacker, neighbour, victim = pods
    tokens = {
        "expired": attacker.expired_token(),
        "of another audience": attacker.new_token(audience="https://kubernetes.default.svc.cluster.local"),
        "of no pod": attacker.new_token("--duration=10m"),
        "of a node": attacker.new_token("--bound-object-kind=Node", "--bound-object-name=fake"),
        "of a gone pod": _of_a_gone_pod(cluster, ours),
    }
    made = World(cluster, proxy, broker, attacker, neighbour, victim, odd, tokens, foreign)
    with broker.client() as client:
        for pod in pods:
            row = pod.row(model(pod), api_key=f"key-{SENTINEL}")
            if pod is not attacker:
                row["model_info"]["my-note"] = SENTINEL
            answer = pod.call(client, "POST", "/model/new", row)
            assert answer.status_code == 200, answer.text
    try:
        yield made
    finally:
        for namespace in (ours, theirs):
            cluster.kubectl("delete", "namespace", namespace, "--wait=false")
        proxy.remove_own_rows()


def _odd(cluster: Cluster, namespace: str) -> dict[str, Caller]:
    """Make pods that get no row."""
    on_node = injected(namespace, "on-node")
    on_node["spec"]["hostNetwork"] = True
    made = {"on its node's network": caller(cluster, on_node, NODE)}
    bare = injected(namespace, "bare")
    bare["spec"].pop("initContainers", None)
    bare["spec"]["containers"] = [each for each in bare["spec"]["containers"] if each["name"] == "vllm"]
    made["without a registrar"] = caller(cluster, bare, loopback_address())
    unlabelled = injected(namespace, "unlabelled")
    del unlabelled["metadata"]["labels"]
    made["without our label"] = caller(cluster, unlabelled, loopback_address())
    ended = injected_caller(cluster, namespace, "ended", loopback_address())
    _patch(ended, {"phase": "Succeeded"})
    made["whose IP may be another's"] = ended
    unborn = injected_caller(cluster, namespace, "unborn", loopback_address())
    _patch(unborn, {"podIP": None, "podIPs": None})
    made["without an IP"] = unborn
    leaving = injected_caller(cluster, namespace, "leaving", loopback_address())
    leaving.delete(grace=3600)
    made["that is being deleted"] = leaving
    return made


def _patch(pod: Caller, status: JSON) -> None:
    patch = json.dumps({"status": status})
    where = ("pod", pod.name, "-n", pod.namespace, "--subresource=status", "--type=merge")
    pod.cluster.kubectl("patch", *where, "-p", patch)


def _of_a_gone_pod(cluster: Cluster, namespace: str) -> str:
    """Give the token of a pod that is gone; another one has its name."""
    gone = injected_caller(cluster, namespace, "again", loopback_address())
    gone.delete()
    wait_until(
        "gone pod", 120, lambda: cluster.kubectl("get", "pod", "again", "-n", namespace, check=False).code
    )
    injected_caller(cluster, namespace, "again", loopback_address())
    return gone.token


# ---- requests


@dataclass(frozen=True, slots=True)
class Sent:
    """A request; `target` goes out as it is. Headers of None are left out of the honest ones.

    `whole` replaces all of it; `more` are headers that come beside others of their name.
    """

    method: str
    target: str
    body: Any = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    more: tuple[str, ...] = ()
    by: Caller | None = None
    whole: bytes | None = field(default=None, repr=False)

    def wire(self, attacker: Caller, host: str) -> bytes:
        """Give it as bytes."""
        if self.whole is not None:
            return self.whole
        body = self.body if isinstance(self.body, bytes) else b""
        if self.body is not None and not isinstance(self.body, bytes):
            body = json.dumps(self.body).encode()
        headers: dict[str, str | None] = {"Host": host, **(self.by or attacker).headers}
        if self.body is not None:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        headers |= self.headers
        lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
        head = "\r\n".join([f"{self.method} {self.target} HTTP/1.1", *lines, *self.more])
        return head.encode() + b"\r\n\r\n" + body


@dataclass(frozen=True, slots=True)
class Got:
    """An answer."""

    status: int
    rule: str
    text: str

    @property
    def word(self) -> str:
        """What the attack was answered: the rule, or the status where there is none."""
        return self.rule or str(self.status)


class Line:
    """The way to a broker, for bytes that no client would send."""

    def __init__(self, broker: BrokerProcess) -> None:
        self._trust = ssl.create_default_context(cadata=broker.bundle())
        self._address = broker.address, broker.port
        self.host = f"{broker.address}:{broker.port}"
        self._kept: _Connection | None = None
        self._used = 0.0

    def __enter__(self) -> Self:
        """Connect when there is something to send."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close what is open."""
        self._drop()

    def ask(self, data: bytes) -> list[Got]:
        """Send a request on the connection that there is, and give its answer; none if there is none."""
        if time.monotonic() - self._used > _IDLE:
            self._drop()
        self._kept = self._kept or self._open()
        with suppress(OSError, http.client.HTTPException):
            self._kept.send(data)
            got, last = self._kept.read(data)
            self._used = time.monotonic()
            if last:
                self._drop()
            return [got]
        self._drop()
        return []

    def flood(self, data: bytes) -> list[Got]:
        """Send this on a connection of its own, and give every answer until it ends."""
        found: list[Got] = []
        connection = self._open()
        with suppress(OSError, http.client.HTTPException):
            connection.send(data)
            while True:
                found.append(connection.read(data)[0])
                connection.hurry()
        connection.end()
        return found

    def _open(self) -> _Connection:
        plain = socket.create_connection(self._address, _SECONDS)
        return _Connection(self._trust.wrap_socket(plain, server_hostname=self._address[0]))

    def _drop(self) -> None:
        if self._kept is not None:
            self._kept.end()
            self._kept = None


class _Connection:
    """A socket whose one reading end several answers share."""

    def __init__(self, line: ssl.SSLSocket) -> None:
        self._line = line
        self._file = _Open(line.makefile("rb", buffering=0))

    def send(self, data: bytes) -> None:
        with suppress(OSError):  # it may be answered before it is read
            self._line.sendall(data)

    def read(self, sent: bytes) -> tuple[Got, bool]:
        """Give the next answer, and whether it is the last one."""
        method = sent.partition(b" ")[0].decode("latin-1")
        answer = http.client.HTTPResponse(self, method=method)  # type: ignore[arg-type]
        answer.begin()
        text = answer.read().decode(errors="replace")
        got = Got(answer.status, answer.getheader(RULE_HEADER, ""), text)
        # after what is no HTTP aiohttp ends a connection without a word
        return got, answer.getheader("Connection") == "close" or (got.status >= 400 and not got.rule)

    def hurry(self) -> None:
        self._line.settimeout(_MORE_SECONDS)

    def makefile(self, _mode: str) -> BufferedReader:
        return self._file

    def end(self) -> None:
        self._file.finish()
        self._line.close()


class _Open(BufferedReader):
    """Stays open when one answer has been read."""

    def close(self) -> None:
        """Stay open for the next one."""

    def finish(self) -> None:
        """Close it."""
        super().close()


# ---- what came of them


@dataclass(frozen=True, slots=True)
class Attack:
    """What is tried, in a sentence; the rule, or status, by which each of its requests is answered.

    `writes`: it may change rows of its own, and no others.
    """

    name: str
    says: str
    sent: Callable[[World], Sent | tuple[Sent, ...]]
    answered: frozenset[str]
    writes: bool = False


def run(attack: Attack, made: World, line: Line) -> list[tuple[bytes, Got]]:
    """Carry it out; give what was sent and each answer to it."""
    made_up = attack.sent(made)
    found = []
    for sent in made_up if isinstance(made_up, tuple) else (made_up,):
        wire = sent.wire(made.attacker, line.host)
        send = line.ask if sent.whole is None else line.flood
        found += [(wire, got) for got in send(wire)]
    return found


def reached(
    attack: Attack,
    made: World,
    got: list[tuple[bytes, Got]],
    before: Mapping[str, str],
    after: Mapping[str, str],
) -> list[str]:
    """Name every row beyond its own that an attack wrote or read.

    `before` and `after` are all rows in the database. A row of its own that says of itself what is not so, or
    has a name or address of others, is one beyond its own too.
    """
    differs = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    own = {key for key in differs if attack.writes and key.startswith(made.prefix)}
    found = [f"{key} was written" for key in sorted(differs - own)]
    for key in sorted(own & after.keys()):
        found += [f"{key}: {what}" for what in untrue(made, key)]
    for wire, answer in got:
        for tell, key in made.of_others().items():
            if tell in answer.text and tell.encode() not in wire:
                found.append(f"{key} was read: {tell}")
    return found


def untrue(made: World, key: str) -> Iterator[str]:
    """Tell what a row of the attacker's says that is not so."""
    pod = made.attacker
    shown = made.proxy.call("GET", f"/v2/model/info?modelId={key}&size=1").json()["data"]
    for row in shown:
        block = row["model_info"].get("registrar", {})
        wanted = {
            "cluster": CLUSTER,
            "namespace": pod.namespace,
            "pod": pod.name,
            "pod_uid": pod.uid,
            "node": "fake",
        }
        if {name: block.get(name) for name in wanted} != wanted:
            yield f"is said to be of {block}"
        if row["litellm_params"].get("api_base") != f"http://{pod.address}:{pod.port}/v1":
            yield f"is at {row['litellm_params'].get('api_base')}"
        if row["model_name"] in {CONFIGURED, HAND_MADE, ALIAS, model(made.victim)}:
            yield f"is called {row['model_name']}"
