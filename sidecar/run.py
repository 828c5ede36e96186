"""Puts the registrar together and runs it until it is told to end."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import fields
from typing import Any, Final

import httpx

from sidecar.access import Access, ByKey, Failed
from sidecar.agent import Agent
from sidecar.broker_access import ByToken
from sidecar.broker_contract import StateReport
from sidecar.clock import SystemClock
from sidecar.contract import (
    CONTRACT_VERSION,
    DEFAULT_PORT,
    ENV_CONTRACT,
    ENV_POD_IP,
    ContractError,
    Credentials,
    LogFormat,
    PodIdentity,
    Settings,
)
from sidecar.drain import PRE_STOP
from sidecar.ending import Ending
from sidecar.endpoint import Endpoint
from sidecar.fate import Fate
from sidecar.keeper import Keeper
from sidecar.litellm import LiteLLM
from sidecar.log import Bridge, Log, Word, stamp
from sidecar.metrics import Metrics
from sidecar.problems import Problems
from sidecar.reasons import Reason
from sidecar.reporting import Reporting
from sidecar.servers.server import ModelServer
from sidecar.sockets import ServerSockets
from sidecar.state_reports import state_report
from sidecar.token_file import TokenFile
from sidecar.traffic import Traffic

_ENV: Final[Mapping[str, str]] = {field.name: field.metadata["env"] for field in fields(Settings)}
_ENDPOINT: Final = "endpoint"
_CONTRACT: Final = "contract"
_NONCE: Final = "nonce"
_LISTEN_AGAIN: Final = 5.0
# Without settings there is no ready-timeout either: seconds.
_READY_TIMEOUT: Final = 120.0
# LiteLLM's uvicorn closes idle connections after 5 s: ours go first, so that no request meets a closing one.
_LIMITS: Final = httpx.Limits(max_connections=16, max_keepalive_connections=4, keepalive_expiry=4.0)


async def run(environ: Mapping[str, str]) -> None:
    """Be the registrar of the pod this environment describes; returns when told to end by a signal."""
    credentials = Credentials.from_env(environ)
    try:
        settings, identity = Settings.from_env(environ), PodIdentity.from_env(environ)
        credentials.check()
    except ContractError as error:
        await _live_on(environ, credentials, str(error))
        return
    await _serve(settings, identity, credentials)


async def _serve(settings: Settings, identity: PodIdentity, credentials: Credentials) -> None:
    log, clock = _log(settings.log_format, (*_secrets(credentials), settings.nonce)), SystemClock()
    problems, metrics = Problems(log, clock), Metrics()
    problems.tell(metrics.said)
    log.event(
        Word.STARTED,
        "The registrar watches the model server of this pod",
        pod=f"{identity.namespace}/{identity.pod}",
        server=settings.engine,
        **{"litellm" if credentials.token_file is None else "broker": credentials.litellm_url},
    )
    if settings.contract > CONTRACT_VERSION:
        problems.say(_CONTRACT, Reason.CONTRACT_NEWER, theirs=settings.contract, ours=CONTRACT_VERSION)
    async with AsyncExitStack() as clients:
        client, servers, access = await _ways(settings, credentials, log, clients)
        api = LiteLLM(client, access)
        api.tell(metrics.answered)
        keeper = Keeper(api, problems=problems, log=log, clock=clock, random=random.random)
        by_broker = credentials.token_file is not None
        fate = Fate(api.pod if by_broker else None, clock)
        server = ModelServer(settings, identity, credentials, servers)
        server.tell(metrics.looked, metrics.probed)
        traffic = Traffic(server, ServerSockets(settings.port), lambda: endpoint.probers)
        agent = Agent(
            settings,
            identity,
            server,
            keeper,
            traffic,
            fate=fate,
            api_key=credentials.server_api_key,
            problems=problems,
            log=log,
            clock=clock,
        )
        agent.tell(metrics.drained)
        reporting = _reporting(api, agent, keeper, problems, clock)
        metrics.follow(agent, keeper)
        endpoint = _endpoint(settings.nonce, agent, problems, metrics)
        ending = Ending(agent, keeper, problems=problems, log=log, clock=clock)
        _on_signals(ending.signal)
        tasks = [
            asyncio.create_task(agent.run(), name="agent"),
            asyncio.create_task(_listen(endpoint, identity.pod_ip, settings.listen_port, problems)),
        ]
        if by_broker:
            tasks.append(asyncio.create_task(reporting.run(), name="reports"))
        await ending.over()
        if by_broker:
            await reporting.last_word()
        await endpoint.stop()
        await keeper.stop()
        await _cancel(tasks)


def _reporting(
    api: LiteLLM, agent: Agent, keeper: Keeper, problems: Problems, clock: SystemClock
) -> Reporting:
    def read() -> StateReport:
        return state_report(
            agent.state, keeper.entries, problems.current(), routable=agent.routable, outcome=agent.outcome
        )

    reporting = Reporting(read, api.report, problems=problems, clock=clock, random=random.random)
    agent.follow(reporting.changed)
    return reporting


def _endpoint(nonce: str, agent: Agent, problems: Problems, metrics: Metrics) -> Endpoint:
    async def drain() -> Mapping[str, Any]:
        outcome = await agent.drain(PRE_STOP)
        return {"end": outcome.end, "cut": outcome.cut, "rows_left": outcome.rows_left}

    return Endpoint(
        nonce,
        drain=drain,
        ready=agent.ready,
        status=agent.status,
        metrics=metrics.page,
        wrong_nonce=lambda peer: problems.say(_NONCE, Reason.WRONG_NONCE, peer=peer),
    )


async def _live_on(environ: Mapping[str, str], credentials: Credentials, wrong: str) -> None:
    """Do nothing, well: a registrar that exits makes its pod unready for ever."""
    log, clock = _log(LogFormat.TEXT, _secrets(credentials)), SystemClock()
    newer = environ.get(ENV_CONTRACT, "").isdecimal() and int(environ[ENV_CONTRACT]) > CONTRACT_VERSION
    reason = Reason.CONTRACT_NEWER if newer else Reason.CONTRACT_BAD
    problems, metrics = Problems(log, clock), Metrics()
    problems.tell(metrics.said)
    problems.say(_CONTRACT, reason, wrong)
    began, since = clock.now(), clock.today()

    async def drain() -> Mapping[str, Any]:
        return {"end": "nothing_to_drain"}

    endpoint = Endpoint(
        environ.get(_ENV["nonce"], ""),
        drain=drain,
        ready=lambda: clock.now() - began >= _READY_TIMEOUT,
        status=lambda: {"state": reason, "since": stamp(since), "detail": wrong},
        metrics=metrics.page,
        wrong_nonce=lambda _peer: None,
    )
    told = asyncio.Event()
    _on_signals(told.set)
    port = environ.get(_ENV["listen_port"], "")
    listening = asyncio.create_task(
        _listen(
            endpoint, environ.get(ENV_POD_IP, ""), int(port) if port.isdecimal() else DEFAULT_PORT, problems
        )
    )
    await told.wait()
    await endpoint.stop()
    await _cancel([listening])


async def _listen(endpoint: Endpoint, host: str, port: int, problems: Problems) -> None:
    """Open the registrar's own port, however long it takes to get it."""
    while True:
        try:
            await endpoint.start(host, port)
        except (OSError, OverflowError) as error:
            problems.say(_ENDPOINT, Reason.PORT_IN_USE, str(error), port=port)
            await asyncio.sleep(_LISTEN_AGAIN)
        else:
            problems.clear(_ENDPOINT)
            return


def _log(form: LogFormat, secrets: Sequence[str]) -> Log:
    def write(line: str) -> None:
        sys.stdout.write(line)
        sys.stdout.flush()

    log = Log(write, SystemClock().today, form=form, secrets=secrets)
    logging.basicConfig(level=logging.WARNING, handlers=[Bridge(log)], force=True)
    return log


async def _ways(
    settings: Settings, credentials: Credentials, log: Log, clients: AsyncExitStack
) -> tuple[httpx.AsyncClient, httpx.AsyncClient, Access]:
    """Open the way to LiteLLM and the one to the model server: one client unless they trust differently.

    A broker's certificates are of an authority of its own, and nothing else is trusted to be the broker.
    """

    async def client(tls: ssl.SSLContext) -> httpx.AsyncClient:
        opened = httpx.AsyncClient(verify=tls, limits=_LIMITS, trust_env=False)
        return await clients.enter_async_context(opened)

    url, ca = credentials.litellm_url, credentials.litellm_ca
    if credentials.token_file is None:
        tls, bad_tls = _tls(settings, credentials)
        only = await client(tls)
        return only, only, ByKey(url, credentials.litellm_key, bad_tls)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bad_tls = _trust(tls, ca, Reason.BROKER_BAD_CA)
    broker = await client(tls)
    server = await client(ssl.create_default_context()) if settings.scheme == "https" else broker
    return broker, server, ByToken(url, TokenFile(credentials.token_file, log.conceal), bad_tls)


def _tls(settings: Settings, credentials: Credentials) -> tuple[ssl.SSLContext, Failed | None]:
    """Make the one TLS context: the system's authorities and LiteLLM's, read only if TLS is spoken at all."""
    litellm = (credentials.litellm_url or "").startswith("https:")
    if settings.scheme != "https" and not litellm:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), None
    context = ssl.create_default_context()
    if litellm and credentials.litellm_ca is not None:
        return context, _trust(context, credentials.litellm_ca, Reason.LITELLM_BAD_CA)
    return context, None


def _trust(context: ssl.SSLContext, authorities: str | None, reason: Reason) -> Failed | None:
    try:
        context.load_verify_locations(cadata=authorities or "")
    except (ssl.SSLError, ValueError, TypeError) as error:  # the last two: empty, not ASCII
        return Failed(reason, str(error))
    return None


def _secrets(credentials: Credentials) -> tuple[str, ...]:
    """Give what must never be written: the keys, and a user and password in LiteLLM's address."""
    authority = (credentials.litellm_url or "").partition("://")[2].partition("/")[0]
    return (*credentials.secrets(), authority.rpartition("@")[0])


def _on_signals(handle: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handle)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
