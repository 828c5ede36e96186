"""The cluster's and the namespaces' defaults of annotations: from a file's text to what pods get. Pure.

    defaults:
      poll-interval: 10s
      model-info: {category: internal}
    namespaces:
      team-a:
        team-id: team-a
        litellm-params: {rpm: 60, tags: [batch]}

Nearest wins: the pod's annotation, what its workload carries, its namespace's default, the cluster's. The
objects `model-info` and `litellm-params` are put together key by key; `overrides` one after the other, the
nearest last, and without the keys that nearer objects say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from webhook import layer
from webhook.config import Sheet
from webhook.documents import Path
from webhook.values import DNS_LABEL
from webhook.wishes import NOTHING, Wishes, over

_SECTIONS: Final = ("defaults", "namespaces")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What counts where a pod says nothing: of the cluster, and over it of some namespaces."""

    cluster: Wishes = NOTHING
    namespaces: Mapping[str, Wishes] = field(default_factory=dict)

    def of(self, namespace: str) -> Wishes:
        """Give what counts in a namespace."""
        return self.namespaces.get(namespace, self.cluster)


NO_DEFAULTS: Final = Defaults()


def parse(text: str) -> Defaults:
    """Read a file of defaults. Raises ConfigError with everything that is wrong."""
    sheet = Sheet(text)
    top = sheet.object(sheet.value, (), _SECTIONS)
    cluster = over(NOTHING, _section(sheet, top.get("defaults"), ("defaults",)))
    namespaces: dict[str, Wishes] = {}
    for name, value in sheet.object(top.get("namespaces"), ("namespaces",)).items():
        path = ("namespaces", name)
        if not DNS_LABEL.fullmatch(name):
            sheet.problem(path, "no namespace can be called that")
        namespaces[name] = over(cluster, _section(sheet, value, path))
    sheet.done()
    return Defaults(cluster, namespaces)


def _section(sheet: Sheet, value: Any, path: Path) -> dict[str, Any]:
    typed, mistakes = layer.read(sheet.object(value, path), defaults=True)
    for mistake in mistakes:
        sheet.problem((*path, mistake.name), mistake.message, mistake.path)
    return typed
