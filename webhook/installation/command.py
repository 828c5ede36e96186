"""The commands `selftest`, `uninstall prepare` and `uninstall clean-up`: their flags, and what they run."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from webhook.config import ConfigError
from webhook.flags import SettingsError
from webhook.log import Log

if TYPE_CHECKING:
    from webhook.kube.api import Api

Flags = tuple[tuple[str, str, bool], ...]

# Seconds for the API server to say what this cluster is called.
_PATIENCE: Final = 10.0

_KUBECONFIG: Flags = (
    ("--kubeconfig", "the file; else the pod's ServiceAccount, $KUBECONFIG or ~/.kube/config", False),
    ("--context", "the kubeconfig's context", False),
)
_SELFTEST: Flags = (("--namespace", "where a labelled pod is tried; not the webhook's own", True),)
_PREPARE: Flags = (("--webhook-configurations", "their names, with commas between", True),)
_CLEAN_UP: Flags = (
    ("--namespace", "where webhook and broker were", True),
    ("--pods", "labels of their pods (a selector), whose end is awaited first", False),
    ("--secrets", "names of Secrets to remove, with commas between", False),
    ("--config-maps", "names of ConfigMaps to remove", False),
    ("--leases", "names of Leases to remove; those that claim names of models go with them", False),
    ("--litellm-url", "LiteLLM's address", True),
    ("--litellm-key-file", "file with its key", True),
    ("--litellm-ca", "PEM file that LiteLLM's certificate is verified by; empty: the system's", False),
    ("--cluster-id", "whose rows are removed; empty: the uid of the namespace kube-system", False),
)


def add(commands: Any) -> None:
    """Add the commands to a parser's."""
    test = commands.add_parser(
        "selftest",
        help="see whether a pod that is made now would get its registrar",
        description="Make a labelled pod as a dry run, and see whether it comes back with a registrar; then "
        "whether the broker answers as that registrar would ask it. Exit code 1 if not.",
        allow_abbrev=False,
    )
    _take(test, _SELFTEST, _selftest)
    uninstall = commands.add_parser(
        "uninstall", help="what an uninstall does before and after", allow_abbrev=False
    )
    actions = uninstall.add_subparsers(title="commands", required=True, metavar="COMMAND")
    first = actions.add_parser(
        "prepare",
        help="remove the webhook configurations, and say which pods live on",
        description="Remove the webhook configurations before the webhook goes, and say how many injected "
        "pods live on. What cannot be done is said; the exit code is 0 all the same.",
        allow_abbrev=False,
    )
    _take(first, _PREPARE, _prepare)
    last = actions.add_parser(
        "clean-up",
        help="remove this cluster's rows from LiteLLM, and what the processes have made",
        description="Remove the rows of this cluster's registrars from LiteLLM, and the Secrets, ConfigMaps "
        "and Leases that webhook and broker have made. For when both are gone. Exit code 1 if something is "
        "left.",
        allow_abbrev=False,
    )
    _take(last, _CLEAN_UP, _clean_up)


def _take(parser: argparse.ArgumentParser, flags: Flags, run: Callable[..., int]) -> None:
    for flag, meaning, required in (*flags, *_KUBECONFIG):
        parser.add_argument(flag, default="", metavar="X", help=meaning, required=required)
    parser.set_defaults(run=run)


def _selftest(given: argparse.Namespace, _: Mapping[str, str]) -> int:
    from webhook.installation.selftest import selftest  # noqa: PLC0415 - takes a while to import

    return _asked(given, lambda api: selftest(api, given.namespace, print))


def _prepare(given: argparse.Namespace, _: Mapping[str, str]) -> int:
    from webhook.installation.uninstall import prepare  # noqa: PLC0415 - takes a while to import

    _asked(given, lambda api: prepare(api, _names(given.webhook_configurations), print))
    return 0


def _clean_up(given: argparse.Namespace, _: Mapping[str, str]) -> int:
    return _asked(given, partial(_removed, given))


async def _removed(given: argparse.Namespace, api: Api) -> bool:
    from webhook.installation.uninstall import ended, remove_objects  # noqa: PLC0415 - takes a while to import

    if given.pods:
        await ended(api, given.namespace, given.pods, print)
    rows = await _rows_removed(given, api)
    names = {
        "secrets": _names(given.secrets),
        "configmaps": _names(given.config_maps),
        "leases": _names(given.leases),
    }
    return await remove_objects(api, given.namespace, names, print) and rows


async def _rows_removed(given: argparse.Namespace, api: Api) -> bool:
    from webhook.broker.upstream import Upstream, read_key, trust  # noqa: PLC0415 - takes a while to import
    from webhook.installation.uninstall import remove_rows  # noqa: PLC0415 - the same
    from webhook.kube.identity import cluster_uid  # noqa: PLC0415 - the same

    try:
        key = read_key(await asyncio.to_thread(Path(given.litellm_key_file).read_text))
        tls = trust(given.litellm_ca)
    except (OSError, ValueError, ConfigError) as error:
        raise SettingsError([f"--litellm-key-file, --litellm-ca: {error}"]) from None
    try:
        async with asyncio.timeout(_PATIENCE):
            cluster = given.cluster_id or await cluster_uid(api, Log(sys.stdout))
    except TimeoutError:
        print("No row is removed: this cluster's id is not known")  # noqa: T201 - beside what else it says
        return False
    async with Upstream(given.litellm_url, tls) as upstream:
        upstream.use(key)
        return await remove_rows(upstream, cluster, print)


def _asked(given: argparse.Namespace, ask: Callable[[Api], Awaitable[bool | None]]) -> int:
    """Ask by a connection of its own, and give the exit code: 1 for a failure, which is said."""
    from webhook.kube.api import Api, ApiError  # noqa: PLC0415 - takes a while to import

    async def connected() -> bool | None:
        api = await Api.connect(given.kubeconfig, given.context)
        try:
            return await ask(api)
        finally:
            await api.close()

    try:
        return 0 if asyncio.run(connected()) else 1
    except ApiError as error:
        print(f"The Kubernetes API: {error}")  # noqa: T201 - beside what else it says
        return 1


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
