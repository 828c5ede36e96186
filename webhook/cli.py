"""The command line: `python -m webhook serve`, `broker`, `check`, `policy lint` and others."""

from __future__ import annotations

import argparse
import asyncio
import io
import logging
import os
import sys
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import fields
from typing import Any

from sidecar.broker_contract import DEFAULT_AUDIENCE
from webhook import __version__
from webhook.broker.settings import Settings as BrokerSettings
from webhook.check import command
from webhook.check.command import UnusableError
from webhook.check.report import Format
from webhook.flags import SettingsError, flag, help_of
from webhook.installation import command as installation
from webhook.listing import command as listing
from webhook.log import LibraryHandler, Log
from webhook.settings import Settings


def script() -> int:
    """Run as the console script, under its name."""
    return main(program="litellm-registrar")


def main(
    argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ, *, program: str = "webhook"
) -> int:
    """Run one command, and give the exit code; `program` is what it is called in what it says.

    2 for bad settings or unusable input; of `serve` and `broker` 0 after SIGTERM and 1 if it cannot serve; of
    `check` 1 if anything is refused.
    """
    given = _parser(program).parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # whatever the locale: a name must not fail a line
        sys.stdout.reconfigure(encoding="utf-8")
    try:
        code: int = given.run(given, environ)
    except (SettingsError, UnusableError) as error:
        return _complain(program, error.problems, 2)
    except BrokenPipeError:  # `webhook check ... | head`
        sys.stdout = None
        return 1
    return code


def _serve(given: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from webhook.server import serve  # noqa: PLC0415 - what `check` has no use for takes a while to import

    settings = Settings.read(vars(given), environ)
    log = Log(sys.stdout, settings.log_format)
    logging.basicConfig(handlers=[LibraryHandler(log)], level=logging.WARNING)
    return _run(given.program, serve(settings, log))


def _broker(given: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from webhook.broker.server import broker  # noqa: PLC0415 - no other command has a use for it

    settings = BrokerSettings.read(vars(given), environ)
    log = Log(sys.stdout, settings.log_format)
    logging.basicConfig(handlers=[LibraryHandler(log)], level=logging.WARNING)
    return _run(given.program, broker(settings, log))


def _run(program: str, serving: Coroutine[Any, Any, None]) -> int:
    try:
        asyncio.run(serving)
    except OSError as error:
        return _complain(program, [str(error)], 1)
    return 0


def _check(given: argparse.Namespace, _: Mapping[str, str]) -> int:
    if given.cluster == bool(given.files):
        raise UnusableError(["check: name files (or - for standard input) or say --cluster, not both"])
    if not given.cluster and (given.kubeconfig or given.context):
        raise UnusableError(["check: --kubeconfig and --context go with --cluster"])
    options = command.options(
        policy=given.policy,
        defaults=given.defaults,
        at=given.at,
        form=given.format,
        registrar_image=given.registrar_image,
        token_audience=given.token_audience,
    )
    if given.cluster:
        return command.check_cluster(options, given.kubeconfig, given.context, given.namespace)
    return command.check_files(given.files, options, given.namespace or "default")


def _lint(given: argparse.Namespace, _: Mapping[str, str]) -> int:
    return command.lint_policy(given.file)


def _change_ca(given: argparse.Namespace, _: Mapping[str, str]) -> int:
    from webhook.kube.api import Api, ApiError  # noqa: PLC0415 - takes a while to import
    from webhook.tls.change_ca import CannotAskError, change_ca  # noqa: PLC0415 - the same

    async def ask() -> bool:
        api = await Api.connect(given.kubeconfig, given.context)
        try:
            return await change_ca(api, given.namespace, given.secret, print)
        finally:
            await api.close()

    try:
        return 0 if asyncio.run(ask()) else 1
    except (ApiError, CannotAskError) as error:
        return _complain(given.program, [str(error)], 1)


def _lint_names(given: argparse.Namespace, _: Mapping[str, str]) -> int:
    return command.lint_names(given.file)


def _complain(program: str, problems: Sequence[str], code: int) -> int:
    for problem in problems:
        print(f"{program}: error: {problem}", file=sys.stderr)  # noqa: T201 - nothing is logged yet
    return code


def _parser(program: str = "webhook") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, allow_abbrev=False)
    parser.set_defaults(program=program)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_broker(commands)
    _add_check(commands)
    _add_tls(commands)
    installation.add(commands)
    listing.add(commands)
    policy = commands.add_parser("policy", help="work on policy files", allow_abbrev=False)
    actions = policy.add_subparsers(title="commands", required=True, metavar="COMMAND")
    lint = actions.add_parser(
        "lint",
        help="find every mistake in a policy file",
        description="Read a policy file as the webhook would, and name every mistake with its path and line.",
        allow_abbrev=False,
    )
    lint.add_argument("file", metavar="FILE", help="the policy file, or `default` for the one that ships")
    lint.set_defaults(run=_lint)
    names = commands.add_parser("names", help="work on names files of the broker", allow_abbrev=False)
    actions = names.add_subparsers(title="commands", required=True, metavar="COMMAND")
    lint = actions.add_parser(
        "lint",
        help="find every mistake in a names file",
        description="Read a names file as the broker would, and name every mistake with its path and line.",
        allow_abbrev=False,
    )
    lint.add_argument("file", metavar="FILE", help="the names file, or - for standard input")
    lint.set_defaults(run=_lint_names)
    return parser


def _add_serve(commands: Any) -> None:
    serving = commands.add_parser(
        "serve",
        help="answer admission reviews",
        description="Answer admission reviews: POST /mutate and /validate over TLS; /healthz, /readyz and "
        "/metrics in plain HTTP on a port of their own. Every setting may also be given by the environment "
        "variable in brackets behind it; the flag wins.",
        allow_abbrev=False,
    )
    for item in fields(Settings):
        serving.add_argument(flag(item), dest=item.name, metavar="X", help=help_of(item))
    serving.set_defaults(run=_serve)


def _add_broker(commands: Any) -> None:
    serving = commands.add_parser(
        "broker",
        help="answer registrars in LiteLLM's place",
        description="Answer what registrars ask of LiteLLM, by the token of their pod and by rules: the "
        "process that alone has LiteLLM's key. TLS on one port; /healthz, /readyz and /metrics in plain HTTP "
        "on another. Every setting may also be given by the environment variable in brackets behind it; the "
        "flag wins.",
        allow_abbrev=False,
    )
    for item in fields(BrokerSettings):
        serving.add_argument(flag(item), dest=item.name, metavar="X", help=help_of(item))
    serving.set_defaults(run=_broker)


def _add_check(commands: Any) -> None:
    checking = commands.add_parser(
        "check",
        help="judge manifests, or what lives in a cluster, as the webhook would",
        description="Judge manifests (YAML or JSON, several to a file, lists) as the webhook would, and tell "
        "what the injector would do; with --cluster, what lives in a cluster and would be refused if it were "
        "made anew. Exit code 1 if anything is refused, 2 if something cannot be used.",
        allow_abbrev=False,
    )
    checking.add_argument("files", nargs="*", metavar="FILE", help="files of manifests; - is standard input")
    checking.add_argument("--cluster", action="store_true", help="judge what lives, read-only")
    for name, default, meaning in (
        ("--policy", "default", "policy file; `default` is the one that ships"),
        ("--namespace", "", "of manifests that name none; with --cluster the only one that is read"),
        ("--defaults", "", "the webhook's file of defaults of annotations"),
        ("--registrar-image", "", "the webhook's --registrar-image: such a container is not judged"),
        (
            "--token-audience",
            DEFAULT_AUDIENCE,
            "the webhook's --token-audience: such a token is none for the Kubernetes API",
        ),
        (
            "--at",
            "",
            "judge as of a date or a time like 2026-12-31T18:00:00Z, when exceptions may have ended",
        ),
        ("--kubeconfig", "", "with --cluster: the file; else $KUBECONFIG or ~/.kube/config"),
        ("--context", "", "with --cluster: the kubeconfig's context"),
    ):
        checking.add_argument(name, default=default, metavar="X", help=meaning)
    checking.add_argument(
        "--format",
        choices=[str(form) for form in Format],
        default=str(Format.TEXT),
        help="how the result is written; github: workflow commands, shown beside a pull request's lines",
    )
    checking.set_defaults(run=_check)


def _add_tls(commands: Any) -> None:
    tls = commands.add_parser("tls", help="work on own certificates", allow_abbrev=False)
    actions = tls.add_subparsers(title="commands", required=True, metavar="COMMAND")
    change = actions.add_parser(
        "change-ca",
        help="have the CA in a Secret of --tls-secret changed, with overlap",
        description="Ask for another CA in the Secret that --tls-secret names, and say what will happen "
        "when. Exit code 1 if it cannot be asked for, or if nobody makes it within half a minute.",
        allow_abbrev=False,
    )
    for name, meaning, required in (
        ("--secret", "the Secret", True),
        ("--namespace", "its namespace", True),
        ("--kubeconfig", "the file; else the pod's ServiceAccount, $KUBECONFIG or ~/.kube/config", False),
        ("--context", "the kubeconfig's context", False),
    ):
        change.add_argument(name, default="", metavar="X", help=meaning, required=required)
    change.set_defaults(run=_change_ca)
