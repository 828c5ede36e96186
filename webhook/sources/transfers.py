"""What is copied from object stores, images and Git repositories, and where to.

From the references of `aws s3 cp|sync|mv` and `aws s3api get-object`, s5cmd, `gsutil cp|rsync`,
`gcloud storage cp|rsync`, `azcopy copy|sync`, rclone (remotes by variable: "Environment Variables"),
`mc cp|mirror`, `oras pull` and `git clone|fetch|pull`. Uploads load nothing.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Final

from webhook.sources.argv import Call, basename
from webhook.sources.container import Reading
from webhook.sources.found import Item, Location, Role, SwitchName, Unknown
from webhook.sources.operands import Given, Word, given, table
from webhook.sources.spot import Spot
from webhook.sources.text import is_known

_AWS: Final = table(
    "--endpoint-url --region --profile --output --query --color --ca-bundle --cli-read-timeout"
    " --cli-connect-timeout --exclude --include --acl --storage-class --sse --sse-kms-key-id --page-size"
    " --request-payer --source-region --bucket --key --version-id --range --expected-size --metadata",
)
_S5CMD: Final = table(
    "--endpoint-url --credentials-file --numworkers --log --profile -r|--retry-count --request-payer"
    " --exclude --include -c|--concurrency -p|--part-size --source-region --destination-region"
    " --storage-class --sse --acl",
)
_GSUTIL: Final = table("-o -h -u -i -a -x -z -j -s -L")
_GCLOUD: Final = table(
    "--project --account --configuration --impersonate-service-account --verbosity --format --billing-project"
    " -x|--exclude --encryption-key --decryption-keys --storage-class --content-type --manifest-path",
)
_AZCOPY: Final = table(
    "--from-to --include-pattern --exclude-pattern --include-path --exclude-path --log-level --block-size-mb"
    " --cap-mbps --blob-type --output-level --output-type --list-of-files",
)
_RCLONE: Final = table(
    "--config --include --exclude -f|--filter --transfers --checkers --s3-endpoint --s3-provider --s3-region"
    " --log-level --bwlimit --files-from --contimeout --timeout --retries --stats --buffer-size --log-file"
    " --multi-thread-streams --s3-access-key-id --s3-secret-access-key",
)
_MC: Final = table("--config-dir --older-than --newer-than --exclude --limit-download --attr --version-id")
_ORAS: Final = table(
    "-o|--output -u|--username -p|--password --platform --registry-config --concurrency --ca-file"
    " --cert-file --key-file -a|--annotation",
    "--insecure --plain-http",
)
_GIT: Final = table(
    "-b|--branch --revision --depth -o|--origin -u|--upload-pack -c|--config --reference --template"
    " --separate-git-dir -j|--jobs --filter --shallow-since --shallow-exclude --server-option -C --git-dir"
    " --work-tree --bundle-uri --exec-path",
)
_COPYING: Final = frozenset({"cp", "copy", "sync", "mv", "move", "copyto", "rsync", "mirror", "c", "s"})
_FETCHING: Final = frozenset({"clone", "fetch", "pull"})
# rclone's backends by the scheme of their sources.
_BACKENDS: Final = {"s3": "s3", "gcs": "gs", "google cloud storage": "gs", "azureblob": "az"}
# `remote:path`, `:backend,option=value,option="value":path`
_REMOTE: Final = re.compile(
    r"""(:?)([\w.+@ -]+)((?:,\w+(?:=(?:"[^"]*"|'[^']*'|[^,:"']*))?)*):(.*)""", re.ASCII | re.DOTALL
)
_REMOTE_OPTION: Final = re.compile(r"""(\w+)=("[^"]*"|'[^']*'|[^,]*)""", re.ASCII)
_SCP: Final = re.compile(r"(?:[\w.-]+@)?([\w.-]+):(?!/)(.+)", re.ASCII | re.DOTALL)
_MAX_WORD: Final = 4096


def aws(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give what the AWS command line copies from S3."""
    spot, found = Spot(reading, call), given(call.words, start, _AWS)
    texts = [word.text for word in found.operands[:2]]
    if texts[:1] == ["s3"]:
        yield from _endpoint(spot, found, "endpoint-url")
        yield from _copied(spot, found.operands[1:])
    elif texts[:1] == ["configure"]:
        for name, value in itertools.pairwise(found.operands):
            if "endpoint" in name.text:
                yield spot.switch(SwitchName.HUB_ENDPOINT, value.text, value.at)
    elif texts == ["s3api", "get-object"] and (bucket := found.last("bucket")):
        yield from _endpoint(spot, found, "endpoint-url")
        key = found.last("key") or Word("", bucket.at)
        into = found.operands[2].text if len(found.operands) > 2 else ""  # noqa: PLR2004 - the file
        yield spot.url(Role.WEIGHTS, Word(f"s3://{bucket.text}/{key.text}", bucket.at), into)


def s5cmd(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give what s5cmd copies."""
    spot, found = Spot(reading, call), given(call.words, start, _S5CMD)
    yield from _endpoint(spot, found, "endpoint-url")
    if found.operands and found.operands[0].text == "run":
        detail = "s5cmd runs the commands of a file"
        yield spot.unresolvable(Role.WEIGHTS, Unknown.CONFIG_FILE, detail, found.operands[0].at)
    else:
        yield from _copied(spot, found.operands)


def gsutil(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give what gsutil copies."""
    yield from _copied(Spot(reading, call), given(call.words, start, _GSUTIL).operands)


def gcloud(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give what `gcloud storage` copies."""
    operands = given(call.words, start, _GCLOUD).operands
    at = next((index for index, word in enumerate(operands) if word.text == "storage"), None)
    if at is not None:
        yield from _copied(Spot(reading, call), operands[at + 1 :])


def azcopy(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give what azcopy copies; the signature of a URL is a secret."""
    spot = Spot(reading, call)
    operands = given(call.words, start, _AZCOPY).operands
    for word in operands:
        if "sig=" in word.text and is_known(word.text):
            yield spot.switch(SwitchName.SECRET, "the signature of a URL", word.at)
    yield from _copied(spot, operands)


def rclone(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give what rclone copies from remotes that variables or the command line define."""
    spot, found = Spot(reading, call), given(call.words, start, _RCLONE)
    yield from _endpoint(spot, found, "s3-endpoint")
    command, *operands = found.operands or [Word("", start)]
    into = _destination(operands)
    if command.text == "copyurl" and operands:
        yield spot.url(Role.WEIGHTS, operands[0], into)
    elif command.text in _COPYING:
        for word in operands[:1]:
            yield from _remote(spot, word, into)


def mc(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give what MinIO's client copies; where an alias leads, `mc alias set` or its own file says."""
    spot, found = Spot(reading, call), given(call.words, start, _MC)
    texts = [word.text for word in found.operands]
    if texts[:2] == ["alias", "set"] and len(texts) > 3:  # noqa: PLR2004 - alias set NAME URL
        yield spot.switch(SwitchName.HUB_ENDPOINT, texts[3], found.operands[3].at)
    elif texts and texts[0] in _COPYING:
        *sources, last = found.operands[1:] or [Word("", start)]
        for word in sources:
            alias, slash, key = word.text.partition("/")
            # With the key and the secret before the host.
            if host := call.env.get(f"MC_HOST_{alias}"):
                yield spot.switch(SwitchName.HUB_ENDPOINT, f"https://{host.rpartition('@')[2]}", word.at)
            if slash and alias and not word.text.startswith((".", "/")):
                yield spot.url(Role.WEIGHTS, Word(f"s3://{key}" if is_known(alias) else word.text, word.at),
                               last.text)  # fmt: skip


def oras(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give which artifact `oras pull` unpacks."""
    spot, found = Spot(reading, call), given(call.words, start, _ORAS)
    if len(found.operands) > 1 and found.operands[0].text == "pull":
        for word in (*found.all("insecure"), *found.all("plain-http")):
            yield spot.switch(SwitchName.INSECURE_REGISTRY, word.text, word.at)
        for word in found.all("password"):
            if is_known(word.text):
                yield spot.switch(SwitchName.SECRET, "--password", word.at)
        into = found.last("output")
        reference = found.operands[1]
        url = Word(f"oci://{reference.text}", reference.at)
        yield spot.url(Role.WEIGHTS, url, into.text if into else ".")


def git(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give the repositories that Git is told: whatever of its words is a URL, or `host:path`."""
    spot, found = Spot(reading, call), given(call.words, start, _GIT)
    if not found.operands:
        return
    command, *operands = found.operands
    if command.text == "lfs" and operands:
        command, *operands = operands
    for word in (*found.all("config"), *operands):
        if "insteadof" in word.text.lower():
            detail = "Git is told to ask another host than the URL's"
            yield spot.unresolvable(Role.WEIGHTS, Unknown.AMBIGUOUS, detail, word.at)
    if command.text == "config":
        return
    revision = found.last("revision", "branch") if command.text == "clone" else None
    for index, word in enumerate(operands):
        url = _repository(word.text)
        if not url:
            if index == 0 and command.text in _FETCHING and not is_known(word.text):
                yield spot.variable(Role.WEIGHTS, word)
            continue
        into = ""
        if command.text == "clone":
            behind = operands[index + 1 : index + 2]
            into = behind[0].text if behind else basename(url.rstrip("/")).removesuffix(".git")
        yield from _cloned(spot, Word(url, word.at), revision, into)


def _cloned(spot: Spot, url: Word, revision: Word | None, into: str) -> Iterator[Item]:
    userinfo = url.text.partition("://")[2].partition("/")[0].rpartition("@")[0]
    if ":" in userinfo and is_known(userinfo):
        yield spot.switch(SwitchName.SECRET, "the password of a URL", url.at)
    if revision and not is_known(revision.text):
        yield spot.variable(Role.WEIGHTS, revision)
        return
    if not is_known(url.text.removeprefix(f"https://{userinfo}@")):
        yield spot.variable(Role.WEIGHTS, url)
        return
    # A token from a variable is no part of the place.
    plain = Word(url.text.replace(f"//{userinfo}@", "//", 1) if userinfo else url.text, url.at)
    made = spot.url(Role.WEIGHTS, plain, into)
    if isinstance(location := getattr(made, "location", None), Location) and revision:
        made = spot.source(Role.WEIGHTS, location._replace(revision=revision.text), url.at, into)
    yield made


def _repository(text: str) -> str:
    """Write what Git takes for a repository elsewhere as a URL; empty if it is none."""
    if "://" in text:
        scheme, _, rest = text.partition("://")
        host = rest.partition("/")[0].rpartition("@")[2].partition(":")[0]
        # The hub's own SSH addresses lead to the same repositories.
        return f"https://{host}/{rest.partition('/')[2]}" if scheme == "ssh" and host == "hf.co" else text
    match = _SCP.fullmatch(text[:_MAX_WORD])
    if match is None:
        return ""
    scheme = "https" if match[1] == "hf.co" else "ssh"
    return f"{scheme}://{match[1]}/{match[2]}"


def _copied(spot: Spot, operands: Sequence[Word]) -> Iterator[Item]:
    """Give the sources of `cp SOURCE... DESTINATION` that lie elsewhere."""
    if not operands or (operands[0].text not in _COPYING and operands[0].text != "cat"):
        return
    into = _destination(operands[1:])
    for word in operands[1:-1] if len(operands) > 2 else operands[1:]:  # noqa: PLR2004 - command and one more
        if "://" in word.text:
            head, _, last = word.text.rpartition("/")
            # A pattern at the end takes what lies in the directory.
            yield spot.url(Role.WEIGHTS, Word(head, word.at) if "*" in last else word, into)
        elif not is_known(word.text):
            yield spot.variable(Role.WEIGHTS, word)


def _destination(operands: Sequence[Word]) -> str:
    last = operands[-1].text if len(operands) > 1 else ""
    return last if last != "-" and ":" not in last and is_known(last) else ""


def _endpoint(spot: Spot, found: Given, option: str) -> Iterator[Item]:
    for word in found.all(option)[-1:]:
        if is_known(word.text):
            yield spot.switch(SwitchName.HUB_ENDPOINT, word.text, word.at)
        else:
            yield spot.variable(SwitchName.HUB_ENDPOINT, word)


def _remote(spot: Spot, word: Word, into: str) -> Iterator[Item]:
    """Give what `remote:path` of rclone is, by its variables, or `:backend,option=value:path`."""
    match = _REMOTE.fullmatch(word.text[:_MAX_WORD])
    if match is None or not is_known(word.text):
        if not is_known(word.text):
            yield spot.variable(Role.WEIGHTS, word)
        return
    prefix = f"RCLONE_CONFIG_{match[2].upper()}"
    backend = match[2] if match[1] else spot.call.env.get(f"{prefix}_TYPE", "")
    endpoint = "" if match[1] else spot.call.env.get(f"{prefix}_ENDPOINT", "")
    for option in _REMOTE_OPTION.finditer(match[3]):
        endpoint = option[2].strip("'\"") if option[1] == "endpoint" else endpoint
    if endpoint:
        yield spot.switch(SwitchName.HUB_ENDPOINT, endpoint, word.at)
    scheme = _BACKENDS.get(backend)
    if scheme is None:
        detail = "where this remote leads stands in rclone's own file"
        yield spot.unresolvable(Role.WEIGHTS, Unknown.CONFIG_FILE, detail, word.at)
        return
    yield spot.url(Role.WEIGHTS, Word(f"{scheme}://{match[4].strip('/')}", word.at), into)
