"""Ollama: where `ollama serve` listens. It has no options, only `OLLAMA_HOST`."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Final

from webhook.sources.options import Serving
from webhook.sources.text import is_known

PORT: Final = 11434
_PORT_OF_SCHEME: Final = {"http": "80", "https": "443"}
_MAX_PORT: Final = 65535


def read(_words: Sequence[str], env: Mapping[str, str]) -> Serving:
    """Read what the variables of `ollama serve` say."""
    text = env.get("OLLAMA_HOST")
    if text is None:
        return Serving()
    if not is_known(text):
        return Serving(port=text)
    host, port = address(text)
    return Serving(host=host, port=port)


def address(text: str) -> tuple[str, str]:
    """Give host and port that `OLLAMA_HOST` means to the server, as `envconfig.Host` of Ollama reads it.

    `0.0.0.0`, `:8080`, `[::]:8080` and `http://0.0.0.0:8080/x` are all taken; `http://` without a port
    means 80; an empty one means loopback, whatever the image sets; a bad port means the default.
    """
    text = text.strip().strip("\"'").strip()
    scheme, separator, rest = text.partition("://")
    default = _PORT_OF_SCHEME.get(scheme, str(PORT)) if separator else str(PORT)
    location = (rest if separator else text).partition("/")[0]
    host, port = _split(location)
    if port is None:
        return _bare(location) or "127.0.0.1", default
    valid = port.isascii() and port.isdigit() and int(port) <= _MAX_PORT
    return host, port if valid else default


def _split(location: str) -> tuple[str, str | None]:
    """Split host and port like Go's `net.SplitHostPort`; no port if it would be an error there."""
    host, colon, port = location.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or "]" in port or (":" in host and not bracketed):
        return location, None
    return host.strip("[]"), port


def _bare(location: str) -> str:
    inner = location.strip("[]")
    try:
        return str(ipaddress.ip_address(inner))
    except ValueError:
        return location
