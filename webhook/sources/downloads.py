"""What is fetched from a hub by its own tools, before or beside the server: into a directory, at a revision.

From `huggingface_hub`: `cli/download.py` (`hf download`, formerly `huggingface-cli download`), `constants.py`
(where its cache is); `modelscope/cli/download.py`; the signatures of `snapshot_download` and
`hf_hub_download`, called by `python -c` with literal arguments. Any other Python that may load is a script
that cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from webhook.sources import locations
from webhook.sources.argv import Call
from webhook.sources.container import Reading
from webhook.sources.found import Item, Role, SwitchName, Unknown
from webhook.sources.hub import is_secret
from webhook.sources.operands import Given, Word, given, table
from webhook.sources.spot import Spot
from webhook.sources.text import is_known

_HF: Final = table(
    "--type|--repo-type --revision --cache-dir --local-dir --include --exclude --token --max-workers --format"
    " --local-dir-use-symlinks",
    "--force-download --resume-download --quiet --dry-run",
)
_MODELSCOPE: Final = table(
    "--model|--model_id|--model-id|--model --dataset|--dataset_id|--dataset-id|--dataset --revision"
    " --cache_dir --local_dir --include --exclude --token --max-workers --repo-type --endpoint --source",
)
_ABOUT: Final = 400  # characters of a call's arguments that are read
_CODE: Final = 65536
_CALL: Final = re.compile(
    r"\b(snapshot_download|hf_hub_download|model_file_download)\s*\(([^()]{0," + str(_ABOUT) + r"})\)"
)
# What code can load something with, or hide that it does.
_LOADING: Final = re.compile(
    r"_download\b|from_pretrained|pipeline\(|urlretrieve|modelscope|huggingface|\bhf_|\bHf[A-Z]|HF_|boto3|s3fs"
    r"|gcsfs|fsspec|ollama|/api/|exec\(|eval\(|compile\(|__|getattr|globals|vars\(|chr\(|importlib|runpy|base64"
    r"|subprocess|os\.(?!environ\.get|getenv|path)|requests|httpx|aiohttp|http\.client|socket|ctypes|shutil|pathlib"
    r"|tarfile|zipfile|\.(?:write|save|dump|copy|extract|load)|(?<!url)open\("
)
# Names of what is loaded by the calls above, once more; under another name they would not be found.
_IMPORT: Final = re.compile(r"(?:from [\w.]+ )?import [\w., ]+")
_ARGUMENT: Final = re.compile(
    r"""\s*(?:(\w+)\s*=\s*)?(?:"([^"\\]*)"|'([^'\\]*)'|([^,"']*)|(.[^,]*))\s*(?:,|$)""", re.ASCII | re.DOTALL
)
_URI: Final = "hf://"
_CONSTANTS: Final = frozenset({"None", "True", "False"})
# Keywords of those calls by what they say.
_KEYWORDS: Final = {
    "repo_id": "repo",
    "model_id": "repo",
    "revision": "revision",
    "repo_type": "repo-type",
    "local_dir": "local-dir",
    "cache_dir": "cache-dir",
    "endpoint": "endpoint",
    "token": "token",
}


def hf(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give what `hf download REPO [FILE...]` fetches, and `hf cp hf://... DIRECTORY`."""
    spot, found = Spot(reading, call), given(call.words, start, _HF)
    command, *operands = found.operands or [Word("", start)]
    download = command.text == "download"
    if download and operands and not operands[0].text.startswith(_URI):
        yield from _fetched(spot, found, operands[0], locations.HUB)
        return
    into = _target(spot, found) if download else operands[-1].text if len(operands) > 1 else ""
    for word in operands:
        if word.text.startswith(_URI):
            yield spot.url(Role.WEIGHTS, word, into)


def modelscope(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give what `modelscope download --model REPO` (or just `REPO`) fetches."""
    found = given(call.words, start, _MODELSCOPE)
    if not found.operands or found.operands[0].text != "download":
        return
    named = found.last("model", "dataset") or (found.operands[1] if len(found.operands) > 1 else None)
    for word in found.all("endpoint"):
        yield Spot(reading, call).switch(SwitchName.HUB_ENDPOINT, word.text, word.at)
    if named:
        yield from _fetched(Spot(reading, call), found, named, locations.MODELSCOPE)


def python(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give what `python -c CODE` fetches, or `python -m` one of the tools above."""
    words = call.words
    index = start
    while index < len(words) and words[index][:1] == "-":
        option = words[index]
        if option[:2] != "--" and option.endswith(("c", "m")) and not option.startswith(("-W", "-X")):
            break
        index += 2 if option in {"-W", "-X"} else 1
    if index + 1 >= len(words) or words[index][:1] != "-":
        return
    if words[index].endswith("m"):
        module = words[index + 1]
        tool = hf if module.startswith("huggingface_hub.") else modelscope
        if module.startswith(("huggingface_hub.", "modelscope.cli")):
            yield from tool(reading, call, index + 2)
        return
    yield from _code(Spot(reading, call), Word(words[index + 1], index + 1))


def _code(spot: Spot, code: Word) -> Iterator[Item]:
    """Read the calls of Python code that load something, as far as their arguments are literal."""
    text = code.text
    if len(text) <= _CODE:
        scheme = locations.MODELSCOPE if "modelscope" in text else locations.HUB
        for match in _CALL.finditer(text):
            found = _arguments(match[2], code.at)
            if found is None or not found.all("repo"):
                break
            for word in found.all("endpoint"):
                yield spot.switch(SwitchName.HUB_ENDPOINT, word.text, word.at)
            yield from _fetched(spot, found, found.options["repo"][-1], scheme)
        else:
            rest = _IMPORT.sub(lambda m: m[0] if " as " in m[0] else "", _CALL.sub("", text))
            if not _LOADING.search(rest) and is_known(rest):
                return
    yield spot.unresolvable(Role.WEIGHTS, Unknown.SCRIPT, "Python code that may load anything", code.at)


def _arguments(text: str, at: int) -> Given | None:
    """Read the arguments of a call; None if one that matters is no literal."""
    found, position = Given(), 0
    while position < len(text):
        match = _ARGUMENT.match(text, position)
        if match is None or match.end() == position:
            return None
        first, position = position == 0, match.end()
        keyword, double, single = match[1], match[2], match[3]
        value = double if double is not None else single
        name = _KEYWORDS.get(keyword) if keyword else "repo" if first else None
        if value is not None and name:
            found.add(name, Word(value, at))
        elif "*" in (other := (match[4] or match[5] or "").strip()) or (name and other not in _CONSTANTS):
            return None
    return found


def _fetched(spot: Spot, found: Given, repo: Word, scheme: str) -> Iterator[Item]:
    """Give the source, at its revision, and the directory it goes to."""
    token = found.last("token")
    if token and is_secret("TOKEN", token.text):
        yield spot.switch(SwitchName.SECRET, "--token", token.at)
    kind, revision = found.last("repo-type"), found.last("revision")
    for word in (repo, kind, revision):
        if word and not is_known(word.text):
            yield spot.variable(Role.WEIGHTS, word)
            return
    try:
        location = locations.hub(repo.text, revision.text if revision else "", scheme)
    except locations.BadValueError as error:
        yield spot.unresolvable(Role.WEIGHTS, Unknown.BAD_VALUE, str(error), repo.at)
        return
    if found.all("dataset") or (kind and kind.text != "model"):
        location = location._replace(name=f"{kind.text if kind else 'dataset'}s/{location.name}")
    target = _target(spot, found) if scheme == locations.HUB else _told(found)
    yield spot.source(Role.WEIGHTS, location, repo.at, target)


def _told(found: Given) -> str:
    into = found.last("local-dir", "cache-dir")
    return into.text if into else ""


def _target(spot: Spot, found: Given) -> str:
    """Give the directory a download goes to: as told, else the cache if a variable says where that is."""
    env = spot.call.env
    if told := _told(found):
        return told
    home = env.get("HF_HOME")
    return env.get("HF_HUB_CACHE") or env.get("HUGGINGFACE_HUB_CACHE") or (f"{home}/hub" if home else "")
