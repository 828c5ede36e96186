"""Rules over where models come from. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from posixpath import normpath
from typing import Any, Final
from urllib.parse import urlsplit

from webhook.pods import mapping, objects
from webhook.policy.composed import Object
from webhook.policy.extracted import known, off, one_of, short, unknown
from webhook.policy.kinds import Allowed, Choice, Flag, GlobList, Revision, UrlList, origin
from webhook.policy.rule import Rule
from webhook.policy.subject import Container, Subject
from webhook.policy.verdict import Finding
from webhook.sources.found import Backing, Location, Role, Source, SwitchName, Unknown
from webhook.sources.globs import Globs

_GROUP: Final = "modelSources"
_ABOUT: Final = frozenset(
    {
        None,  # whatever is hidden may name a model
        *Role,
        SwitchName.RUNTIME_LOADING,
        SwitchName.REDIRECT,
        SwitchName.HUB_ENDPOINT,
        SwitchName.INSECURE_REGISTRY,
    }
)
# Their names can be moved to other content later; what pins them is a commit.
_HUBS: Final = frozenset({"hf", "modelscope"})
# huggingface_hub takes 5 to 40 digits for a commit (`REGEX_COMMIT_HASH`); fewer than 40 can also be a branch.
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
# `ENDPOINT` of huggingface_hub/constants.py where no variable sets another.
_HUB: Final = "HF_ENDPOINT"
_HUB_HOSTS: Final = frozenset(
    {"huggingface.co", "hf.co", "modelscope.cn", "modelscope.ai", "ollama.ai", "ollama.com"}
)
_DEFAULT_HUB: Final = "https://huggingface.co"
_RESOLVING: Final = frozenset({"/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf"})
# What URL libraries disagree on: urllib3 ends a host at a backslash, others at the `@` behind it.
_AMBIGUOUS_IN_URLS: Final = frozenset("@\\")


def _allow(subject: Subject, value: Globs, group: Mapping[str, Any]) -> Iterator[Finding]:
    wanted: dict[str, str] = {}
    for source in subject.extract.sources:
        scheme = source.location.scheme
        if source.local and scheme == "file" and group.get("localPaths") is not None:
            continue
        if not value.matches(source.location):
            if scheme not in wanted:
                wanted[scheme] = one_of(value.patterns, f"{scheme}://")
            yield Finding(source.path, _named(source), wanted[scheme], source.container)


def _revision(subject: Subject, value: str, _group: Mapping[str, Any]) -> Iterator[Finding]:
    for source in subject.extract.sources:
        if wanted := _unpinned(source.location, value):
            yield Finding(source.path, _named(source), wanted, source.container)


def _unpinned(location: Location, asked: str) -> str:
    """Say what pins a source; empty if it is pinned, or if its kind cannot be by its name."""
    if asked == "none":
        return ""
    if location.scheme in _HUBS:
        if asked == "any":
            return "" if location.revision else "a revision"
        return "" if _COMMIT.fullmatch(location.revision) else "a revision of 40 hex digits"
    if location.scheme == "oci":
        if asked == "any" and location.tag:
            return ""
        return "" if location.revision else "a digest, @sha256:…"
    return ""


def _endpoints(subject: Subject, value: frozenset[str], _group: Mapping[str, Any]) -> Iterator[Finding]:
    wanted = one_of(sorted(value))
    for switch in subject.extract.switches:
        if switch.name is SwitchName.HUB_ENDPOINT and (url := _origin(switch.value)) not in value:
            yield Finding(switch.path, short(url) or "no plain URL", wanted, switch.container)
    yield from _aliases(subject, value)
    yield from _resolvers(subject)
    if _DEFAULT_HUB in value:
        return
    moved = {container.name for container in subject.containers if _moves_hub(container)}
    for source in subject.extract.sources:
        if source.location.scheme == "hf" and source.container not in moved:
            found = f"{_DEFAULT_HUB}, the default"
            yield Finding(source.path, found, f"{_HUB} {wanted}", source.container)


def _aliases(subject: Subject, urls: frozenset[str]) -> Iterator[Finding]:
    """Give the names of hubs for which the pod has an address of its own."""
    hosts = {*_HUB_HOSTS, *(urlsplit(url).hostname for url in urls)}
    for index, alias in objects(subject.spec.get("hostAliases")):
        names = alias.get("hostnames")
        for name in names if isinstance(names, list) else ():
            if isinstance(name, str) and not hosts.isdisjoint(_with_parents(name.lower().rstrip("."))):
                path = f"{subject.path}.hostAliases[{index}]"
                yield Finding(path, f"an address for {short(name)}", "none for a hub")


def _resolvers(subject: Subject) -> Iterator[Finding]:
    """Give where a pod says whom it asks for addresses, or brings a list of its own."""
    servers = mapping(subject.spec.get("dnsConfig")).get("nameservers")
    if servers:
        yield Finding(f"{subject.path}.dnsConfig.nameservers", "name servers of its own", "the cluster's")
    for container in subject.containers:
        for index, mount in objects(container.raw.get("volumeMounts")):
            path = mount.get("mountPath")
            if isinstance(path, str) and normpath("/" + path.lstrip("/")) in _RESOLVING:
                yield Finding(
                    f"{container.path}.volumeMounts[{index}]", short(path), "the kubelet's", container.name
                )


def _with_parents(host: str) -> tuple[str, str]:
    """Give a host and its domain, as far as a hub's own has two labels."""
    return host, ".".join(host.rsplit(".", 2)[-2:])


def _moves_hub(container: Container) -> bool:
    """Tell whether a container has the hub's variable at all, or a command that sets it."""
    words = (container.raw.get(field) for field in ("command", "args"))
    return any(
        entry.get("name") == _HUB and (entry.get("value") or entry.get("valueFrom"))
        for _, entry in objects(container.raw.get("env"))
    ) or any(
        isinstance(word, str) and f"{_HUB}=" in word
        for listed in words
        for word in (listed if isinstance(listed, list) else ())
    )


def _origin(text: str) -> str:
    if _AMBIGUOUS_IN_URLS.intersection(text) or not text.isprintable():
        return ""
    try:
        return origin(text)
    except ValueError:
        return ""


def _local(subject: Subject, value: Mapping[str, Any], _group: Mapping[str, Any]) -> Iterator[Finding]:
    paths, backings = value.get("allow"), value.get("backedBy")
    for source in subject.extract.sources:
        local = source.local
        if local is None:
            continue
        if paths is not None and not paths.matches(local.path):
            yield Finding(source.path, short(local.path), one_of(paths.patterns), source.container)
        if backings is not None and local.backing not in backings:
            found = f"{short(local.path)} on {local.backing}"
            yield Finding(source.path, found, one_of(backings), source.container)
        if value.get("readOnly") and not local.read_only:
            yield Finding(source.path, f"{short(local.path)} is writable", "readOnly: true", source.container)


def _cloud(subject: Subject, _value: Any, _group: Mapping[str, Any]) -> Iterator[Finding]:
    for source in subject.extract.sources:
        tag = source.location.tag.lower()
        # `:cloud` and `-cloud` mean inference elsewhere (ollama/internal/modelref).
        if source.location.scheme == "ollama" and (tag == "cloud" or tag.endswith("-cloud")):
            yield Finding(source.path, _named(source), "a model that runs in the pod", source.container)


def _at_run_time(subject: Subject, value: Any, group: Mapping[str, Any]) -> Iterator[Finding]:
    yield from _switched(subject, value, group)
    for item in subject.extract.unresolved:
        if item.reason is Unknown.RUNTIME:
            yield unknown(item)


_switched: Final = off(SwitchName.RUNTIME_LOADING, "only what the pod names")


def _named(source: Source) -> str:
    return f"{source.role} {short(str(source.location))}"


RULES: Final = (
    Rule(
        _GROUP,
        "allow",
        GlobList(Globs.sources, "sources, like `hf://meta-llama/*` or `s3://models/**`"),
        "where models, tokenizers, adapters and weights may come from, caches of them on claims included; "
        "`*` is one component, `**` any number",
        _allow,
    ),
    Rule(
        _GROUP,
        "requireRevision",
        Revision(),
        "how a hub's source is pinned: `any` revision, or a `commit` of 40 hex digits. Images need a tag "
        "or digest, for `commit` a digest. Object stores and Ollama's names cannot be: `allow` decides",
        _revision,
    ),
    Rule(
        _GROUP,
        "hubEndpoints",
        UrlList(),
        "the hubs that `HF_ENDPOINT` and its like may name; without such a variable the hub is "
        f"{_DEFAULT_HUB}. No `hostAliases` may say where a hub is, nor name servers of the pod's own",
        _endpoints,
    ),
    Rule(
        _GROUP,
        "localPaths",
        Object(
            {
                "allow": GlobList(Globs.paths, "paths, like `/models/**`"),
                "backedBy": Allowed(tuple(Backing)),
                "readOnly": Flag(),
            },
            additive=False,  # `allow` judges local paths too, as long as this is absent
        ),
        "paths that a model may be loaded from, what may hold them, and whether their mount is read-only",
        _local,
    ),
    Rule(_GROUP, "ollamaCloud", Choice(), "models that run at ollama.com, and prompts with them", _cloud),
    Rule(
        _GROUP,
        "runtimeLoading",
        Choice(),
        "models or adapters are loaded only while the server runs: by request, by a resolver, by an Ollama "
        "that nothing in the pod tells what to pull",
        _at_run_time,
    ),
    Rule(
        _GROUP,
        "redirect",
        Choice(),
        "a file maps models to others (`VLLM_MODEL_REDIRECT_PATH`)",
        off(SwitchName.REDIRECT, "the models as named"),
    ),
    Rule(
        _GROUP,
        "insecureRegistry",
        Choice(),
        "models are pulled without TLS, or without a look at the certificate (`--insecure`)",
        off(SwitchName.INSECURE_REGISTRY, "a registry with TLS"),
    ),
    Rule(
        _GROUP,
        "unresolvable",
        Choice(),
        "it cannot be known from the pod what is loaded; without it `defaults.onUnresolvable` counts",
        known(_ABOUT),
    ),
)
