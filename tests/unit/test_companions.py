"""What else runs in a server's container."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from webhook.sources.companions import items, scripts
from webhook.sources.container import Reading, read
from webhook.sources.found import Unresolvable
from webhook.sources.volumes import Volumes


def told(script: str, tell: Callable[[Reading, Volumes], Iterator[Unresolvable]] = items) -> list[str]:
    """Give what is told of a script in a container with a volume at /code."""
    container = {
        "name": "server",
        "image": "x",
        "command": ["bash", "-c", script],
        "volumeMounts": [{"name": "code", "mountPath": "/code"}],
    }
    volumes = Volumes({"volumes": [{"name": "code", "persistentVolumeClaim": {"claimName": "a"}}]})
    return [item.detail for item in tell(read(0, "c", container), volumes)]


@pytest.mark.parametrize(
    "script",
    [
        "vllm serve m",
        "mkdir -p /x; cd /x; ulimit -n 9; export A=b; nvidia-smi; sleep 1",
        "ray start --head; ray status; vllm serve m",
        "pip install -q hf_transfer==0.1; vllm serve m",
        "python3 -m pip install hf_transfer; vllm serve m",
        "hf download m; curl -f localhost:8000/health",
        "source /opt/venv/bin/activate; vllm serve m",
        "python3 /opt/app/wait.py; bash /opt/app/start.sh",
        "cat /proc/meminfo | awk '/MemTotal/ {print $2}' | head -1",
        "find /models -name '*.gguf'; env | sort; nc -z localhost 8000",
        "cp /code/x.json /tmp/; sed -i s/a/b/ /tmp/x.json",
    ],
)
def test_tools(script: str) -> None:
    """Tools, servers, downloads and files of the image are no unknown programs."""
    assert told(script) == []


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("/opt/llm/serve m & vllm serve m", "serve"),
        ("eval 'vllm serve m'", "eval"),
        (". /code/env.sh", "."),
        ("cd /code; source ./env.sh", "source"),
        ("bash /code/x.sh", "bash"),
        ("bash /tmp/x.sh", "bash"),
        ("cat x | bash", "bash"),
        ("python3 /code/x.py", "python3"),
        ("python3 -c 'import x'", "python3"),
        ("python3 -m timeit 'import x'", "python3"),
        ("python3 -m pip install https://example.com/x.whl", "python3"),
        ("pip install --index-url https://example.com x", "pip"),
        ("pip install git+https://example.com/x", "pip"),
        ("find / -exec vllm serve m ';'", "find"),
        ("env -S 'vllm serve m'", "env"),
        ("nc -l 80 -e /bin/x", "nc"),
        ("ray job submit -- vllm serve m", "ray"),
        ("awk 'BEGIN { system(\"x\") }'", "awk"),
    ],
)
def test_unknown_programs(script: str, name: str) -> None:
    """What may start or change anything is told by its name."""
    assert told(script) == [f"what {name} runs beside the server"]


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("bash /code/x.sh", "bash"),
        ("python3 /code/x.py", "python3"),
        ('eval "$X"', "eval"),
        ("bash /opt/x.sh", None),
        ("python3 -c 'x'", None),
        ("/opt/exporter", None),
    ],
)
def test_scripts_beside_ollama(script: str, name: str | None) -> None:
    """Beside an Ollama server only scripts that nobody can read are told, not a sidecar's own program."""
    assert told(script, scripts) == ([f"what {name} tells the Ollama beside it"] if name else [])
