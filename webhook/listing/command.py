"""The command `list`: its flags, what it asks, and what it prints."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from webhook.flags import flag, help_of
from webhook.listing.report import Output, document, table
from webhook.listing.settings import ENV_KEY, Settings

_CANNOT_TELL: Final = 2


def add(commands: Any) -> None:
    """Add the command to a parser's."""
    parser = commands.add_parser(
        "list",
        help="show pods and their models in LiteLLM, and what differs",
        description="Show every pod with a registrar and every row of this cluster in LiteLLM, side by side, "
        "with what differs. Nothing is written. In the broker's container it needs no flag; elsewhere those "
        "of LiteLLM, each also by the environment variable in brackets. Exit code 0 if nothing differs, 1 if "
        "something does, 2 if that cannot be told.",
        allow_abbrev=False,
    )
    parser.add_argument("--namespace", default="", metavar="X", help="only this one; default: all")
    parser.add_argument(
        "--output", choices=[*Output], type=Output, default=Output.TABLE, help="how the list is written"
    )
    for item in fields(Settings):
        parser.add_argument(flag(item), dest=item.name, metavar="X", help=help_of(item))
    parser.add_argument("--context", default="", metavar="X", help="the kubeconfig's context")
    parser.set_defaults(run=_list)


def _list(given: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from webhook.listing.reading import CannotTellError, asked  # noqa: PLC0415 - takes a while to import

    settings = Settings.read(vars(given), environ)
    try:
        listed = asyncio.run(asked(settings, environ.get(ENV_KEY, ""), given.context, given.namespace))
    except CannotTellError as error:
        print(f"{given.program}: error: {error}", file=sys.stderr)  # noqa: T201 - as other commands say it
        return _CANNOT_TELL
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if given.output is Output.JSON:
        print(json.dumps(document(listed, now), indent=2))  # noqa: T201 - the output
    else:
        for line in table(listed.entries, partial(seconds_since, now)):
            print(line)  # noqa: T201 - the output
    for note in listed.notes:
        print(f"{given.program}: note: {note}", file=sys.stderr)  # noqa: T201 - beside the output
    return int(any(entry.differs for entry in listed.entries))


def seconds_since(now: str, text: str) -> float | None:
    """Give the seconds from a time until now, both in RFC 3339; None for a text that is no such time."""
    try:
        return (datetime.fromisoformat(now) - datetime.fromisoformat(text)).total_seconds()
    except (ValueError, TypeError, OverflowError):  # TypeError: a time without a zone
        return None
