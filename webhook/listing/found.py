"""What a list keeps of pods, nodes and rows: of each object only what is shown or compared. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar.contract import LABEL_CARRIED, LABEL_SERVER
from webhook.broker.own_rows import read_own
from webhook.broker.pod_facts import pod_facts
from webhook.broker.shapes import Caller, RefusedError
from webhook.listing.shapes import Pod, Row
from webhook.living.pods import trouble_of
from webhook.pods import ENDED, labels_of, mapping, opted_out
from webhook.registered import registered


def pod_of(found: Mapping[str, Any]) -> Pod | None:
    """Read a pod as the API server gives it; None if it neither has a registrar nor asks for one."""
    metadata, spec, status = (mapping(found.get(part)) for part in ("metadata", "spec", "status"))
    namespace, name, uid = (_text(metadata, part) for part in ("namespace", "name", "uid"))
    addresses = _addresses(found, Caller(namespace, name, uid))
    if addresses is None and opted_out(found):
        return None
    trouble = trouble_of(status)
    return Pod(
        namespace=namespace,
        name=name,
        uid=uid,
        created=_text(metadata, "creationTimestamp"),
        deleting=metadata.get("deletionTimestamp") is not None,
        ended=status.get("phase") in ENDED,
        node=_text(spec, "nodeName"),
        server=_text(labels_of(found), LABEL_SERVER) or _text(labels_of(found), LABEL_CARRIED),
        injected=addresses is not None,
        addresses=addresses or frozenset(),
        trouble=str(trouble) if trouble and addresses is not None else "",
        registered=registered(found),
    )


def row_of(shown: Mapping[str, Any], cluster: str) -> Row | None:
    """Read a row as LiteLLM shows it; None for one that no registrar of this cluster made.

    When a row was made LiteLLM tells only with a licence (`get_model_info_with_id` in
    litellm/proxy/proxy_server.py, 1.106).
    """
    own = read_own(shown, cluster)
    if own is None:
        return None
    info, params = mapping(shown.get("model_info")), mapping(shown.get("litellm_params"))
    return Row(own, _text(params, "api_base"), _text(info, "created_at"))


def _addresses(found: Mapping[str, Any], pod: Caller) -> frozenset[str] | None:
    """Give every `api_base` that a row of this pod may have, None for a pod without a registrar."""
    try:
        facts = pod_facts(found, pod)
    except RefusedError:
        return None
    urls = {*facts.base_urls, facts.host_url} - {None}
    # with /v1 for every provider but Ollama's own (`sidecar.row_contract.api_base`)
    return frozenset(f"{url}{path}" for url in urls for path in ("", "/v1"))


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""
