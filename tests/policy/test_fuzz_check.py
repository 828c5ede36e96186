"""Whatever a manifest looks like, `check` reads it or says why not, and judges it."""

import random
from typing import Any, Final

from tests.policy.honest.corpus import CONFIG, FOLDER, manifests, paths
from tests.policy.test_fuzz import mutated
from webhook.check.cluster import Survey
from webhook.check.manifests import ManifestError, read
from webhook.check.report import Entry, Format, written
from webhook.check.verdicts import Engine
from webhook.policy.document import parse
from webhook.policy.table import RULES

OBJECTS: Final = 500
FILES: Final = 2_000
ENGINE: Final = Engine(parse((FOLDER / "policy.yaml").read_text(), RULES), CONFIG, now=0.0)
PIECES: Final = (
    *("\n", " ", "  ", "\t", ": ", "- ", "---\n", "&a ", "*a", "<<: *a", "{", "}", "[", "]", "'", '"', "|\n"),
    *("#", "!!str ", "!x ", "? ", "\0", "\x85", "\ud83d", "%YAML 1.2\n", "items:\n", "kind: List\n", "="),
    *("~", ".inf"),
)


def test_fuzzed_objects_are_judged_and_told() -> None:
    """Objects of all kinds, changed at random at all depths, are judged as manifests and as what lives."""
    rng = random.Random(20261121)  # noqa: S311 - the same objects every time
    corpus = [(one.manifest.kind, dict(one.manifest.obj)) for path in paths() for one in manifests(path)]
    every: list[dict[str, Any]] = [obj for _, obj in corpus]
    survey = Survey(ENGINE)
    for number in range(OBJECTS):
        kind, obj = corpus[number % len(corpus)]
        changed = mutated(obj, rng, every)
        entry = Entry(ENGINE.check(kind, changed, "ns"), "file", 1, len)
        for form in Format:
            assert all(
                line.isprintable() or form is Format.JSON for line in written(form, [entry], ENGINE.policy)
            )
        survey.add(kind, changed)
    survey.entries()


def test_fuzzed_files_are_read_or_refused() -> None:
    """Files with pieces cut out and put in are manifests with lines, or refused with a reason."""
    rng = random.Random(20261121)  # noqa: S311 - the same files every time
    texts = [path.read_text() for path in paths()]
    refused = 0
    for number in range(FILES):
        text = texts[number % len(texts)]
        for _ in range(rng.randint(1, 4)):
            cut = rng.randint(0, len(text))
            text = text[:cut] + rng.choice(PIECES) + text[cut + rng.choice((0, 0, 1, 20)) :]
        try:
            found = read(text.encode(errors="surrogatepass"))
        except ManifestError:
            refused += 1
            continue
        lines = text.count("\n") + text.count("\x85") + 2
        for manifest in found:
            assert 1 <= manifest.line_of("spec.template.spec.containers[0].args[0]") <= lines
    assert 0 < refused < FILES
