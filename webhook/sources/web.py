"""What curl and wget fetch, and what they tell an Ollama server to load.

From curl's manual (`-d` joins with `&`, `--json` with nothing, `@` reads a file, braces and brackets of a URL
make several) and those of GNU and BusyBox wget. What goes to a terminal, a probe's answer or a notification,
is no model: a download counts where its name is a model file's, where it comes from a hub, and where it is
written into a volume.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final

from webhook.pods import objects
from webhook.sources import locations
from webhook.sources.argv import Call, basename
from webhook.sources.container import Reading
from webhook.sources.found import Item, Role, SwitchName, Unknown, Unresolvable
from webhook.sources.ollama_sources import api_path, request
from webhook.sources.operands import Given, Word, given, table
from webhook.sources.spot import Spot
from webhook.sources.text import is_known, unknown

_CURL: Final = table(
    "-H|--header -X|--request -d|--data-ascii|--data --data-raw --data-binary --data-urlencode --json"
    " -o|--output --output-dir -u|--user -A|--user-agent -b|--cookie -c|--cookie-jar -C|--continue-at"
    " -D|--dump-header -e|--referer -E|--cert -F|--form --form-string -K|--config -m|--max-time -P|--ftp-port"
    " -Q|--quote -r|--range -t|--telnet-option -T|--upload-file -U|--proxy-user -w|--write-out -x|--proxy"
    " -y|--speed-time -Y|--speed-limit -z|--time-cond --url --retry --retry-delay --retry-max-time"
    " --connect-timeout --cacert --capath --key --resolve --connect-to --limit-rate --interface --unix-socket"
    " --abstract-unix-socket --oauth2-bearer --aws-sigv4 --variable --max-filesize --max-redirs --noproxy"
    " --request-target --expand-url --expand-data --expand-json --expand-output",
    "-O|--remote-name --remote-name-all -J|--remote-header-name -g|--globoff -G|--get -I|--head",
)
_WGET: Final = table(
    "-O|--output-document -o|--output-file -a|--append-output -P|--directory-prefix -t|--tries -T|--timeout"
    " -w|--wait -U|--user-agent --header --post-data --post-file --method --body-data --body-file --user"
    " --password --http-user --http-password -i|--input-file -e|--execute --ca-certificate --certificate"
    " --private-key --limit-rate -Q|--quota --waitretry --read-timeout --connect-timeout --dns-timeout"
    " -A|--accept -R|--reject -l|--level -D|--domains --config --cut-dirs --referer",
    "--spider",
)
_HTTPIE: Final = table("-o|--output -a|--auth -A|--auth-type --timeout --proxy --session -p|--print --raw")
_FILES: Final = (
    *(".gguf", ".ggml", ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".onnx", ".npz", ".h5", ".nemo"),
    *(".tar", ".tgz", ".gz", ".zst", ".xz", ".zip", ".tensors", ".llamafile", ".engine"),
)
# Shards of a model are fewer.
_MAX_URLS: Final = 500
_NOWHERE: Final = frozenset({"-", "/dev/null", "/dev/stdout", "/dev/stderr", ""})


def curl(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give what curl fetches, and what the request it sends loads."""
    spot, found = Spot(reading, call), given(call.words, start, _CURL)
    for word in found.all("config"):
        yield spot.unresolvable(
            Role.WEIGHTS, Unknown.CONFIG_FILE, "URLs may stand in curl's own file", word.at
        )
    for word in (*found.all("expand-url"), *found.all("expand-data"), *found.all("expand-json")):
        yield spot.unresolvable(Role.WEIGHTS, Unknown.VARIABLE, "curl expands it from its variables", word.at)
    yield from _secrets(spot, found)
    outputs = [word.text for word in found.all("output")]
    folder = (found.last("output-dir") or Word("", 0)).text
    remote = bool(found.all("remote-name") or found.all("remote-name-all") or found.all("remote-header-name"))
    diverted = found.last("connect-to", "resolve", "proxy")
    urls = [_absolute(word) for word in (*found.operands, *found.all("url"))]
    target = found.last("request-target")
    asked = [Word(f"http://host/{target.text.lstrip('/')}", target.at)] if target and urls else urls
    yield from _asked(spot, asked, _sent(found), globbed=not found.all("globoff"))
    for index, url in enumerate(urls[:_MAX_URLS]):
        into = outputs[index] if index < len(outputs) else _last(url.text) if remote else call.output
        if into and into not in _NOWHERE and folder:
            into = f"{folder}/{into}"
        if fetched := list(_fetched(spot, url, into)):
            yield from fetched
            if diverted:
                detail = "curl is told to ask another host than the URL's"
                yield spot.unresolvable(Role.WEIGHTS, Unknown.AMBIGUOUS, detail, diverted.at)
    yield from _left(spot, urls)


def wget(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give what wget fetches, and what the request it sends loads."""
    spot, found = Spot(reading, call), given(call.words, start, _WGET)
    for word in (*found.all("input-file"), *found.all("config"), *found.all("execute")):
        yield spot.unresolvable(
            Role.WEIGHTS, Unknown.CONFIG_FILE, "URLs may stand in wget's own file", word.at
        )
    yield from _secrets(spot, found)
    document, folder = found.last("output-document"), found.last("directory-prefix")
    body = found.last("post-data", "body-data")
    file = found.last("post-file", "body-file")
    if body is None and file is not None:
        body = Word(unknown("a file"), file.at)
    if document and document.text == "-":
        document = Word(call.output, document.at)
    urls = [_absolute(word) for word in found.operands]
    yield from _asked(spot, urls, body, globbed=False)
    for url in () if found.all("spider") else urls[:_MAX_URLS]:
        into = document.text if document else f"{folder.text if folder else '.'}/{_last(url.text)}"
        yield from _fetched(spot, url, into)
    yield from _left(spot, urls)


def netcat(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Say that nc sends something to a port nobody can read; with `-z` it only looks."""
    flags = "".join(word[1:] for word in call.words[start:] if word[:1] == "-" and word[:2] != "--")
    if "z" not in flags and any(word.endswith("11434") for word in call.words[start:]):
        detail = "a request to Ollama that nobody can read"
        yield Spot(reading, call).unresolvable(Role.WEIGHTS, Unknown.CONFIG_FILE, detail, start - 1)


def httpie(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give what `http [METHOD] URL key=value key:=json` of HTTPie loads into an Ollama server."""
    spot, operands = Spot(reading, call), given(call.words, start, _HTTPIE).operands
    url = next((word for word in operands if not word.text.isupper()), None)
    if url is None or not api_path(url.text):
        return
    fields = [word.text.partition("=") for word in operands if "=" in word.text and word != url]
    body = json.dumps({name.rstrip(":"): value.strip('"') for name, _, value in fields})
    raw = any(name.endswith("@") or value[:1] == "@" for name, _, value in fields) or not fields
    yield from request(spot, url, Word(unknown("its input") if raw else body, url.at))


def _sent(found: Given) -> Word | None:
    """Give the body that curl sends, a mark for what it reads from a file; None if it sends none."""
    pieces: list[tuple[int, str, str]] = []
    for name, joint in (
        ("json", ""),
        ("data", "&"),
        ("data-binary", "&"),
        ("data-raw", "&"),
        ("upload-file", ""),
    ):
        for word in found.all(name):
            from_file = name == "upload-file" or (name != "data-raw" and word.text.startswith("@"))
            pieces.append((word.at, joint, unknown("a file") if from_file else word.text))
    if not pieces:
        return None
    pieces.sort(key=lambda piece: piece[0])
    text = pieces[0][2] + "".join(joint + piece for _, joint, piece in pieces[1:])
    return Word(text, pieces[0][0])


def _asked(spot: Spot, urls: Sequence[Word], body: Word | None, *, globbed: bool) -> Iterator[Item]:
    """Give what requests with a body load into an Ollama server, each path of it once."""
    seen = set()
    for url in urls if body else ():
        path = url.text.partition("://")[2].partition("/")[2]
        if url.text[:1] == "\0" and url.text.find("\0", 1) == len(url.text) - 1:
            yield spot.variable(Role.WEIGHTS, url)
        elif globbed and ("{" in url.text or "[" in path):
            detail = "curl makes several URLs of it"
            yield spot.unresolvable(Role.WEIGHTS, Unknown.AMBIGUOUS, detail, url.at)
        elif body and (endpoint := api_path(url.text)) and endpoint not in seen:
            seen.add(endpoint)
            yield from request(spot, url, body)


def _left(spot: Spot, urls: Sequence[Word]) -> Iterator[Item]:
    """Say that there are more URLs than are read."""
    if len(urls) > _MAX_URLS:
        detail = f"more than {_MAX_URLS} URLs"
        yield spot.unresolvable(Role.WEIGHTS, Unknown.AMBIGUOUS, detail, urls[_MAX_URLS].at)


def _fetched(spot: Spot, url: Word, into: str) -> Iterator[Item]:
    """Give a download if it may be a model's file."""
    if not is_known(url.text):
        if _is_file(into) or _is_file(url.text) or _in_volume(spot.reading, into):
            yield spot.variable(Role.WEIGHTS, url)
        return
    made = spot.url(Role.WEIGHTS, url, "" if into in _NOWHERE else into)
    if isinstance(made, Unresolvable):
        if _is_file(into) or _is_file(url.text) or _in_volume(spot.reading, into):
            yield made
    elif (
        made.location.scheme == locations.HUB
        or _is_file(made.location.name)
        or _is_file(into)
        or _in_volume(spot.reading, into)
    ):
        yield made


def _is_file(text: str) -> bool:
    return text.lower().endswith(_FILES)


def _in_volume(reading: Reading, path: str) -> bool:
    """Tell whether a path lies on a mounted volume, where other containers may read it."""
    if path[:1] != "/":
        return False
    mounts = (entry.get("mountPath") for _, entry in objects(reading.container.get("volumeMounts")))
    return any(isinstance(at, str) and f"{path}/".startswith(f"{at.rstrip('/')}/") for at in mounts)


def _absolute(word: Word) -> Word:
    """Give a URL its scheme: both programs take http where none stands."""
    if "://" in word.text or word.text[:1] == "\0":
        return word
    return Word(f"http://{word.text}", word.at)


def _last(url: str) -> str:
    return basename(url.partition("?")[0].partition("#")[0])


def _secrets(spot: Spot, found: Given) -> Iterator[Item]:
    """Say where a password or a token stands as plain text."""
    for word in found.all("header"):
        name, _, value = word.text.partition(":")
        if name.strip().lower() in {"authorization", "private-token", "x-api-key"} and _plain(value):
            yield spot.switch(SwitchName.SECRET, f"--header {name.strip()}", word.at)
    for option in ("oauth2-bearer", "password", "http-password"):
        for word in found.all(option):
            if _plain(word.text):
                yield spot.switch(SwitchName.SECRET, f"--{option}", word.at)
    for word in found.all("user"):
        if _plain(word.text.partition(":")[2]):
            yield spot.switch(SwitchName.SECRET, "--user", word.at)


def _plain(text: str) -> bool:
    return bool(text.strip()) and is_known(text)
