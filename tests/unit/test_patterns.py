"""Regular expressions of owners: ordinary ones pass, hostile ones are refused before they match."""

import pytest

from sidecar import patterns


@pytest.mark.parametrize(
    ("pattern", "found", "not_found"),
    [
        ("^qwen", "qwen3", "my-qwen"),
        ("(llama|qwen).*-8b", "Qwen/qwen3-instruct-8b", "qwen3-70b"),
        ("-(awq|gptq)$", "qwen3-awq", "qwen3-awq-2"),
        ("[a-z0-9-]+:latest", "llama-3:latest", "llama-3:8b"),
        ("qwen.*instruct.*awq", "qwen3-instruct-2507-awq", "qwen3-awq"),
        ("(?i)QWEN", "Qwen3", "llama"),
        (r"^v\d+\.\d{1,2}$", "v1.25", "v1.125"),
        (r"[\w.-]+/[^/]+$", "Qwen/Qwen3", "Qwen"),
        ("^(?:org/)?(?P<family>llama|mistral)", "org/mistral", "an-org/mistral"),
        ("^(ab|cd)*$", "abcdab", "abc"),
        ("a{,2}b{2}c{1,}?", "bbc", "bc"),
        ("a{|{}|x{,y", "{}", "a"),
        (r"[]\-^]", "-", "a"),
        (r"\bfp8\b", "qwen fp8", "qwenfp8"),
        ("", "anything", None),
    ],
)
def test_an_ordinary_pattern_is_taken(pattern: str, found: str, not_found: str | None) -> None:
    """It is searched for anywhere in the id, and means what it means in Python."""
    assert patterns.checked(pattern) == pattern
    assert patterns.found(pattern, found)
    assert not_found is None or not patterns.found(pattern, not_found)


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("(a+)+$", "a repeat of what can match in several ways at position 4"),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "several ways at position 12"),
        ("(a|a)*b", "several ways at position 5"),
        ("(a|aa)+$", "several ways"),
        ("(x+x+)+y", "several ways"),
        ("(.*a){20}", "several ways"),
        ("(?i)(k|\u212a)*x", "several ways"),
        ("(a?b|ab)*x", "several ways"),
        ("(a*)*b", "a repeat of what may be empty at position 4"),
        ("^(a?){50}a{50}$", "may be empty"),
        ("(|a)+", "may be empty"),
        (".*.*.*.*=", "over 30000000 steps on a name of 256 characters"),
        ("a*b*c*d*e*f*g*h*", "leave out a repeat, such as the one at position 15"),
        ("(a{1,1000}){8}", "over 30000000 steps"),
        ("(((((a{1,9}){2}){2}){2}){2}){2}", "over 30000000 steps"),
        (r"(a)\1", "a backreference or an octal escape, which are not taken, at position 3"),
        ("(?P<x>a)(?P=x)", "a backreference, which is not taken, at position 8"),
        ("a(?=b)", "a lookahead, which is not taken, at position 1"),
        ("(?!a)", "a lookahead"),
        ("(?<=a)b", "a lookbehind"),
        ("(?<!a)b", "a lookbehind"),
        ("(a)?(?(1)b|c)", "a conditional, which is not taken, at position 4"),
        ("(?>a+)", "an atomic group"),
        ("a++", "a possessive repeat at position 2"),
        ("(?x)a", "a flag; allowed is (?i) at the very beginning"),
        ("a(?i)", "a flag"),
        ("(?#note)", "a comment"),
    ],
)
def test_a_hostile_pattern_is_refused(pattern: str, told: str) -> None:
    """What could take long, or cannot be reckoned, is refused with what it is and where."""
    with pytest.raises(ValueError, match=r".") as caught:
        patterns.checked(pattern)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("*a", "nothing to repeat at position 0"),
        ("a|+", "nothing to repeat at position 2"),
        ("{2}", "nothing to repeat at position 0"),
        ("a**", "a repeat of a repeat at position 1"),
        ("a{1}{2}", "a repeat of a repeat"),
        ("a{3,2}", "{3,2}, allowed are counts up to 1000, the lower one first, at position 1"),
        ("a{99999999999999999999}", "allowed are counts up to 1000"),
        ("(a", "a bracket ( that is not closed at position 0"),
        ("a)b", "a bracket ) that closes nothing at position 1"),
        ("[a", "a set [ that is not closed at position 0"),
        ("[]", "a set [ that is not closed"),
        ("[z-a]", "a range that is not one of ASCII characters, the lower one first, at position 0"),
        (r"[a-\d]", "a range that is not one of ASCII characters"),
        ("[\u00e4-\U0010ffff]", "a range that is not one of ASCII characters"),
        ("[[:alpha:]]", "a [ in a set, to be written \\[, at position 1"),
        ("[a&&b]", "a & in a set"),
        ("[+--]", "a - in a set"),
        ("\\", "an escape \\ that is not taken at position 0"),
        (r"a\x41", r"an escape \x that is not taken at position 1"),
        (r"[\b]", r"an escape \b"),
        ("(?P<a-b>c)", "a group's name"),
        ("(?P<a>b)(?P<a>c)", "a group's name that is none, or is there twice, at position 8"),
        ("(?:" * 21 + "a" + ")" * 21, "more than 20 brackets within one another at position 60"),
        ("()" * 21 + "a", "more than 20 groups (those of (?:...) do not count) at position 40"),
        ("a" * 513, "longer than 512 characters"),
    ],
)
def test_a_mistake_is_told_with_its_place(pattern: str, told: str) -> None:
    """Whoever wrote it finds the spot."""
    with pytest.raises(ValueError, match=r".") as caught:
        patterns.checked(pattern)
    assert told in str(caught.value)


def test_branches_that_exclude_each_other_do_not_multiply() -> None:
    """Only one of `awq` and `gptq` can begin at a place; of `a` and `ab` both can."""
    assert patterns.steps("(a|b)*c") < patterns.MAX_STEPS
    with pytest.raises(ValueError, match="several ways"):
        patterns.steps("(a|ab)*c")


def test_a_repeat_of_several_ways_is_taken_while_it_is_small() -> None:
    """A count that can be multiplied out is no danger."""
    assert patterns.found("^(a{1,3}b){2}$", "aabab")
    with pytest.raises(ValueError, match="several ways"):
        patterns.checked("(a{1,3}b){9}")


def test_brackets_that_catch_nothing_are_not_counted() -> None:
    """Only groups that catch make each step slower."""
    assert patterns.found("(?:a)" * 21 + "()" * 20, "a" * 21)


def test_an_id_that_is_too_long_is_never_found() -> None:
    """The reckoning holds up to MAX_TEXT characters, so longer texts are not searched."""
    assert patterns.found("a", "a" * patterns.MAX_TEXT)
    assert not patterns.found("a", "a" * (patterns.MAX_TEXT + 1))
