"""Files of manifests: what `check` reads, and what it says of a file it cannot use."""

import json

import pytest

from webhook.check.manifests import MAX_DEPTH, MAX_VALUES, Manifest, ManifestError, read

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: team}\n"
# Ten times as many values with every line.
LEVELS = list(zip("abcdefgh", "bcdefghi", strict=True))
TEN = ", ".join(["*{0}"] * 10)


def only(text: str) -> Manifest:
    """Read the one manifest of a file."""
    (manifest,) = read(text.encode())
    return manifest


def refused(content: str | bytes) -> ManifestError:
    """Read a file that cannot be used."""
    with pytest.raises(ManifestError) as caught:
        read(content if isinstance(content, bytes) else content.encode())
    return caught.value


def test_documents_are_told_apart_with_their_lines() -> None:
    """Every document that is not empty is a manifest, with the line it begins on."""
    found = read(f"# a comment\n---\n{POD}---\n---\n{POD}".encode())
    assert [(one.kind, one.namespace, one.name, one.line) for one in found] == [
        ("Pod", "team", "a", 3),
        ("Pod", "team", "a", 8),
    ]


def test_a_kind_has_its_group() -> None:
    """The kind is told as a review tells it; the core group has no name."""
    assert only("{apiVersion: apps/v1, kind: Deployment}").kind == "apps/Deployment"
    assert only("{apiVersion: v1, kind: Pod}").kind == "Pod"


def test_items_of_lists_are_manifests() -> None:
    """A List is its items, and those of a typed list have the list's kind where they say none."""
    pods = json.dumps({"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "x"}}]})
    text = f"apiVersion: v1\nkind: List\nitems:\n- {{apiVersion: v1, kind: Pod}}\n- {pods}\n"
    (first, second) = read(text.encode())
    assert (first.kind, first.path, first.line) == ("Pod", "items[0]", 4)
    assert (second.kind, second.name, second.path) == ("Pod", "x", "items[1].items[0]")


def test_line_of_a_path() -> None:
    """A path's line is that of its key or item; of what is not in the file, that of the nearest that is."""
    manifest = only(POD + "spec:\n  containers:\n  - name: c\n    args:\n    - a\n    - b\n")
    assert manifest.line_of("spec.containers[0].args[1]") == 9
    assert manifest.line_of("spec.containers[0].args[7]") == 7
    assert manifest.line_of("spec.volumes[0].hostPath") == 4
    assert manifest.line_of("metadata.labels[litellm-registrar.io/server]") == 3


def test_anchors_and_merge_keys_are_written_out() -> None:
    """Aliases are their anchors' values, a merge is below own keys, and lines are those of the text."""
    text = (
        "x: &base {name: a, namespace: one}\napiVersion: v1\nkind: Pod\nmetadata:\n  <<: *base\n  name: b\n"
    )
    manifest = only(text)
    assert (manifest.name, manifest.namespace) == ("b", "one")
    assert manifest.line_of("metadata.name") == 6
    assert manifest.line_of("metadata.namespace") == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-01-01", "2026-01-01"),
        ("1:30", "1:30"),
        ("yes", True),
        ("0755", 493),
        ("'1'", "1"),
        ("~", None),
        ("=", "="),
    ],
)
def test_plain_text_is_read_as_kubectl_reads_it(text: str, value: object) -> None:
    """YAML 1.1's words are taken; its dates and numbers to base 60 are text, as in go-yaml."""
    assert only(f"{POD}spec: {text}\n").obj["spec"] == value


def test_keys_are_text() -> None:
    """A key that YAML takes for a number or a word is the text JSON has for it."""
    assert only(f"{POD}spec: {{1: a, true: b}}\n").obj["spec"] == {"1": "a", "true": "b"}


def test_json_is_read_as_json() -> None:
    """What YAML would read otherwise in JSON, a pair of surrogates, is one character."""
    assert only('{"apiVersion": "v1", "kind": "Pod", "x": "\\ud83d\\ude00"}').obj["x"] == "\U0001f600"


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        ("", None, "holds no manifests"),
        ("---\n# nothing\n", None, "holds no manifests"),
        (b"\xff", None, "not UTF-8"),
        (f"{POD}---\nimage: {{tag: a}}\n", 5, "no manifest"),
        (f"{POD}---\n- a\n", 5, "no manifest"),
        ("apiVersion: v1\nkind: List\nitems:\n- a\n", 4, "items[0] is no manifest"),
        ("a: [\n", 2, "not YAML"),
        ("a: b: c\n", 1, "not YAML"),
        ("{{ if .Values.x }}\n", 1, "helm template"),
        ("{[a]: b}", 1, "a key that is no text"),
        ("a: !!python/object/apply:os.system [x]\n", 1, "tag"),
        (f"{POD}x: .nan\n", None, "not finite"),
        (f"{POD}x: !!binary aGk=\n", None, "JSON does not have"),
        ("[" * (MAX_DEPTH + 1), 1, f"deeper than {MAX_DEPTH}"),
        ('{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1), 1, f"deeper than {MAX_DEPTH}"),
        ("[" * 100_000, 1, f"deeper than {MAX_DEPTH}"),
        ("a: &a [*a]\n", 1, "within its own anchor"),
        ("a: &a [x]\n" + "".join(f"{b}: &{b} [{TEN.format(a)}]\n" for a, b in LEVELS), 7, str(MAX_VALUES)),
        (
            "a: &a {x: y}\n" + "".join(f"{b}: &{b} {{<<: [{TEN.format(a)}]}}\n" for a, b in LEVELS),
            7,
            str(MAX_VALUES),
        ),
    ],
)
def test_what_cannot_be_used_is_said_with_its_line(content: str | bytes, line: int | None, said: str) -> None:
    """A file that is unreadable, hostile or none of manifests is refused, quickly, with the line."""
    error = refused(content)
    assert said in str(error)
    assert error.line == line
