"""Patterns for sources, images and paths, matched component by component.

`*` stands for any text within one component, `**` alone between slashes for any number of components, none
included. A pattern without tag or revision takes any; a `*` there takes any that is said. Patterns lie in
one trie: matching walks it once, whatever the number of patterns, and nothing in it can backtrack.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from webhook.sources import locations
from webhook.sources.found import Location
from webhook.sources.images import ImageRef, split

_MAX: Final = 512
_MAX_DEEP: Final = 8
_DEEP: Final = "**"
# Stands for "no tag is asked for" where patterns are held against patterns; no pattern can hold it.
_ANYTHING: Final = "\0"
_PLAIN: Final = re.compile(r"[!#$%&'()+,\-./0-9:;<=>@A-Z^_`a-z|~*]*")
_TAGGED: Final = frozenset({locations.HUB, locations.MODELSCOPE, "oci", "ollama"})
_COLON_BEFORE_FILES: Final = frozenset({locations.HUB, locations.MODELSCOPE})


class GlobError(ValueError):
    """What is no pattern; the message says what was found and what is allowed."""


class _Pattern(NamedTuple):
    """A pattern's components, and what it asks of tag and revision (None: anything)."""

    parts: tuple[str, ...]
    tag: str | None = None
    revision: str | None = None


class Globs:
    """A set of patterns; as a whole it matches what one of them matches."""

    __slots__ = ("_hash", "_parsed", "_root", "patterns")

    def __init__(self, texts: Iterable[str], patterns: Iterable[_Pattern]) -> None:
        self.patterns = tuple(texts)
        self._parsed = tuple(patterns)
        self._root = _Node()
        for pattern in self._parsed:
            self._root.add(pattern)
        self._hash = hash(frozenset(self._parsed))

    @classmethod
    def sources(cls, texts: Iterable[str]) -> Globs:
        """Read patterns of sources, like `hf://meta-llama/*@*` or `pvc://claim/**`. Raises GlobError."""
        texts = tuple(texts)
        return cls(texts, map(_source, texts))

    @classmethod
    def images(cls, texts: Iterable[str]) -> Globs:
        """Read patterns of images, like `vllm/vllm-openai:v*` or `registry.example.com/llm/**`.

        They are completed like references: `vllm/*` is `docker.io/vllm/*`. Raises GlobError.
        """
        texts = tuple(texts)
        return cls(texts, map(_image, texts))

    @classmethod
    def paths(cls, texts: Iterable[str]) -> Globs:
        """Read patterns of absolute paths, like `/models/**`. Raises GlobError."""
        texts = tuple(texts)
        return cls(texts, map(_path, texts))

    @classmethod
    def names(cls, texts: Iterable[str]) -> Globs:
        """Read patterns of single names, like `team-a-*`. Raises GlobError."""
        texts = tuple(texts)
        return cls(texts, map(_name, texts))

    def matches(self, what: Location | ImageRef | str) -> bool:
        """Tell whether a pattern matches a source, an image, a path (`/models/x`) or a name."""
        if isinstance(what, str):
            parts = what.split("/") if what[:1] == "/" else [what]
            return self._root.matches(parts, "", "")
        at = what.location if isinstance(what, ImageRef) else what
        return self._root.matches([at.scheme, *at.name.split("/")], at.tag, at.revision)

    def covers(self, other: Globs) -> bool:
        """Tell whether this set surely matches all that `other` matches.

        Each pattern of `other` must lie within one of these: true is always right, false may be too careful.
        """
        return all(self._covers(pattern) for pattern in other._parsed)

    def _covers(self, pattern: _Pattern) -> bool:
        tag = _ANYTHING if pattern.tag is None else pattern.tag
        revision = _ANYTHING if pattern.revision is None else pattern.revision
        return self._root.matches(pattern.parts, tag, revision)

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Globs) and set(self._parsed) == set(other._parsed)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Globs({list(self.patterns)})"


class _Node:
    """What may follow the components so far.

    `ends` leads to a node for the tag, that one's `ends` to one for the revision, that one's is the end.
    """

    __slots__ = ("anything", "deep", "ends", "globs", "literals", "loops")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.globs: _Parts | None = None
        # Follows without a component of its own, and takes any number of them.
        self.deep: _Node | None = None
        self.loops = False
        # Where a tag or revision is not asked for.
        self.anything: _Node | None = None
        self.ends: _Node | None = None

    def add(self, pattern: _Pattern) -> None:
        """Add one pattern."""
        node = self
        for part in pattern.parts:
            node = node.child(part)
        for extra in (pattern.tag, pattern.revision):
            node.ends = node.ends or _Node()
            node = node.ends
            if extra is None:
                node.anything = node.anything or _Node()
                node = node.anything
            else:
                node = node.child(extra)
        node.ends = node

    def child(self, part: str) -> _Node:
        """Give the node behind a component, made if it is new."""
        if part == _DEEP:
            if self.deep is None:
                self.deep = _Node()
                self.deep.loops = True
            return self.deep
        if "*" not in part:
            return self.literals.setdefault(part, _Node())
        self.globs = self.globs or _Parts()
        return self.globs.add(part)

    def after(self, part: str) -> Iterator[_Node]:
        """Give the nodes behind one component of what is matched."""
        if self.loops:
            yield self
        if part == _DEEP:
            return
        if found := self.literals.get(part):
            yield found
        if self.globs:
            yield from self.globs.after(part)
        if self.anything:
            yield self.anything

    def matches(self, parts: Sequence[str], tag: str, revision: str) -> bool:
        """Tell whether a pattern below matches."""
        nodes = _with_deep((self,))
        for part in parts:
            nodes = _with_deep(after for node in nodes for after in node.after(part))
            if not nodes:
                return False
        for extra in (tag, revision):
            nodes = [after for node in nodes if node.ends for after in node.ends.after(extra)]
        return bool(nodes)


def _with_deep(nodes: Iterable[_Node]) -> list[_Node]:
    """Give the nodes and those a `**` leads on to without a component, each once."""
    found = dict.fromkeys(nodes)
    # behind one `**` stands no other
    found |= dict.fromkeys([node.deep for node in found if node.deep])
    return list(found)


class _Parts:
    """Components with a `*`, found by their longest literal text, so that thousands cost what a few do."""

    __slots__ = ("by_fragment", "by_prefix", "by_suffix", "nodes", "star")

    def __init__(self) -> None:
        self.nodes: dict[str, _Node] = {}
        self.star: _Node | None = None
        # length of the text -> the text -> components (with their fragments) that hold it there
        self.by_prefix: dict[int, dict[str, list[tuple[_Fragments, _Node]]]] = {}
        self.by_suffix: dict[int, dict[str, list[tuple[_Fragments, _Node]]]] = {}
        self.by_fragment: dict[int, dict[str, list[tuple[_Fragments, _Node]]]] = {}

    def add(self, part: str) -> _Node:
        """Add a component, and give the node behind it."""
        if part in self.nodes:
            return self.nodes[part]
        node = self.nodes[part] = _Node()
        if part == "*":
            self.star = node
            return node
        prefix, *middle, suffix = part.split("*")
        fragments = _Fragments(prefix, tuple(filter(None, middle)), suffix)
        longest = max((prefix, suffix, *middle), key=len)
        index = (
            self.by_prefix if longest == prefix else self.by_suffix if longest == suffix else self.by_fragment
        )
        index.setdefault(len(longest), {}).setdefault(longest, []).append((fragments, node))
        return node

    def after(self, part: str) -> Iterator[_Node]:
        """Give the nodes behind the components that match."""
        if not part or part == _ANYTHING:
            return
        if self.star:
            yield self.star
        for length, known in self.by_prefix.items():
            yield from _of(known.get(part[:length]), part)
        for length, known in self.by_suffix.items():
            yield from _of(known.get(part[-length:]), part)
        for length, known in self.by_fragment.items():
            windows = {part[at : at + length] for at in range(len(part) - length + 1)}
            for window in known.keys() & windows:
                yield from _of(known[window], part)


class _Fragments(NamedTuple):
    """The literal texts between the stars of one component."""

    prefix: str
    middle: tuple[str, ...]
    suffix: str

    def match(self, text: str) -> bool:
        """Tell whether they stand in the text in this order; the first place that fits is as good as any."""
        at, end = len(self.prefix), len(text) - len(self.suffix)
        if at > end or not (text.startswith(self.prefix) and text.endswith(self.suffix)):
            return False
        for fragment in self.middle:
            found = text.find(fragment, at, end)
            if found < 0:
                return False
            at = found + len(fragment)
        return True


def _of(candidates: Sequence[tuple[_Fragments, _Node]] | None, part: str) -> Iterator[_Node]:
    return (node for fragments, node in candidates or () if fragments.match(part))


def _source(text: str) -> _Pattern:
    if text == _DEEP:
        return _Pattern((_DEEP,))
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator:
        raise GlobError(f"{_shown(text)} has no scheme; allowed is one like hf://, s3://, pvc:// or oci://")
    if scheme not in locations.SCHEMES:
        raise GlobError(f"{_shown(text)} has no known scheme; allowed are {', '.join(locations.SCHEMES)}")
    if scheme == "oci":
        return _image(rest)
    name, tag, revision = rest, None, None
    if scheme in _TAGGED:
        name, tag, revision = _extras(text, rest, files=scheme in _COLON_BEFORE_FILES)
    if scheme in {"http", "https", "git"}:
        host, slash, tail = name.partition("/")
        name = f"{host.lower()}{slash}{tail}"
    return _Pattern((scheme, *_parts(text, name, absolute=scheme == "file")), tag, revision)


def _image(text: str) -> _Pattern:
    if text == _DEEP:
        return _Pattern(("oci", _DEEP))
    name, tag, revision = _extras(text, text, files=False)
    if name.partition("/")[0] != _DEEP:
        first, slash, rest = name.partition("/")
        # a star for the registry is meant as one: `*/vllm/vllm-openai`
        registry, repository = (first, rest) if slash and "*" in first else split(name)
        name = f"{registry}/{repository}"
    parts = _parts(text, name)
    if any(part != part.lower() for part in parts):
        raise GlobError(f"{_shown(text)} has upper-case letters; an image's name has none")
    return _Pattern(("oci", *parts), tag, revision)


def _path(text: str) -> _Pattern:
    if text[:1] != "/":
        raise GlobError(f"{_shown(text)} is no absolute path; allowed is one that begins with /")
    return _Pattern(tuple(_parts(text, text, absolute=True)))


def _name(text: str) -> _Pattern:
    if "/" in text:
        raise GlobError(f"{_shown(text)} has a slash; allowed is one name, '*' stands for any part of it")
    return _Pattern(tuple(_parts(text, text)))


def _extras(text: str, rest: str, *, files: bool) -> tuple[str, str | None, str | None]:
    """Split tag and revision off; a hub's tag may be a file's path, elsewhere a port may stand before it."""
    name, at, revision = rest.partition("@")
    head, slash, last = ("", "", name) if files else name.rpartition("/")
    last, colon, tag = last.partition(":")
    for mark, extra in ((at, revision), (colon, tag)):
        if mark and not extra:
            raise GlobError(f"{_shown(text)} has nothing behind its {mark!r}; '*' stands for any")
        if "**" in extra:
            raise GlobError(f"{_shown(text)} has '**' behind its {mark!r}; allowed is '*'")
    return f"{head}{slash}{last}", tag if colon else None, revision if at else None


def _parts(text: str, name: str, *, absolute: bool = False) -> Sequence[str]:
    """Split a name into components, and hold them to what is allowed."""
    if len(text) > _MAX:
        raise GlobError(f"{_shown(text)} has {len(text)} characters, at most {_MAX} are allowed")
    if not _PLAIN.fullmatch(text):
        raise GlobError(
            f"{_shown(text)} has a blank, a bracket, '?' or a letter beyond ASCII; wildcards are '*' and '**'"
        )
    parts = name.split("/")
    for part in parts[1:] if absolute and not parts[0] else parts:
        if part in {"", ".", ".."}:
            raise GlobError(
                f"{_shown(text)} has an empty, '.' or '..' component; '/**' at the end is all below"
            )
        if "**" in part and part != _DEEP:
            raise GlobError(
                f"{_shown(text)} has '**' within a component; it must stand alone between slashes"
            )
    if parts.count(_DEEP) > _MAX_DEEP:
        raise GlobError(f"{_shown(text)} has more than {_MAX_DEEP} '**'")
    # two of them say no more than one
    return [part for part, before in zip(parts, ["", *parts], strict=False) if not part == before == _DEEP]


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:80]}...")  # noqa: PLR2004 - a message's length
