"""From the text a program is given to where a model lies: a hub, an object store, an image, a path.

Nothing is trimmed or guessed: what a program would not find anything under is a `BadValueError`, and what
could be read in two ways is read as the servers do. Where facts come from: hub ids are checked by
`huggingface_hub/utils/_validators.py` (`validate_repo_id`); vLLM takes `s3://`, `gs://` and `az://` in any
case (`vllm/transformers_utils/runai_utils.py`), `org/name:QUANT` and `org/name/file.gguf`
(`vllm/transformers_utils/gguf_utils.py`, `model_loader/gguf_loader.py`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from webhook.sources.found import Backing, Local, Location, Role, Source, Unknown, Unresolvable
from webhook.sources.images import ImageError, image
from webhook.sources.text import is_known, readable

HUB: Final = "hf"
MODELSCOPE: Final = "modelscope"

_MAX: Final = 4096
_MAX_HUB: Final = 96  # huggingface_hub's own limit
_HUB_PART: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_QUANT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_HOST: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::\d{1,5})?")
_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]")
# Object stores: bucket and key, the key taken as it stands.
_STORES: Final = frozenset(
    {"s3", "gs", "az", "abfs", "abfss", "wasbs", "oss", "cos", "r2", "hdfs", "webhdfs"}
)
_PORTS: Final = {"http": ":80", "https": ":443"}
_HUB_HOSTS: Final = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
# What lies on the hub beside models, and the hub's own pages.
_NOT_MODELS: Final = frozenset({"api", "datasets", "spaces", "collections", "docs", "papers", "buckets"})
_BARE_HUB_URLS: Final = ("hf.co/", "huggingface.co/")
# org, name and file
_FILE_PARTS: Final = 3
_FILE_VIEWS: Final = frozenset({"resolve", "raw", "blob", "tree"})
# Parameters that sign a request, or say how the answer is to be sent: never which file it is.
_SIGNING: Final = re.compile(
    r"(?i)(?:x-amz-[a-z-]+|x-goog-[a-z-]+|awsaccesskeyid|googleaccessid|key-pair-id|signature|expires|policy"
    r"|sv|ss|srt|sp|se|st|spr|sr|sig|sip|skoid|sktid|skt|ske|sks|skv|token|access_token|download)"
)

# What a mounted volume is written as, by its kind (`webhook.sources.volumes`).
VOLUMES: Final = frozenset({"pvc", "csi", "hostpath", "nfs", "configmap", "secret", "volume"})
SCHEMES: Final = tuple(
    sorted({HUB, MODELSCOPE, "oci", "ollama", "file", "git", "http", "https", *VOLUMES, *_STORES})
)


class BadValueError(ValueError):
    """What cannot be a source. The message quotes nothing: the text may hold a secret."""


class LocalPath(NamedTuple):
    """A path in the container, without empty, `.` or `..` components.

    If it is not absolute, it counts from where the program starts, `~/` from its home.
    """

    path: str


def hub(text: str, revision: str = "", scheme: str = HUB) -> Location:
    """Read the id of a repository of a hub, `org/name` or `name`. Raises BadValueError."""
    if len(text) > _MAX_HUB:
        raise BadValueError(f"an id of {len(text)} characters, a hub takes {_MAX_HUB}")
    parts = text.split("/")
    if len(parts) > 2 or not all(_HUB_PART.fullmatch(part) for part in parts):  # noqa: PLR2004 - org and name
        raise BadValueError("no id of a hub: org/name of letters, digits, '-', '_' and '.'")
    if "--" in text or ".." in text or text.endswith(".git"):
        raise BadValueError("no id of a hub: it has '--' or '..', or ends with .git")
    return Location(scheme, text, revision=_revision(revision))


def model(text: str, revision: str = "", scheme: str = HUB) -> Location | LocalPath:
    """Read what a model server takes for a model: a hub id, a URL, a GGUF file of a repository, a path.

    A server prefers an existing path to a hub id. Here what looks like a hub id is one, so whoever knows the
    container's volumes has to look whether one lies there. Raises BadValueError.
    """
    _check(text)
    if text.startswith(_BARE_HUB_URLS):
        text = f"https://{text}"
    if _SCHEME.match(text):
        found = url(text)
        if revision and isinstance(found, Location) and found.scheme == HUB:
            return found._replace(revision=_revision(revision))
        return found
    parts = text.split("/")
    is_file = text.endswith(".gguf")
    if text[0] in "/.~" or len(parts) > _FILE_PARTS or is_file is not (len(parts) == _FILE_PARTS):
        return path(text)
    if is_file:
        return hub("/".join(parts[:2]), revision, scheme)._replace(tag=parts[2])
    name, colon, quant = text.partition(":")
    if not colon:
        return hub(name, revision, scheme)
    if not _QUANT.fullmatch(quant):
        raise BadValueError("no model: what stands behind the colon names no quantization")
    return hub(name, revision, scheme)._replace(tag=quant)


_remembered: Final = functools.lru_cache(maxsize=1024)(model)  # a cluster has few models


def path(text: str) -> LocalPath:
    """Read a path in a container; `..` is refused, as a link before it may lead anywhere.

    Raises BadValueError.
    """
    _check(text)
    parts = [part for part in text.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise BadValueError("a path with '..': where that leads, links decide")
    return LocalPath(("/" if text[0] == "/" else "") + "/".join(parts) or ".")


def url(text: str) -> Location | LocalPath:
    """Read a URL, `scheme://...`, the scheme in any case; secrets in it are left out.

    Raises BadValueError.
    """
    _check(text)
    match = _SCHEME.match(text)
    if match is None:
        raise BadValueError("no URL")
    scheme, rest = match[1].lower(), text[match.end() :]
    if scheme in {"http", "https"}:
        return _web(scheme, rest)
    if scheme in {"hf", "modelscope", "ms"}:
        return _hub_url(MODELSCOPE if scheme == "ms" else scheme, rest)
    if scheme in {"oci", "docker", "oci+native", "oci+fetch"}:
        try:
            return image(rest).location
        except ImageError as error:
            raise BadValueError(f"no image: {error}") from None
    if scheme == "file":
        return path(rest if rest[:1] == "/" else f"/{rest.partition('/')[2]}")
    if scheme in _STORES or scheme in {"pvc", "ollama"}:
        return _store(scheme, rest)
    if scheme in {"git", "ssh", "git+https", "git+ssh"}:
        return _web("git", rest)
    raise BadValueError(f"a URL of an unknown scheme, known are {', '.join(SCHEMES)}")


def items(
    role: Role, text: str, place: str, container: str, *, revision: str = "", scheme: str = HUB
) -> Iterator[Source | Unresolvable]:
    """Give the source that a server's `text` and `revision` mean, and whatever of it cannot be known.

    `text` and `revision` may hold marks of `webhook.sources.text`. A path comes as a Source with `local`,
    backed by the container itself until whoever knows the volumes has traced it.
    """
    if not is_known(revision):
        yield Unresolvable(role, Unknown.VARIABLE, f"the revision is {readable(revision)}", place, container)
        revision = ""
    if not is_known(text):
        yield Unresolvable(role, Unknown.VARIABLE, f"it is {readable(text)}", place, container)
        return
    try:
        is_short = len(text) <= _MAX_HUB and len(revision) <= _MAX_HUB
        found = _remembered(text, revision, scheme) if is_short else model(text, revision, scheme)
    except BadValueError as error:
        yield Unresolvable(role, Unknown.BAD_VALUE, str(error), place, container)
        return
    yield source(role, found, place, container)


def source(role: Role, found: Location | LocalPath, place: str, container: str) -> Source:
    """Make a Source of what was read."""
    if isinstance(found, Location):
        return Source(role, found, place, container)
    name = found.path if found.path[:1] == "/" else f"/{found.path}"
    return Source(role, Location("file", name), place, container, Local(found.path, Backing.CONTAINER))


def _check(text: str) -> None:
    if not text:
        raise BadValueError("empty")
    if len(text) > _MAX:
        raise BadValueError(f"it has {len(text)} characters, at most {_MAX} are read")
    if text != text.strip():
        raise BadValueError("blanks stand before or behind it")
    if _UNSAFE.search(text) or "\\" in text:
        raise BadValueError("a control character or a backslash is in it")


def _revision(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise BadValueError("a revision has no blanks, control characters or letters beyond ASCII")
    return text


def _no_steps(parts: list[str]) -> None:
    if any(part in {"", ".", ".."} for part in parts):
        raise BadValueError("an empty, '.' or '..' component is in it")


def _store(scheme: str, rest: str) -> Location:
    """Read bucket and key: a store takes keys as they stand, so `a//b` is another key than `a/b`."""
    name = rest.removesuffix("/")
    parts = name.split("/")
    _no_steps(parts)
    if not _BUCKET.fullmatch(
        parts[0].partition("@")[0] if scheme in {"abfs", "abfss", "wasbs"} else parts[0]
    ):
        raise BadValueError("what stands behind :// is no name of a bucket")
    return Location(scheme, name)


def _hub_url(scheme: str, rest: str) -> Location:
    """Read `org/name@revision/file` as huggingface_hub's file system does, or `org/name:tag`."""
    name, at, revision = rest.removesuffix("/").partition("@")
    name, colon, tag = name.partition(":")
    parts = name.split("/")
    if at and "/" in revision and not revision.startswith("refs/"):
        revision, _, tag = revision.partition("/")
    elif not colon and len(parts) > 2:  # noqa: PLR2004 - org and name
        _no_steps(parts)
        name, tag = "/".join(parts[:2]), "/".join(parts[2:])
    if (colon or at) and not (tag or revision):
        raise BadValueError("nothing stands behind its ':' or '@'")
    return hub(name, revision, scheme)._replace(tag=tag)


def _web(scheme: str, rest: str) -> Location:
    """Read host and path; userinfo and signatures go, any other query stays as a bare `?`."""
    rest = rest.partition("#")[0]
    rest, _, query = rest.partition("?")
    authority, _, tail = rest.partition("/")
    userinfo, _, host = authority.rpartition("@")
    host = host.lower().removesuffix(_PORTS.get(scheme, ":"))
    host = host.removesuffix(".")
    if "@" in userinfo or not _HOST.fullmatch(host):
        raise BadValueError("a URL without a host that can be told")
    parts = [_unescaped(part) for part in tail.removesuffix("/").split("/")] if tail.strip("/") else []
    _no_steps(parts)
    signed = all(_SIGNING.fullmatch(word.partition("=")[0]) for word in query.split("&") if word)
    if scheme == "https" and host in _HUB_HOSTS and signed and (found := _of_hub(parts)):
        return found
    return Location(scheme, "/".join([host, *parts]) + ("" if signed else "?"))


def _of_hub(parts: list[str]) -> Location | None:
    """Read the path of a hub's own URL; None if it is no model's."""
    if not parts or parts[0] in _NOT_MODELS:
        return None
    cut = next((index for index, part in enumerate(parts) if part in _FILE_VIEWS), len(parts))
    name, behind = "/".join(parts[:cut]).removesuffix(".git"), parts[cut + 1 :]
    if len(behind) > 2 and behind[0] == "refs":  # noqa: PLR2004 - refs/pr/1
        behind = ["/".join(behind[:3]), *behind[3:]]
    revision = behind[0].replace("%2F", "/") if behind else ""
    if "%" in revision:
        raise BadValueError("a revision with escapes")
    return hub(name, revision)._replace(tag="/".join(behind[1:]))


def _unescaped(part: str) -> str:
    """Write one component of a URL's path in one way: escapes only where they are needed, in upper case."""

    def plain(match: re.Match[str]) -> str:
        if match[1] is None:
            raise BadValueError("a '%' that escapes nothing")
        char = chr(int(match[1], 16))
        return char if _UNRESERVED.fullmatch(char) else match[0].upper()

    return _ESCAPE.sub(plain, part)
