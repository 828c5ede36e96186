"""Hostile tenants: the table of attacks, against a broker with real tokens and a real LiteLLM."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from tests.peers.broker import BrokerProcess
from tests.peers.cluster import Cluster
from tests.peers.proxy import LiteLLM
from tests.peers.require import require
from tests.peers.scripts import HOW_TO_GET, not_installed
from tests.real.broker.attacks import ATTACKS
from tests.real.broker.attacks.making import NEW
from tests.real.broker.world import (
    Attack,
    Got,
    Line,
    Sent,
    World,
    attacked,
    model,
    reached,
    run,
    untrue,
    world,
)
from webhook.broker.key_abilities import ROUTES

pytestmark = [pytest.mark.real, pytest.mark.kube, pytest.mark.timeout(900)]

FUZZED: Final = 10_000
RACES: Final = 5
# What an honest registrar may put there too.
HARMLESS: Final = ("api_key", "mode", "version", "server", "owner", "unknown")


@pytest.fixture(scope="module")
def litellm(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiteLLM]:
    """Give two replicas that nobody else uses."""
    require(HOW_TO_GET, not_installed("litellm"))
    with attacked(tmp_path_factory.mktemp("attacked"), logs) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def brokers(
    cluster: Cluster, litellm: LiteLLM, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[BrokerProcess, BrokerProcess]]:
    """Give two replicas of the broker, each before a replica of LiteLLM; they take any rate of calls."""
    key = litellm.make_key(allowed_routes=[*ROUTES])
    flags = ("--pod-rate", "100000", "--namespace-rate", "100000")
    first, second = (
        BrokerProcess(cluster, url, key, tmp_path_factory.mktemp("attacked-broker"), *flags)
        for url in litellm.urls
    )
    for each in (first, second):
        each.start()
    yield first, second
    for each in (first, second):
        each.stop()


@pytest.fixture(scope="module")
def made(cluster: Cluster, litellm: LiteLLM, brokers: tuple[BrokerProcess, BrokerProcess]) -> Iterator[World]:
    """Give pods, and rows of others."""
    with world(cluster, litellm, brokers[0]) as it:
        yield it


@pytest.fixture(scope="module")
def line(made: World) -> Iterator[Line]:
    """Give the way to the first broker."""
    with Line(made.broker) as it:
        yield it


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_reaches_nothing(attack: Attack, made: World, line: Line) -> None:
    """It is answered as the table says, by no fault of ours, without a secret; and no row of others moves."""
    before = made.proxy.stored()
    got = run(attack, made, line)
    assert got, "no answer at all"
    assert {answer.word for _, answer in got} <= attack.answered, [
        (wire[-300:], answer) for wire, answer in got
    ]
    assert [secret for secret in made.secrets() if told(secret, got)] == []
    assert reached(attack, made, got, before, made.proxy.stored()) == []


def told(secret: str, got: list[tuple[bytes, Got]]) -> bool:
    """Tell whether a secret is in an answer to a request that was without it."""
    return any(secret in answer.text and secret.encode() not in wire for wire, answer in got)


def test_two_namespaces_never_get_one_name(made: World, brokers: tuple[BrokerProcess, BrokerProcess]) -> None:
    """Through two replicas of broker and LiteLLM at the same moment: one has it, the other is refused."""
    rivals = (made.attacker, made.victim)
    with brokers[0].client() as first, brokers[1].client() as second, ThreadPoolExecutor(2) as pool:
        for number in range(RACES):
            name = f"race-{number}"
            calls = [
                pool.submit(pod.call, client, "POST", "/model/new", pod.row(name))
                for pod, client in zip(
                    rivals, (first, second) if number % 2 else (second, first), strict=True
                )
            ]
            answers = [call.result() for call in calls]
            assert sorted(answer.status_code for answer in answers) == [200, 403], [
                each.text for each in answers
            ]
            stored = made.proxy.stored()
            assert [pod.id(name) in stored for pod in rivals] == [each.status_code == 200 for each in answers]


def fuzzed(made: World, count: int) -> Iterator[Sent]:
    """Give honest bodies of the attacker's with something of them changed, the same each time."""
    dice = random.Random(6)  # noqa: S311 - no secret
    honest = [made.attacker.row(NEW), made.attacker.row(model(made.attacker)), {"id": made.mine}]
    theirs = json.dumps(made.victim.row(model(made.victim)))
    for _ in range(count):
        body = dice.choice(honest)
        path = "/model/delete" if "id" in body else "/model/new"
        method = "POST"
        if body is honest[1] and dice.random() < 0.5:
            method, path = "PATCH", f"/model/{made.mine}/update"
        text = bytearray(json.dumps(mutated(body, dice, made)).encode())
        for _ in range(dice.choice((0, 0, 0, 0, 0, 1, 3))):
            at = dice.randrange(len(text))
            piece = dice.choice(
                (b"", b"\x00", b"\xff", b'"', b"{", b"}", b"[", b",", b"\\u0000", theirs.encode())
            )
            text[at : at + dice.choice((0, 1, 5))] = piece
        yield Sent(method, path, bytes(text))


def mutated(body: Any, dice: random.Random, made: World) -> Any:
    """Change one place of a body that an honest registrar sends, so that it is honest no more."""
    found = json.loads(json.dumps(body))
    places: list[tuple[Any, Any]] = []
    level = [found]
    while level:
        at = level.pop()
        keys = list(at) if isinstance(at, dict) else range(len(at))
        places += [(at, key) for key in keys]
        level += [at[key] for key in keys if isinstance(at[key], dict | list)]
    at, key = dice.choice([place for place in places if place[1] not in HARMLESS])
    others = (made.victim.address, made.victim.uid, made.victim.id(model(made.victim)), model(made.victim))
    odd: tuple[Any, ...] = (
        None,
        True,
        -1,
        10**40,
        1.5,
        "",
        "*",
        "os.environ/X",
        [],
        {},
        [[]],
        {"a": {"b": []}},
        "x" * 5000,
        "\u202e",
    )
    at[key] = dice.choice((*others, *odd))
    if dice.random() < 0.2:
        found[dice.choice(("blocked", "id", "model_id", "team_id", "litellm_params"))] = dice.choice(
            (*others, *odd)
        )
    return found


def test_fuzzed_bodies_reach_nothing(made: World, brokers: tuple[BrokerProcess, BrokerProcess]) -> None:
    """Of 10,000 bodies that are nearly honest none is answered by a fault, or writes what it should not."""
    before = made.proxy.stored()
    words: Counter[str] = Counter()
    with Line(brokers[1]) as line:
        for sent in fuzzed(made, FUZZED):
            wire = sent.wire(made.attacker, line.host)
            (answer,) = line.ask(wire)
            words[answer.word] += 1
            # a row that is there already is a fault of LiteLLM's, which is passed on
            assert answer.status < 500 or not answer.rule, (wire, answer)
            assert not [secret for secret in made.secrets() if told(secret, [(wire, answer)])]
    print(dict(words))
    after = made.proxy.stored()
    differs = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert {key for key in differs if not key.startswith(made.prefix)} == set()
    assert [what for key in differs for what in untrue(made, key)] == []


def test_no_secret_is_in_lines_events_or_metrics(
    made: World, brokers: tuple[BrokerProcess, BrokerProcess], cluster: Cluster
) -> None:
    """After all that: no token, key of LiteLLM's or server's, in what the brokers wrote for people."""
    texts = [broker.log.read_text() + broker.health("/metrics").text for broker in brokers]
    texts += [cluster.kubectl("get", "events,leases", "-A", "-o", "json").out]
    assert "row_id" in texts[2]
    assert [secret for secret in made.secrets() for text in texts if secret in text] == []
    failed = [line for broker in brokers for line in broker.lines() if line["event"] == "failed"]
    assert failed == []
