"""What rules ask of the caller's pod, from the pod as the API server gave it. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, Final

from sidecar.contract import CONTAINER_NAME, LABEL_CARRIED, LABEL_SERVER, Settings
from sidecar.row_contract import base_url
from webhook import values
from webhook.broker.shapes import Caller, PodFacts, RefusedError, Rule
from webhook.container import registrar_of
from webhook.pods import ENDED, labels_of, mapping, objects
from webhook.registered import registered

_ENV: Final = {field.name: field.metadata["env"] for field in fields(Settings)}


def pod_facts(pod: Mapping[str, Any] | None, caller: Caller) -> PodFacts:
    """Give the facts of the caller's pod; None is "there is no pod of its name".

    Raises RefusedError for a pod that has no registrar of ours.
    """
    metadata = mapping((pod or {}).get("metadata"))
    spec, status = mapping((pod or {}).get("spec")), mapping((pod or {}).get("status"))
    # The IPs of a pod that has ended are free for others, though they stay in its status
    # (`podIPs`: k8s.io/kubernetes/pkg/kubelet/kubelet_pods.go).
    if pod is None or metadata.get("uid") != caller.pod_uid or status.get("phase") in ENDED:
        return PodFacts(
            uid=caller.pod_uid,
            addresses=(),
            base_urls=frozenset(),
            node=caller.node,
            host_network=False,
            deleting=True,
            grace=None,
            gone=True,
        )
    container = registrar_of(pod)
    if container is None:
        message = f"the pod has no container called {CONTAINER_NAME} that the webhook injected"
        raise RefusedError(Rule.POD_NOT_INJECTED, message)
    addresses = tuple(_addresses(status.get("podIPs"), status.get("podIP")))
    nodes = set(_addresses(status.get("hostIPs"), status.get("hostIP")))
    node, grace = spec.get("nodeName"), metadata.get("deletionGracePeriodSeconds")
    host, urls = _written(container, addresses)
    return PodFacts(
        uid=caller.pod_uid,
        addresses=addresses,
        base_urls=frozenset(urls[1:]) if host else frozenset(urls),
        node=caller.node or (node if isinstance(node, str) else ""),
        host_network=spec.get("hostNetwork") is True or not nodes.isdisjoint(addresses),
        deleting=metadata.get("deletionTimestamp") is not None,
        grace=grace if isinstance(grace, int) and not isinstance(grace, bool) else None,
        host=host,
        host_url=urls[0] if host else None,
        labelled=not labels_of(pod).keys().isdisjoint((LABEL_SERVER, LABEL_CARRIED)),
        registered=registered(pod),
        version=str(metadata.get("resourceVersion", "")),
    )


def _addresses(several: Any, single: Any) -> Iterator[str]:
    """Give IPs just as they are written, which is how the registrar gets its own; others are left out."""
    found = [entry.get("ip") for _, entry in objects(several)] or [single]
    for address in found:
        if isinstance(address, str):
            try:
                ipaddress.ip_address(address)
            except ValueError:
                continue
            yield address


def _written(container: Mapping[str, Any], addresses: tuple[str, ...]) -> tuple[str | None, list[str]]:
    """Give the host that stands for the pod's IPs, if there is one, and the URLs of it and of the IPs.

    What a hand-written container says in a way that the webhook never writes gives no URL at all.
    """
    env = {str(entry.get("name")): entry.get("value") for _, entry in objects(container.get("env"))}

    def said(field: str) -> str:
        value = env.get(_ENV[field])
        # the kubelet takes `$$` for `$` (webhook.container.literal)
        return value.replace("$$", "$") if isinstance(value, str) else ""

    try:
        scheme = values.one_of("http", "https")(said("scheme") or "http")
        port = values.port(said("port"))
        path = values.path(said("path")) if said("path") else ""
        host = values.host(said("host")) if said("host") else None
    except ValueError:
        return None, []
    hosts = [host, *addresses] if host else list(addresses)
    return host, [base_url(scheme, each, port, path) for each in hosts]
