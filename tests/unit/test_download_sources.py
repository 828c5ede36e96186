"""What commands beside a server load: hubs' own tools, object stores, Git, curl and wget."""

import pytest

from tests.items import loaded, reading
from webhook.sources import hub, loaders
from webhook.sources.found import Source

COMMIT = "0e9e39f249a16976918f6564b8830bc894c89659"
HUB = "https://huggingface.co"
SNAPSHOT = "from huggingface_hub import snapshot_download; "


@pytest.mark.parametrize(
    ("command", "items"),
    [
        ("hf download org/x", ["weights hf://org/x"]),
        ("hf download org/x --revision main", ["weights hf://org/x@main"]),
        (f"hf download org/x --revision={COMMIT}", [f"weights hf://org/x@{COMMIT}"]),
        ("hf download --local-dir /m org/x a.gguf b.gguf", ["weights hf://org/x > /m"]),
        ("hf download org/x --include '*.json' --cache-dir /c", ["weights hf://org/x > /c"]),
        ("hf download org/x --repo-type dataset", ["weights hf://datasets/org/x"]),
        ("hf download org/x --type=model", ["weights hf://org/x"]),
        (f"hf download hf://org/x@{COMMIT} --local-dir /m", [f"weights hf://org/x@{COMMIT} > /m"]),
        ("hf cp hf://org/x/model.gguf /m/", ["weights hf://org/x:model.gguf > /m"]),
        ("hf download org/x --token hf_abc", ["secret=--token", "weights hf://org/x"]),
        ('hf download org/x --token "$T"', ["weights hf://org/x"]),
        ('hf download "$M"', ["? weights variable"]),
        ('hf download org/x --revision "$R"', ["? weights variable"]),
        ("hf download ../x", ["? weights bad_value"]),
        ("hf auth login", []),
        ("huggingface-cli download org/x --rev abc --cache-d /m", ["weights hf://org/x@abc > /m"]),
        ("huggingface-cli download org/x --local-dir-use-symlinks False", ["weights hf://org/x"]),
        ("python -m huggingface_hub.cli.hf download org/x", ["weights hf://org/x"]),
        ("uvx --from huggingface_hub hf download org/x", ["weights hf://org/x"]),
        ("HF_HOME=/c hf download org/x", ["weights hf://org/x > /c/hub"]),
        ("HF_HUB_CACHE=/c hf download org/x", ["weights hf://org/x > /c"]),
        ("cd /models && hf download org/x --local-dir x", ["weights hf://org/x > /models/x"]),
        ('cd "$D" && hf download org/x --local-dir x', ["weights hf://org/x"]),
        ("modelscope download --model org/x --local_dir /m", ["weights modelscope://org/x > /m"]),
        ("modelscope download org/x --revision v1", ["weights modelscope://org/x@v1"]),
        ("modelscope download --dataset org/x", ["weights modelscope://datasets/org/x"]),
        ("modelscope login", []),
    ],
)
def test_hubs_have_tools_of_their_own(command: str, items: list[str]) -> None:
    """What they fetch, at which revision, and into which directory."""
    assert loaded(command) == items


@pytest.mark.parametrize(
    ("code", "items"),
    [
        (f"{SNAPSHOT}snapshot_download('org/x')", ["weights hf://org/x"]),
        (
            f"{SNAPSHOT}snapshot_download(repo_id='org/x', revision='v1', local_dir='/m')",
            ["weights hf://org/x@v1 > /m"],
        ),
        (f"{SNAPSHOT}snapshot_download('org/x', revision=None, max_workers=4)", ["weights hf://org/x"]),
        (
            f"{SNAPSHOT}snapshot_download('a/b'); snapshot_download('c/d')",
            ["weights hf://a/b", "weights hf://c/d"],
        ),
        (
            f"{SNAPSHOT}snapshot_download('org/x', endpoint='https://evil')",
            ["hub-endpoint=https://evil", "weights hf://org/x"],
        ),
        (
            "from huggingface_hub import hf_hub_download; hf_hub_download('org/x', 'a.gguf', cache_dir='/c')",
            ["weights hf://org/x > /c"],
        ),
        (
            "from modelscope import snapshot_download; snapshot_download('org/x')",
            ["weights modelscope://org/x"],
        ),
        ("import time; time.sleep(5)", []),
        ("import torch; print(torch.cuda.is_available())", []),
        ("import urllib.request as u; u.urlopen('http://localhost:8000/health')", []),
        (f"{SNAPSHOT}snapshot_download(repo)", ["? weights script"]),
        (f"{SNAPSHOT}snapshot_download('org/' + 'x')", ["? weights script"]),
        (f"{SNAPSHOT}snapshot_download('org/' 'x')", ["? weights script"]),
        (f"{SNAPSHOT}snapshot_download(f'org/x')", ["? weights script"]),
        (f"{SNAPSHOT}snapshot_download('org/x', revision=r)", ["? weights script"]),
        (f"{SNAPSHOT}snapshot_download(**options)", ["? weights script"]),
        (f"{SNAPSHOT}snapshot_download()", ["? weights script"]),
        ("from huggingface_hub import snapshot_download as s; s('org/x')", ["? weights script"]),
        ("from huggingface_hub import HfFileSystem; HfFileSystem().get('org/x', '/m')", ["? weights script"]),
        ("import os; os.environ['HF_ENDPOINT'] = 'https://evil'", ["? weights script"]),
        ("exec(input())", ["? weights script"]),
        ("import shutil; shutil.copytree('/evil', '/m')", ["? weights script"]),
        ("import os; os.symlink('/evil', '/m/x')", ["? weights script"]),
        ("getattr(x, 'y')()", ["? weights script"]),
        ("from transformers import AutoModel; AutoModel.from_pretrained('org/x')", ["? weights script"]),
        ("import requests; requests.post('http://o/api/pull')", ["? weights script"]),
    ],
)
def test_python_code_is_read_as_far_as_it_is_literal(code: str, items: list[str]) -> None:
    """Calls with literal arguments; whatever else may load is a script that cannot be read."""
    assert loaded(["python3", "-u", "-c", code]) == items


@pytest.mark.parametrize(
    ("command", "items"),
    [
        ("aws s3 cp --recursive s3://b/m /m", ["weights s3://b/m > /m"]),
        ("aws s3 sync s3://b/m/ /m --exclude '*' --include '*.json'", ["weights s3://b/m > /m"]),
        ("aws s3 mv s3://b/m/x.gguf /m/x.gguf", ["weights s3://b/m/x.gguf > /m/x.gguf"]),
        ("aws --region eu-central-1 s3 cp s3://b/m - | tar x", ["weights s3://b/m"]),
        (
            "aws s3 sync --endpoint-url http://m:9000 s3://b/m /m",
            ["hub-endpoint=http://m:9000", "weights s3://b/m > /m"],
        ),
        ("aws configure set s3.endpoint_url http://m", ["hub-endpoint=http://m"]),
        ("aws s3 sync /m s3://b/m", []),
        ("aws s3 ls s3://b", []),
        ("aws s3api get-object --bucket b --key m/x.gguf /m/x", ["weights s3://b/m/x.gguf > /m/x"]),
        ('aws s3 sync "s3://$BUCKET/m" /m', ["? weights variable"]),
        ('aws s3 sync "$FROM" /m', ["? weights variable"]),
        ("aws s3 sync s3://b/../c /m", ["? weights bad_value"]),
        ("s5cmd cp 's3://b/m/*' /m", ["weights s3://b/m > /m"]),
        (
            "s5cmd --endpoint-url https://x --no-sign-request sync 's3://b/m/*' /m",
            ["hub-endpoint=https://x", "weights s3://b/m > /m"],
        ),
        ("s5cmd run /commands", ["? weights config_file"]),
        ("gsutil -m cp -r gs://b/m gs://b/n /m", ["weights gs://b/m > /m", "weights gs://b/n > /m"]),
        ("gsutil rsync -r gs://b/m /m", ["weights gs://b/m > /m"]),
        ("gcloud storage cp -r gs://b/m /m", ["weights gs://b/m > /m"]),
        ("gcloud --project p alpha storage rsync gs://b/m /m", ["weights gs://b/m > /m"]),
        ("gcloud auth list", []),
        (
            "azcopy copy https://a.blob.core.windows.net/c/m /m --recursive",
            ["weights https://a.blob.core.windows.net/c/m > /m"],
        ),
        (
            "azcopy cp 'https://a.blob.core.windows.net/c/m?sv=1&sig=abc' /m",
            ["secret=the signature of a URL", "weights https://a.blob.core.windows.net/c/m > /m"],
        ),
        ("rclone copy r:b/m /m", ["? weights config_file"]),
        ("RCLONE_CONFIG_R_TYPE=s3 rclone sync r:b/m /m", ["weights s3://b/m > /m"]),
        (
            "RCLONE_CONFIG_R_TYPE=s3 RCLONE_CONFIG_R_ENDPOINT=http://m rclone sync r:b/m /m",
            ["hub-endpoint=http://m", "weights s3://b/m > /m"],
        ),
        (
            "rclone copy ':s3,provider=Minio,endpoint=\"http://m\":b/m' /m",
            ["hub-endpoint=http://m", "weights s3://b/m > /m"],
        ),
        (
            "rclone copyurl https://example.com/x.gguf /m/x.gguf",
            ["weights https://example.com/x.gguf > /m/x.gguf"],
        ),
        ("rclone copy /a /b", []),
        (
            "mc alias set m http://minio:9000 k s && mc cp -r m/b/x /m",
            ["hub-endpoint=http://minio:9000", "weights s3://b/x > /m"],
        ),
        (
            "MC_HOST_m=https://key:secret@minio:9000 mc cp m/b/x /m",
            ["hub-endpoint=https://minio:9000", "weights s3://b/x > /m"],
        ),
        ("mc mirror /m store/b", []),
        ("oras pull registry.example.com/m/x:1 -o /m", ["weights oci://registry.example.com/m/x:1 > /m"]),
        (
            "oras pull --plain-http -u u -p secret registry.example.com/m/x:1",
            [
                "insecure-registry=--plain-http",
                "secret=--password",
                "weights oci://registry.example.com/m/x:1",
            ],
        ),
    ],
)
def test_stores_have_tools_of_their_own(command: str, items: list[str]) -> None:
    """What is copied out of them and where to; uploads load nothing."""
    assert loaded(command) == items


@pytest.mark.parametrize(
    ("command", "items"),
    [
        (f"git clone {HUB}/org/x", ["weights hf://org/x"]),
        (f"git clone --depth 1 -b v1 {HUB}/org/x.git /m", ["weights hf://org/x@v1 > /m"]),
        (f"git clone --revision={COMMIT} {HUB}/org/x /m", [f"weights hf://org/x@{COMMIT} > /m"]),
        (f"cd /m; GIT_LFS_SKIP_SMUDGE=1 git clone {HUB}/org/x", ["weights hf://org/x > /m/x"]),
        (f"git -c a=b lfs clone {HUB}/org/x /m", ["weights hf://org/x > /m"]),
        ("git clone git@hf.co:org/x /m", ["weights hf://org/x > /m"]),
        ("git clone ssh://git@hf.co/org/x /m", ["weights hf://org/x > /m"]),
        (
            "git clone https://u:hf_abc@huggingface.co/org/x /m",
            ["secret=the password of a URL", "weights hf://org/x > /m"],
        ),
        ('git clone "https://u:$T@huggingface.co/org/x" /m', ["weights hf://org/x > /m"]),
        ('git clone "$URL" /m', ["? weights variable"]),
        (f"git remote add origin {HUB}/org/x && git pull origin main", ["weights hf://org/x"]),
        (
            f"git -c url.https://evil/.insteadOf={HUB}/ clone {HUB}/org/x /m",
            ["? weights ambiguous", "weights hf://org/x > /m"],
        ),
        (
            f"git config --global url.https://evil/.insteadof {HUB}/",
            ["? weights ambiguous"],
        ),
        ("git lfs pull", []),
        ("git config --global user.name x", []),
    ],
)
def test_git_names_repositories(command: str, items: list[str]) -> None:
    """Clones and remotes, by HTTPS and SSH, at a branch, without the token of the URL."""
    assert loaded(command) == items


@pytest.mark.parametrize(
    ("command", "items"),
    [
        ("curl -LO https://example.com/x.gguf", ["weights https://example.com/x.gguf"]),
        ("curl -L https://example.com/x -o /m/x.gguf", ["weights https://example.com/x > /m/x.gguf"]),
        ("curl -L https://example.com/x --output-dir /m -O", ["weights https://example.com/x > /m/x"]),
        ("curl -o /m/config.json https://example.com/c", ["weights https://example.com/c > /m/config.json"]),
        ("curl -s https://example.com/x > /m/x", ["weights https://example.com/x > /m/x"]),
        ("wget -qO- https://example.com/x >/m/x 2>&1", ["weights https://example.com/x > /m/x"]),
        ("curl -s https://example.com/x > /tmp/x", []),
        ("xargs -n1 curl -LO < /list", ["? weights variable"]),
        ("curl -o /tmp/install.sh https://example.com/install.sh", []),
        (f"curl -LO {HUB}/org/x/resolve/{COMMIT}/f.json", [f"weights hf://org/x:f.json@{COMMIT}"]),
        ("curl -L example.com/x.tar.gz | tar xz -C /m", ["weights http://example.com/x.tar.gz"]),
        ('curl -L -o /m/x.gguf "$URL"', ["? weights variable"]),
        (
            "curl -o /m/x.gguf --resolve huggingface.co:443:1.2.3.4 https://huggingface.co/o/x/resolve/main/x.gguf",
            ["weights hf://o/x:x.gguf@main > /m/x.gguf", "? weights ambiguous"],
        ),
        (
            "curl -H 'Authorization: Bearer hf_x' -LO https://example.com/x.gguf",
            ["secret=--header Authorization", "weights https://example.com/x.gguf"],
        ),
        (
            'curl -H "Authorization: Bearer $T" -LO https://example.com/x.gguf',
            ["weights https://example.com/x.gguf"],
        ),
        ("curl -u me:secret https://example.com/health", ["secret=--user"]),
        ("curl --expand-url '{{u}}' --variable u=x", ["? weights variable"]),
        ("curl -f http://localhost:8000/health -o /dev/null", []),
        ("wget https://example.com/x.safetensors", ["weights https://example.com/x.safetensors"]),
        ("wget -P /m https://example.com/x", ["weights https://example.com/x > /m/x"]),
        ("wget -O /m/x.gguf https://example.com/x", ["weights https://example.com/x > /m/x.gguf"]),
        ("wget -qO- http://localhost/health", []),
        ("wget -i /list", ["? weights config_file"]),
        (
            "wget --http-password=x https://example.com/x.gguf",
            ["secret=--http-password", "weights https://example.com/x.gguf"],
        ),
    ],
)
def test_downloads_of_models_are_told_from_other_requests(command: str, items: list[str]) -> None:
    """A model's file, a hub's URL, or a file written into a volume; nothing else."""
    assert loaded(command, volumeMounts=[{"name": "m", "mountPath": "/m"}]) == items


def test_more_urls_than_are_read_are_told() -> None:
    """What is left out is not taken for nothing."""
    urls = [f"https://example.com/{n}.gguf" for n in range(501)]
    assert loaded(["wget", *urls])[-1] == "? weights ambiguous"
    assert loaded(["curl", "--remote-name-all", *urls])[-1] == "? weights ambiguous"


@pytest.mark.parametrize(
    "command",
    [
        ["hf", "download", *["org/x"] * 5000],
        ["ollama", "pull", "x" * 65537],
        ["git", "clone", *["https://example.com/x"] * 501],
    ],
)
def test_what_is_too_long_to_read_is_told(command: list[str]) -> None:
    """Words beyond the limits, and more sources than anybody reads."""
    assert loaded(command)[-1] == "? weights ambiguous"


def test_a_relative_directory_begins_in_the_working_directory() -> None:
    """As the container's `workingDir` says; without one nobody knows it."""
    command = ["hf", "download", "org/x", "--local-dir", "x"]
    assert loaded(command, workingDir="/scratch") == ["weights hf://org/x > /scratch/x"]
    assert loaded(command) == ["weights hf://org/x"]


def test_a_variable_of_a_wrapper_is_told_where_it_stands() -> None:
    """`env HF_ENDPOINT=... hf download` moves the hub for this command."""
    read = reading(["env", "-i", "HF_ENDPOINT=https://evil", "hf", "download", "org/x"])
    found = [*hub.environment(read), *loaders.items(read)]
    assert [item.path for item in found] == ["spec.containers[0].command[2]", "spec.containers[0].command[5]"]


def test_no_source_holds_a_secret() -> None:
    """Tokens in URLs stay out of every item."""
    commands = (
        "git clone https://u:hf_secret@huggingface.co/org/x",
        "curl -LO 'https://u:hf_secret@example.com/x.gguf?token=hf_secret'",
        "wget --header='Authorization: Bearer hf_secret' https://example.com/x.gguf",
        "azcopy copy 'https://a.blob.core.windows.net/c/m?sig=hf_secret' /m",
        "hf download org/x --token hf_secret",
    )
    for command in commands:
        found = list(loaders.items(reading(command)))
        assert any(isinstance(item, Source) for item in found)
        assert "hf_secret" not in repr(found)


@pytest.mark.parametrize(
    "word",
    [
        "snapshot_download(" * 3000,
        "snapshot_download('" + "a, " * 20000,
        "import " + "a " * 20000,
        "{" * 60000,
    ],
)
def test_no_word_makes_reading_endless(word: str) -> None:
    """Time grows with the length of a word and no faster: pytest's own timeout would tell."""
    for command in (
        ["python", "-c", word],
        ["curl", "localhost/api/pull", "-d", word],
        ["rclone", "copy", f"{word}:m", "/m"],
    ):
        assert loaded(command) in (
            [],
            ["? weights script"],
            ["? weights bad_value"],
            ["? weights config_file"],
        )
