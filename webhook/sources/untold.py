"""What is said of a container that looks like the server where it cannot be told what it runs."""

from __future__ import annotations

from webhook.sources.argv import basename
from webhook.sources.container import Reading
from webhook.sources.found import Unknown, Unresolvable
from webhook.sources.text import readable


def nameless(reading: Reading) -> Unresolvable:
    """Say that an image nobody knows, which looks like the server, is told no model."""
    detail, place = "what its image's entrypoint runs", f"{reading.path}.image"
    return Unresolvable(None, Unknown.ENTRYPOINT, detail, place, reading.name)


def unknown_program(reading: Reading) -> Unresolvable:
    """Say that a program nobody knows runs in a container that looks like the server."""
    call = reading.calls[-1]
    detail = f"what {readable(basename(call.words[0]))[:60]} runs"
    return Unresolvable(None, Unknown.SCRIPT, detail, reading.place(call, 0), reading.name)


def unreadable(reading: Reading) -> Unresolvable:
    """Say that nobody can read what a container starts."""
    field = next((key for key in ("args", "command") if reading.container.get(key)), "image")
    place = f"{reading.path}.{f'{reading.hook}.command' if reading.hook else field}"
    return Unresolvable(None, Unknown.SCRIPT, f"its script: {reading.unreadable}", place, reading.name)
