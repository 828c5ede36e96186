"""The Kubernetes API for a process that lives in it: raw JSON in and out, every failure one exception."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import json
import os
import re
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_kube_config
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.incluster_config import InClusterConfigLoader

JSON = dict[str, Any]
Query = Mapping[str, str | int]

# What the API server writes into managedFields as who wrote: the User-Agent up to a slash.
MANAGER: Final = "litellm-registrar"

# Where the kubelet mounts a ServiceAccount's token and the API server's CA (kubernetes.io, "Accessing the
# Kubernetes API from a Pod").
_TOKEN: Final = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path
_CA: Final = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
# Connections at a time: 100 reviews of tokens beside watches and everything else.
_CONNECTIONS: Final = 200
# Seconds: to connect, and for a whole call.
_CONNECT: Final = 5
_CALL: Final = 10
# Seconds after which the API server ends a watch of itself; a connection that died unseen lives no longer.
_WATCH: Final = 240
# From version 0 on: of what the API server has at hand. Neither without a version nor with bookmarks from 0
# on, of which an API server on an old etcd does not give a thing (1.36.2 on 3.4.23, tried).
_WATCHED: Final[Query] = {"watch": 1, "timeoutSeconds": _WATCH, "resourceVersion": "0"}
# Credentials that do not work are read anew at most this often (seconds).
_RENEW_EVERY: Final = 10
# kubectl's own (`--chunk-size`).
_PAGE: Final = 500
_MAX_MESSAGE: Final = 500
_GONE: Final = 410
_UNAUTHORIZED: Final = 401

# Segments of names and nothing else: what comes from outside can neither leave its place nor add a query.
_PATH: Final = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._:-]+)+", re.ASCII).fullmatch
# A JSON Web Token, should an answer quote one.
_JWT: Final = re.compile(r"eyJ[\w-]{5,}\.[\w-]+\.?[\w-]*")

_MERGE_PATCH: Final = "application/merge-patch+json"
_STRATEGIC_MERGE_PATCH: Final = "application/strategic-merge-patch+json"
_JSON_PATCH: Final = "application/json-patch+json"


class ApiError(Exception):
    """The API server answered with an error, or not at all; the text never holds a token or what was sent.

    `status` is HTTP's, 0 if there was no answer in time. `reason` is Kubernetes' own word (`NotFound`,
    `Conflict`, `AlreadyExists`: meta/v1 StatusReason), with status 0 `Unreachable`, `Timeout`, `BadAnswer`,
    `BadPath` or `Config`. `about` is what a meta/v1 Status says that it is about, by plural and name, like
    `pods/qwen`; empty for what no API server said.
    """

    def __init__(self, status: int, reason: str, message: str, about: str = "") -> None:
        self.status = status
        self.about = about
        self.reason = _clean(reason)
        self.message = _clean(message)
        super().__init__(f"{status or 'no answer'} {self.reason}: {self.message}")


class Reading(Protocol):
    """What is needed of the API server by those who read single objects."""

    async def get(self, path: str) -> JSON:
        """Read an object. Raises ApiError."""


class Api:
    """One API server, asked as one ServiceAccount or user. Every method raises ApiError."""

    def __init__(self, client: ApiClient, load: Callable[[Configuration], Awaitable[None]]) -> None:
        """Ask by this client; `load` reads the credentials anew. Use `connect`."""
        self._client = client
        self._load = load
        self._renewing = asyncio.Lock()
        self._renewed = -float(_RENEW_EVERY)

    @classmethod
    async def connect(cls, kubeconfig: str = "", context: str = "") -> Api:
        """Take a pod's own ServiceAccount, or a kubeconfig (file, else `$KUBECONFIG`, `~/.kube/config`).

        A pod is told by `KUBERNETES_SERVICE_HOST`, and if no kubeconfig is given. Nothing is asked yet.
        """
        in_cluster = not kubeconfig and not context and bool(os.environ.get("KUBERNETES_SERVICE_HOST"))

        async def load(configuration: Configuration) -> None:
            if in_cluster:
                InClusterConfigLoader(token_filename=_TOKEN, cert_filename=_CA).load_and_set(configuration)  # type: ignore[no-untyped-call]
            else:
                file = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
                if not any(Path(one).expanduser().exists() for one in file.split(os.pathsep)):  # noqa: ASYNC240 - at the start
                    raise ConfigException("no such file")
                await load_kube_config(file, context or None, configuration, persist_config=False)  # type: ignore[no-untyped-call]

        configuration = Configuration(connection_pool_maxsize=_CONNECTIONS)
        # As Go's clients: a cluster's own CA often lacks extensions that RFC 5280 asks for.
        configuration.disable_strict_ssl_verification = True
        where = "the pod's ServiceAccount" if in_cluster else kubeconfig or "the kubeconfig"
        try:
            await load(configuration)
            client = ApiClient(configuration)
        except Exception as error:  # noqa: BLE001 - the client trusts the file: it fails in any way
            raise ApiError(0, "Config", f"{where}: {_told(error)}") from None
        client.user_agent = MANAGER
        return cls(client, load)

    async def close(self) -> None:
        """End every connection, watches too."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def get(self, path: str, query: Query | None = None) -> JSON:
        """Read one object, like `/api/v1/namespaces/shop/pods/qwen`; or anything that is a JSON object."""
        return await self._call("GET", path, query)

    async def list(self, path: str, selector: str = "") -> builtins.list[JSON]:
        """Read a collection page by page; `selector` is one of labels."""
        return [one async for page in self.pages(path, selector) for one in page.get("items") or ()]

    async def pages(self, path: str, selector: str = "", size: int = _PAGE) -> AsyncGenerator[JSON, None]:
        """Give the pages of a collection, each with its `items` and its `metadata.resourceVersion`.

        A list too old to be gone on with continues with what is there now, as the API server offers it
        (`ResourceExpired` in "Kubernetes API Concepts", "Retrieving large results sets in chunks").
        """
        what, token = f"GET {path}", ""
        while True:
            query: Query = {"limit": size, "labelSelector": selector, "continue": token}
            status, reason, answer = await self._ask("GET", path, query)
            page = _object(what, answer) if _good(status) or status == _GONE else {}
            if not _good(status) and not _continue(page):
                raise _refusal(what, status, reason, answer)
            if _good(status):
                yield page
            token = _continue(page)
            if not token:
                return

    async def create(self, path: str, body: JSON) -> JSON:
        """Create an object in a collection, and give it as it was stored."""
        return await self._call("POST", path, body=body)

    async def rehearse(self, path: str, body: JSON) -> JSON:
        """Give an object as it would be created, with all that webhooks make of it; nothing is stored."""
        return await self._call("POST", path, {"dryRun": "All"}, body)

    async def replace(self, path: str, body: JSON) -> JSON:
        """Write a whole object; with a resourceVersion in it only over that version (else 409 `Conflict`)."""
        return await self._call("PUT", path, body=body)

    async def patch(self, path: str, ops: Iterable[JSON]) -> JSON:
        """Apply a JSON Patch (RFC 6902); a `test` that fails is 422 `Invalid`."""
        return await self._call("PATCH", path, body=[*ops], kind=_JSON_PATCH)

    async def merge(self, path: str, body: JSON) -> JSON:
        """Apply a JSON Merge Patch (RFC 7386): null removes a key."""
        return await self._call("PATCH", path, body=body, kind=_MERGE_PATCH)

    async def strategic(self, path: str, body: JSON) -> JSON:
        """Apply a strategic merge patch: of lists with a merge key only the items that are sent change.

        With `metadata.uid` in it only to that very object, as the kubelet does it (`PatchPodStatus` in
        k8s.io/kubernetes, pkg/util/pod/pod.go), else 422 `Invalid` (1.36.2, tried: a uid does not change).
        """
        return await self._call("PATCH", path, body=body, kind=_STRATEGIC_MERGE_PATCH)

    async def delete(self, path: str, options: JSON | None = None) -> JSON:
        """Delete an object; `options` is a meta/v1 DeleteOptions (`preconditions`, `gracePeriodSeconds`)."""
        return await self._call("DELETE", path, body=options)

    async def watch(self, path: str, query: Query | None = None) -> AsyncGenerator[tuple[str, JSON], None]:
        """Give each change in a collection: `ADDED`, `MODIFIED` or `DELETED`, and the object.

        Without a resourceVersion in `query` what is there comes first, as ADDED (it may be a little old).
        With `allowWatchBookmarks` there are `BOOKMARK`s too, of which only the resourceVersion counts. It
        ends when the API server ends it, after four minutes; an error in the stream (410) raises ApiError.
        """
        what = f"watch {path}"
        query = {**_WATCHED, **(query or {})}
        with _failing(what):
            async with await self._response("GET", path, query, seconds=_WATCH + _CALL) as response:
                if not _good(response.status):
                    raise _refusal(what, response.status, response.reason, await response.read())
                async for line in _lines(response.content):
                    event = json.loads(line)
                    kind, seen = event["type"], event["object"]
                    if kind == "ERROR":
                        raise _refusal(what, seen.get("code") or 0, "", line)
                    yield kind, seen

    async def _call(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Any = None,
        kind: str = "application/json",
    ) -> JSON:
        status, reason, answer = await self._ask(method, path, query, body, kind)
        if not _good(status):
            raise _refusal(f"{method} {path}", status, reason, answer)
        return _object(f"{method} {path}", answer)

    async def _ask(
        self,
        method: str,
        path: str,
        query: Query | None,
        body: Any = None,
        kind: str = "application/json",
    ) -> tuple[int, str | None, bytes]:
        with _failing(f"{method} {path}"):
            async with await self._response(method, path, query, body, kind) as response:
                return response.status, response.reason, await response.read()

    async def _response(
        self,
        method: str,
        path: str,
        query: Query | None,
        body: Any = None,
        kind: str = "application/json",
        *,
        seconds: float = _CALL,
    ) -> aiohttp.ClientResponse:
        """Ask; once more if credentials or the API server's CA were old, and have been read anew."""
        if _PATH(path) is None:
            raise ApiError(0, "BadPath", f"{method} {path!r}: not a path of names")

        async def ask() -> aiohttp.ClientResponse:
            request = await self._client.param_serialize(
                method,
                path,
                query_params=[(name, value) for name, value in (query or {}).items() if value != ""],
                header_params={"Accept": "application/json", "Content-Type": kind},
                body=body,
                auth_settings=["BearerToken"],
            )
            timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT)
            answer = await self._client.call_api(*request, _request_timeout=timeout)
            response: aiohttp.ClientResponse = answer.response
            return response

        try:
            response = await ask()
            if response.status != _UNAUTHORIZED:
                return response
            response.release()
        except aiohttp.ClientConnectorCertificateError:
            await self._renew()
            return await ask()
        await self._renew()
        return await ask()

    async def _renew(self) -> None:
        """Read credentials and the API server's CA anew, unless that has just been done."""
        async with self._renewing:
            now = asyncio.get_running_loop().time()
            if now - self._renewed < _RENEW_EVERY:
                return
            self._renewed = now
            configuration = self._client.configuration
            await self._load(configuration)
            # Into the context of the pool that is: calls and watches in hand go on.
            trust: ssl.SSLContext = self._client.rest_client.ssl_context
            if configuration.ssl_ca_cert:
                trust.load_verify_locations(configuration.ssl_ca_cert)
            if configuration.cert_file:
                trust.load_cert_chain(configuration.cert_file, configuration.key_file)


@contextlib.contextmanager
def _failing(what: str) -> Iterator[None]:
    """Turn whatever the client raises into an ApiError."""
    try:
        yield
    except TimeoutError:
        raise ApiError(0, "Timeout", f"{what}: no answer in time") from None
    except (aiohttp.ClientError, OSError, RuntimeError) as error:  # RuntimeError: closed meanwhile
        raise ApiError(0, "Unreachable", f"{what}: {_told(error)}") from None
    except ConfigException as error:
        raise ApiError(0, "Config", f"{what}: {_told(error)}") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ApiError(0, "BadAnswer", f"{what}: {type(error).__name__}") from None


async def _lines(content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    """Give each line, however long: aiohttp's own `readline` fails at 128 KiB, which an object may exceed."""
    begun = b""
    async for chunk in content.iter_any():
        *whole, begun = (begun + chunk).split(b"\n")
        for line in whole:
            yield line


def _good(status: int) -> bool:
    return 200 <= status < 300  # noqa: PLR2004 - success


def _object(what: str, answer: bytes) -> JSON:
    with _failing(what):
        found = json.loads(answer)
    if not isinstance(found, dict):
        raise ApiError(0, "BadAnswer", f"{what}: not a JSON object")
    return found


def _refusal(what: str, status: int, reason: str | None, answer: bytes) -> ApiError:
    """Read a meta/v1 Status, or of an event its object; anything else says what HTTP says."""
    try:
        said = json.loads(answer)
        said = said.get("object", said)
        reason, message, about = said.get("reason") or reason, said.get("message"), _about(said)
    except (ValueError, AttributeError):
        message = about = ""
    return ApiError(status, str(reason or "Unknown"), f"{what}: {message}" if message else what, about)


def _about(said: JSON) -> str:
    """Read the StatusDetails of a meta/v1 Status (k8s.io/apimachinery/pkg/apis/meta/v1/types.go)."""
    details = said.get("details")
    if said.get("kind") != "Status" or not isinstance(details, dict):
        return ""
    return f"{details.get('kind')}/{details.get('name')}"


def _told(error: Exception) -> str:
    """Say what failed; a kubeconfig's entries, which may be quoted, begin with a brace."""
    text = str(error) if isinstance(error, ConfigException | OSError | aiohttp.ClientError) else ""
    return f"{type(error).__name__} {text.partition('{')[0]}".strip()


def _clean(text: str) -> str:
    """Leave out of a message what it may quote, and bound it."""
    text = _JWT.sub("(token)", text)
    return text if len(text) <= _MAX_MESSAGE else text[:_MAX_MESSAGE] + "..."


def _continue(page: JSON) -> str:
    token = (page.get("metadata") or {}).get("continue")
    return token if isinstance(token, str) else ""
