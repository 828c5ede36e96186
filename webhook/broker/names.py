"""Which names of models a namespace may use, and what else: what the names file comes to. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from webhook.policy.wild import matches

NAMESPACE: Final = "{namespace}"


@dataclass(frozen=True, slots=True)
class Grant:
    """What one namespace may.

    `allow` and `share` are patterns in which `*` stands for any characters. `allow` None: any name that no
    row of elsewhere has; else only names of these. Names of `share` it may use although rows of elsewhere
    have them. `hosts` may stand for a pod's IP; `teams` are ids of LiteLLM's teams.
    """

    allow: tuple[str, ...] | None = None
    share: tuple[str, ...] = ()
    hosts: frozenset[str] = frozenset()
    host_network: bool = False
    teams: frozenset[str] = frozenset()

    def allows(self, name: str) -> bool:
        """Tell whether the namespace may use a name at all."""
        return self.allow is None or self.shares(name) or any(matches(each, name) for each in self.allow)

    def shares(self, name: str) -> bool:
        """Tell whether it may use a name that rows of elsewhere have."""
        return any(matches(each, name) for each in self.share)


@dataclass(frozen=True, slots=True)
class Entry:
    """What the namespaces of a pattern may; in names, `{namespace}` stands for the namespace."""

    match: str
    grant: Grant


@dataclass(frozen=True, slots=True)
class Names:
    """What the names file says; without one, nothing."""

    entries: tuple[Entry, ...] = field(default=())

    def of(self, namespace: str) -> Grant:
        """Put together what every entry that matches grants a namespace."""
        grants = [entry.grant for entry in self.entries if matches(entry.match, namespace)]
        allows = [grant.allow for grant in grants if grant.allow is not None]
        return Grant(
            allow=_for(namespace, sum(allows, ())) if allows else None,
            share=_for(namespace, sum((grant.share for grant in grants), ())),
            hosts=frozenset().union(*(grant.hosts for grant in grants)),
            host_network=any(grant.host_network for grant in grants),
            teams=frozenset().union(*(grant.teams for grant in grants)),
        )


def _for(namespace: str, patterns: tuple[str, ...]) -> tuple[str, ...]:
    # the names of namespaces hold no `*` (RFC 1123)
    return tuple(dict.fromkeys(pattern.replace(NAMESPACE, namespace) for pattern in patterns))
