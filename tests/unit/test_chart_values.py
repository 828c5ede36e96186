"""The table of the chart's values, made from the comments in values.yaml."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import docs
from tests.chart_values import UndocumentedError, Value, values


def test_every_value_has_its_path_what_ships_and_its_comment() -> None:
    """Headings are descended into; a comment may have several lines, and may be of a mapping as a whole."""
    text = """\
# about the file
# -- One.
one: 1
two:
  # not this
  # -- Two's
  # second line.
  part: []
  # -- Whole.
  whole: {a: x}
"""
    assert values(text) == [
        Value("one", 1, "One."),
        Value("two.part", [], "Two's second line."),
        Value("two.whole", {"a": "x"}, "Whole."),
    ]


@pytest.mark.parametrize(
    "text", ["a:\n  b: 1\n", "a:\n  # just said\n  b: 1\n", "a:\n  # -- Far away.\n\n  b: 1\n"]
)
def test_a_value_without_a_comment_is_named(text: str) -> None:
    """What no `# --` stands above cannot be rendered."""
    with pytest.raises(UndocumentedError, match=r"^values\.yaml: a\.b \(line \d\): found no # -- above it$"):
        values(text)


@pytest.mark.parametrize("name", [file.relative_to(docs.ROOT).as_posix() for file in docs.FILES])
def test_what_is_rendered_is_current(name: str) -> None:
    """Every file holds what the code and values.yaml say now (`make docs` renders it)."""
    file = docs.ROOT / name
    _, stale = docs.rendered(file.read_text(), docs.FILES[file])
    assert stale == ()


def test_a_stale_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` says which file and which part, and changes nothing."""
    file = tmp_path / "README.md"
    file.write_text("<!-- x -->\nold\n<!-- /x -->\n")
    assert docs.main(["--check"], {file: {"x": lambda: "new"}}) == 1
    assert f"{file}: is stale: x" in capsys.readouterr().err
    assert "old" in file.read_text()


def allowed(schema: Any, documented: frozenset[str], above: str = "") -> Iterator[str]:
    """Give the path of all that the schema lets be set; what is documented is one, whatever is in it."""
    for key, value in schema["properties"].items():
        path = f"{above}{key}"
        if path not in documented and "properties" in value:
            yield from allowed(value, documented, f"{path}.")
        else:
            yield path


def test_the_schema_lets_be_set_what_is_documented() -> None:
    """And nothing else but `global`, which a chart that has this one as its part passes on."""
    documented = frozenset(value.path for value in values((docs.CHART / "values.yaml").read_text()))
    schema = json.loads((docs.CHART / "values.schema.json").read_text())
    assert set(allowed(schema, documented)) == {*documented, "global"}
