"""Reading a cluster from outside, for `check --cluster`: nothing is written, the one verb here is GET."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import kubernetes.config
import urllib3.exceptions
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

# kubectl's own (`--chunk-size`).
_PAGE: Final = 500
# In seconds, to connect and to read.
_TIMEOUT: Final = (10, 60)
_NOT_FOUND: Final = 404
_GONE: Final = 410


class KubeError(Exception):
    """The API server cannot be asked, or does not answer what was asked; the message says which."""


class Cluster:
    """A cluster that is only read, reached as a kubeconfig says."""

    def __init__(self, kubeconfig: str = "", context: str = "") -> None:
        """Read the kubeconfig: a file, else `$KUBECONFIG`, else `~/.kube/config`. Raises KubeError."""
        try:
            self._client = kubernetes.config.new_client_from_config(  # type: ignore[no-untyped-call]
                kubeconfig or None, context or None, persist_config=False
            )
        except ConfigException as error:
            # An entry that it quotes, perhaps with a token, begins with a brace.
            said = str(error).partition("{")[0]
            raise KubeError(f"{kubeconfig or 'the kubeconfig'}: {said}") from None
        except (OSError, ValueError) as error:
            raise KubeError(f"{kubeconfig or 'the kubeconfig'}: {error}") from None
        except Exception as error:  # noqa: BLE001 - the client trusts the file: it fails in any way, and quotes it
            what = f"no kubeconfig, or a broken one ({type(error).__name__})"
            raise KubeError(f"{kubeconfig or 'the kubeconfig'}: {what}") from None

    def listed(self, path: str, selector: str = "") -> Iterator[Mapping[str, Any]]:
        """Give the objects of a collection (`/api/v1/pods`), page by page; none if there is no such kind.

        `selector` is one of labels.

        A list whose first page is too old to be gone on with continues with what is there now, as the API
        server offers it (`ResourceExpired` in "Kubernetes API Concepts", "Retrieving large results sets in
        chunks"). Raises KubeError.
        """
        token = ""
        while True:
            try:
                page = self._get(path, selector, token)
            except ApiException as error:
                if error.status == _NOT_FOUND and not token:
                    return
                token = _token(error.body) if error.status == _GONE else ""
                if not token:
                    raise KubeError(f"GET {path}: {error.status} {error.reason}") from None
                continue
            except urllib3.exceptions.HTTPError as error:
                raise KubeError(f"GET {path}: {type(error).__name__}") from None
            yield from page.get("items") or ()
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return

    def _get(self, path: str, selector: str, token: str) -> dict[str, Any]:
        query = {"limit": _PAGE, "labelSelector": selector, "continue": token}
        request = self._client.param_serialize(
            "GET",
            path,
            query_params=[(name, value) for name, value in query.items() if value],
            header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"],
        )
        answer = self._client.call_api(*request, _request_timeout=_TIMEOUT)
        body = answer.read()
        if not 200 <= answer.status < 300:  # noqa: PLR2004 - success
            raise ApiException(status=answer.status, reason=answer.reason, body=body)
        page: dict[str, Any] = json.loads(body)
        return page


def _token(body: Any) -> str:
    """Find in the answer to an expired list the token to go on with."""
    try:
        token = json.loads(body)["metadata"]["continue"]
    except (ValueError, KeyError, TypeError):
        return ""
    return token if isinstance(token, str) else ""
