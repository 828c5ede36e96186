"""Patterns of sources: held against a slow and obvious reading of the same rules."""

from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from webhook.sources.found import Location
from webhook.sources.globs import Globs

LETTERS = "ab"
WORD = st.text(LETTERS, min_size=1, max_size=4)
PART = st.one_of(
    WORD, st.just("**"), st.text(LETTERS + "*", min_size=1, max_size=6).filter(lambda t: "**" not in t)
)
EXTRA = st.none() | st.text(LETTERS + "*", min_size=1, max_size=4).filter(lambda t: "**" not in t)
LOCATION = st.builds(
    Location,
    st.just("hf"),
    st.lists(WORD, min_size=1, max_size=5).map("/".join),
    st.just("") | WORD,
    st.just("") | WORD,
)


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """One pattern of the scheme hf."""
    name = "/".join(draw(st.lists(PART, min_size=1, max_size=5)))
    tag, revision = draw(EXTRA), draw(EXTRA)
    return f"hf://{name}" + (f":{tag}" if tag else "") + (f"@{revision}" if revision else "")


def text_matches(pattern: str, text: str) -> bool:
    """`*` is any text; a lone one is not the empty one."""
    if pattern == "*":
        return bool(text)

    @cache
    def at(p: int, t: int) -> bool:
        if p == len(pattern):
            return t == len(text)
        if pattern[p] == "*":
            return at(p + 1, t) or (t < len(text) and at(p, t + 1))
        return t < len(text) and pattern[p] == text[t] and at(p + 1, t + 1)

    return at(0, 0)


def reference(pattern: str, location: Location) -> bool:
    """Read the rules word by word, with all the backtracking they allow."""
    name, _, revision = pattern.removeprefix("hf://").partition("@")
    name, _, tag = name.partition(":")
    if (tag and not text_matches(tag, location.tag)) or (
        revision and not text_matches(revision, location.revision)
    ):
        return False
    wanted, found = name.split("/"), location.name.split("/")

    @cache
    def at(p: int, t: int) -> bool:
        if p == len(wanted):
            return t == len(found)
        if wanted[p] == "**":
            return at(p + 1, t) or (t < len(found) and at(p, t + 1))
        return t < len(found) and text_matches(wanted[p], found[t]) and at(p + 1, t + 1)

    return at(0, 0)


@given(st.lists(patterns(), max_size=6), LOCATION)
def test_a_set_matches_what_one_of_its_patterns_matches(texts: list[str], location: Location) -> None:
    """The trie says of a whole set what the rules say of its patterns one by one."""
    assert Globs.sources(texts).matches(location) is any(reference(text, location) for text in texts)


@given(st.lists(patterns(), max_size=5), st.lists(patterns(), min_size=1, max_size=2), LOCATION)
def test_what_covers_matches_all_that_is_covered(
    wide: list[str], narrow: list[str], location: Location
) -> None:
    """Never is a set said to cover another that matches something it does not."""
    ours, theirs = Globs.sources(wide), Globs.sources(narrow)
    if ours.covers(theirs):
        assert ours.matches(location) or not theirs.matches(location)


@given(st.lists(patterns(), max_size=5), st.data())
def test_a_set_covers_its_parts(texts: list[str], data: st.DataObject) -> None:
    """Leaving patterns out tightens."""
    kept = [text for text in texts if data.draw(st.booleans())]
    assert Globs.sources(texts).covers(Globs.sources(kept))
