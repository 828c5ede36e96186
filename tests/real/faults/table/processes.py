"""Faults of our own processes: registrars, brokers, webhook, killed at any step or frozen."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import partial
from typing import Final

from tests.peers.admitted import has_registrar
from tests.peers.broker import BrokerProcess
from tests.peers.cluster import wait_until
from tests.real.faults.fault import BROKER, Fault, Inflict
from tests.real.faults.lives import Life, Mode
from tests.real.faults.meddler import Call
from tests.real.faults.table.striking import Kill, killed_at, stopped
from tests.real.faults.world import World

# ---- registrars


def each_registrar(world: World) -> list[Life]:
    """Give every pod whose registrar runs."""
    return [life for life in world.lives() if life.process is not None]


@contextmanager
def registrars_killed(world: World) -> Iterator[None]:
    """Kill every registrar but those that drain, in the midst of what it does; kubelets start them again."""
    yield
    for life in each_registrar(world):
        if life.lives:
            life.crash()


def registrar_killed_at(kind: str, *, done: bool) -> Inflict:
    """Kill a pod's registrar when its write has reached LiteLLM, or is done; each pod's once."""

    def victim(world: World, call: Call) -> tuple[str, Kill] | None:
        life = world.of_row(call.row)
        return None if life is None else (life.name, life.crash)

    return killed_at(kind, victim, done=done)


@contextmanager
def registrars_frozen(world: World) -> Iterator[None]:
    """Stop every registrar for a while, as a node without processor time does."""
    yield
    frozen = each_registrar(world)
    for life in frozen:
        life.signal(signal.SIGSTOP)
    time.sleep(8)
    for life in frozen:
        life.signal(signal.SIGCONT)


@contextmanager
def registrar_without_hook(world: World) -> Iterator[None]:
    """End registrars by SIGTERM alone, as where the kubelet could not call the hooks."""
    lost = world.belts[Mode.BROKER][2], world.belts[Mode.DIRECT][2]
    yield
    for life in lost:
        life.lives = False
        life.signal(signal.SIGTERM)
    for life in lost:
        assert life.process is not None
        life.process.wait(200)
        life.end()
        world.drop(life)


# ---- brokers


@contextmanager
def brokers_killed(world: World) -> Iterator[None]:
    """Kill every broker; their Deployment starts them again."""
    _kill(world)
    yield
    _start(world)


def broker_killed_at(kind: str, *, done: bool) -> Inflict:
    """Kill both brokers when a write has reached LiteLLM, or when it is done."""
    return killed_at(kind, lambda world, _: ("brokers", partial(_kill, world)), done=done, mend=_start)


@contextmanager
def brokers_frozen(world: World) -> Iterator[None]:
    """Stop every broker for a while, for longer than its Lease lasts."""
    for broker in world.brokers:
        os.kill(broker.pid, signal.SIGSTOP)
    yield
    for broker in world.brokers:
        os.kill(broker.pid, signal.SIGCONT)


@contextmanager
def brokers_replaced(world: World) -> Iterator[None]:
    """Replace one broker after the other, as a rollout does."""
    for broker in world.brokers:
        broker.stop()
        broker.start()
    yield


@contextmanager
def broker_key_lost(world: World) -> Iterator[None]:
    """Give the brokers a key that LiteLLM does not know."""
    before = [broker.key_file.read_text() for broker in world.brokers]
    for broker in world.brokers:
        said = len(broker.lines())
        broker.key_file.write_text("sk-nobody-knows-this")
        # it looks at its file from time to time, and then at what the key can do
        wait_until("broker with that key", 90, lambda: _tells_of_key(broker, said))  # noqa: B023 - at once
    yield
    for broker, key in zip(world.brokers, before, strict=True):
        broker.key_file.write_text(key)


def _tells_of_key(broker: BrokerProcess, since: int) -> bool:
    return any("LiteLLM does not know it" in line["message"] for line in broker.lines()[since:])


def _kill(world: World) -> None:
    for broker in world.brokers:
        broker.kill()


def _start(world: World) -> None:
    for broker in world.brokers:
        broker.start()


# ---- the webhook, which pods meet once: when they are made


def made_without(broken: Callable[[World], AbstractContextManager[None]]) -> Inflict:
    """Make a pod while the webhook cannot answer: it comes without a registrar, and has no row.

    When the webhook is back it says so; whoever made the pod makes it again.
    """

    @contextmanager
    def inflict(world: World) -> Iterator[None]:
        with broken(world):
            missed = world.other(serves=False)
            assert not has_registrar(missed.manifest)
            yield
        world.wait_for_said("missed")
        missed.end()
        world.drop(missed)
        world.other()

    return inflict


@contextmanager
def webhook_killed(world: World) -> Iterator[None]:
    """Kill the webhook, and start it again."""
    world.webhook.kill()
    yield
    world.webhook.start()


@contextmanager
def webhook_frozen(world: World) -> Iterator[None]:
    """Stop the webhook for a while: the API server waits for it until its time is over."""
    with stopped(world.webhook.pid):
        yield


@contextmanager
def webhook_expired(world: World) -> Iterator[None]:
    """Have the webhook answer by a certificate that the API server does not take any more."""
    world.webhook.kill()  # the API server keeps connections, which outlive a certificate
    world.webhook.renew(timedelta(seconds=20))
    world.webhook.start()
    world.wait_for_said("The certificate that is served has ended")
    yield
    world.webhook.renew()
    world.wait_for_said("A certificate that has not ended is served again")


FAULTS: Final = (
    Fault(
        "registrars_killed",
        "Every registrar is killed in the midst of what it does.",
        registrars_killed,
        bounded=True,
    ),
    Fault(
        "registrar_killed_before_creation",
        "A registrar is killed when its creation was sent and is not done.",
        registrar_killed_at("create", done=False),
    ),
    Fault(
        "registrar_killed_after_creation",
        "A registrar is killed when its row is made and it does not know.",
        registrar_killed_at("create", done=True),
        bounded=True,
    ),
    Fault(
        "registrar_killed_before_change",
        "A registrar is killed when its change was sent and is not done.",
        registrar_killed_at("change", done=False),
    ),
    Fault(
        "registrar_killed_after_change",
        "A registrar is killed when its change is done and it does not know.",
        registrar_killed_at("change", done=True),
    ),
    Fault(
        "registrar_killed_before_deletion",
        "A registrar is killed in its drain before its row is deleted: only the reaper is left to do it.",
        registrar_killed_at("delete", done=False),
        "pod_gone",
        modes=BROKER,
    ),
    Fault(
        "registrar_killed_after_deletion",
        "A registrar is killed in its drain when its row is deleted.",
        registrar_killed_at("delete", done=True),
    ),
    Fault(
        "registrars_frozen", "Every registrar stands still for eight seconds.", registrars_frozen, seconds=1
    ),
    Fault(
        "registrar_without_hook",
        "Registrars get SIGTERM, and nobody has called their hooks.",
        registrar_without_hook,
        bounded=True,
    ),
    Fault(
        "brokers_killed",
        "Both brokers are killed.",
        brokers_killed,
        "broker_unreachable",
        BROKER,
        8,
        bounded=True,
    ),
    Fault(
        "broker_killed_before_creation",
        "The brokers are killed when a creation has left them and is not done.",
        broker_killed_at("create", done=False),
        modes=BROKER,
    ),
    Fault(
        "broker_killed_after_creation",
        "The brokers are killed when a row is made and nobody knows.",
        broker_killed_at("create", done=True),
        modes=BROKER,
        bounded=True,
    ),
    Fault(
        "broker_killed_after_change",
        "The brokers are killed when a row is changed and nobody knows.",
        broker_killed_at("change", done=True),
        modes=BROKER,
    ),
    Fault(
        "broker_killed_after_deletion",
        "The brokers are killed when a row is deleted and nobody knows.",
        broker_killed_at("delete", done=True),
        modes=BROKER,
    ),
    Fault(
        "brokers_frozen",
        "Both brokers stand still for longer than a creation may take.",
        brokers_frozen,
        "broker_no_answer|broker_unreachable",
        BROKER,
        34,
    ),
    Fault(
        "brokers_replaced",
        "One broker after the other is replaced, as by a rollout.",
        brokers_replaced,
        "",
        BROKER,
    ),
    Fault(
        "broker_key_lost",
        "The brokers' key is changed to one that LiteLLM does not know.",
        broker_key_lost,
        "broker_wrong_key",
        BROKER,
        12,
    ),
    Fault(
        "webhook_killed",
        "The webhook is killed, and pods are made meanwhile.",
        made_without(webhook_killed),
        "missed",
        BROKER,
        1,
        afterwards=True,
    ),
    Fault(
        "webhook_frozen",
        "The webhook stands still, and pods are made meanwhile.",
        made_without(webhook_frozen),
        "missed",
        BROKER,
        1,
        afterwards=True,
    ),
    Fault(
        "webhook_certificate_expired",
        "The webhook's certificate ends, and pods are made meanwhile.",
        made_without(webhook_expired),
        "The certificate that is served has ended",
        BROKER,
        1,
    ),
)
