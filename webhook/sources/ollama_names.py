"""Ollama's names of models, `[scheme://][host/][namespace/]model[:tag]`, as canonical locations.

From Ollama 0.17.4: `types/model/name.go` (`ParseNameBare`, `isValidPart`, the defaults), and
`internal/modelref/modelref.go` of newer versions, which take blanks around a name and the suffixes
`:cloud` and `:local` behind a tag. Hosts such as `hf.co` and ports are part of the name:
`ollama://hf.co/org/repo:QUANT`.

Case stays as written save in the host: Ollama takes a name in any case for one it has, but asks the
registry for it as written. No version reads a digest: a name that has one is refused by all of them.
"""

from __future__ import annotations

import re
from typing import Final

from webhook.sources.found import Location

SCHEME: Final = "ollama"
_DEFAULT_HOST: Final = "registry.ollama.ai"
_DEFAULT_NAMESPACE: Final = "library"
_DEFAULT_TAG: Final = "latest"
_HOST: Final = re.compile(r"\w[\w.:-]{0,349}", re.ASCII)
_NAMESPACE: Final = re.compile(r"\w[\w-]{0,79}", re.ASCII)
# Of a model and of a tag.
_PART: Final = re.compile(r"\w[\w.-]{0,79}", re.ASCII)
_CLOUD: Final = "cloud"
_LOCAL: Final = "local"


def location(text: str) -> Location | None:
    """Give the canonical location of a model's name; None if Ollama would refuse the name."""
    name, tag = _tagged(text.strip())
    if tag is not None and tag.lower() in {_CLOUD, _LOCAL}:
        # A suffix behind a tag; alone it is the tag.
        base, inner = _tagged(name)
        if inner is not None:
            name = base
            tag = f"{inner}-{_CLOUD}" if tag.lower() == _CLOUD else inner
    rest, slash, model = name.rpartition("/")
    host, second, namespace = rest.rpartition("/")
    if (slash and not rest) or (second and not (host and namespace)):
        return None
    scheme, separator, behind = host.partition("://")
    host = (behind if separator else scheme) or _DEFAULT_HOST
    namespace = namespace or _DEFAULT_NAMESPACE
    tag = _DEFAULT_TAG if tag is None else tag
    valid = (
        _HOST.fullmatch(host)
        and _NAMESPACE.fullmatch(namespace)
        and _PART.fullmatch(model)
        and _PART.fullmatch(tag)
    )
    return Location(SCHEME, f"{host.lower()}/{namespace}/{model}", tag) if valid else None


def _tagged(name: str) -> tuple[str, str | None]:
    """Split off the tag: what stands behind the last colon, if no slash follows it."""
    before, colon, tag = name.rpartition(":")
    return (before, tag) if colon and "/" not in tag else (name, None)
