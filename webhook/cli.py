"""The command line: `python -m webhook serve`."""

from __future__ import annotations

import argparse
import asyncio
import io
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any

from webhook import __version__
from webhook.log import LibraryHandler, Log
from webhook.server import serve
from webhook.settings import Settings, SettingsError, flag, variable


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run one command. Gives the exit code: 0 after SIGTERM, 1 if it cannot serve, 2 for bad settings."""
    given = vars(_parser().parse_args(argv))
    try:
        settings = Settings.read(given, environ)
    except SettingsError as error:
        return _complain(error.problems, 2)
    if isinstance(sys.stdout, io.TextIOWrapper):  # whatever the locale: a name must not fail a log line
        sys.stdout.reconfigure(encoding="utf-8")
    log = Log(sys.stdout, settings.log_format)
    logging.basicConfig(handlers=[LibraryHandler(log)], level=logging.WARNING)
    try:
        asyncio.run(serve(settings, log))
    except SettingsError as error:
        return _complain(error.problems, 2)
    except OSError as error:
        return _complain([str(error)], 1)
    return 0


def _complain(problems: Sequence[str], code: int) -> int:
    for problem in problems:
        print(f"webhook: error: {problem}", file=sys.stderr)  # noqa: T201 - nothing is logged yet
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="webhook", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "serve",
        help="answer admission reviews",
        description="Answer admission reviews: POST /mutate and /validate over TLS; /healthz, /readyz and "
        "/metrics in plain HTTP on a port of their own. Every setting may also be given by the environment variable in "
        "brackets behind it; the flag wins.",
        allow_abbrev=False,
    )
    for item in fields(Settings):
        command.add_argument(flag(item), dest=item.name, metavar="X", help=_help(item))
    return parser


def _help(item: Field[Any]) -> str:
    allowed = item.metadata["allowed"]
    default = "required" if item.default is MISSING else f"default: {item.default or '(empty)'}"
    text = f"{item.metadata['meaning']}{f' ({allowed})' if allowed else ''}; {default} [{variable(item)}]"
    return text.replace("%", "%%")
