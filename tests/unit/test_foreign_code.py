"""Code that comes into a server from around it."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.sources.container import read
from webhook.sources.foreign_code import items
from webhook.sources.found import Switch, SwitchName, Unresolvable
from webhook.sources.volumes import Volumes

MOUNT = {"name": "code", "mountPath": "/code"}


def found(container: dict[str, Any]) -> list[str]:
    """Give what is found in a container with a volume at /code: place and value."""
    container = {"name": "server", "image": "x", "volumeMounts": [MOUNT], **container}
    volumes = Volumes({"volumes": [{"name": "code", "persistentVolumeClaim": {"claimName": "a"}}]})
    return [_told(item) for item in items(read(0, "c", container), volumes)]


def _told(item: Any) -> str:
    assert isinstance(item, Switch | Unresolvable)
    if isinstance(item, Unresolvable):
        return f"{item.path}: unknown"
    assert item.name is SwitchName.PLUGIN
    return f"{item.path}: {item.value}"


@pytest.mark.parametrize(
    "name", ["PATH", "PYTHONPATH", "PYTHONHOME", "LD_PRELOAD", "LD_LIBRARY_PATH", "BASH_ENV"]
)
def test_variables(name: str) -> None:
    """A variable that leads into a volume is told with the path, one into the image is not."""
    assert found({"env": [{"name": name, "value": "/usr/x:/code/y"}]}) == ["c.env[0]: /code/y"]
    assert found({"env": [{"name": name, "value": "/usr/x:/codes/y"}]}) == []


def test_a_relative_path() -> None:
    """A relative path counts from the working directory."""
    assert found({"workingDir": "/code/a", "env": [{"name": "PYTHONPATH", "value": "."}]}) == ["c.env[0]: ."]
    assert found({"workingDir": "/app", "env": [{"name": "PYTHONPATH", "value": "."}]}) == []
    script = {"command": ["sh", "-c", "x; cd /code; y"], "env": [{"name": "PYTHONPATH", "value": "a"}]}
    assert found({"workingDir": "/app", **script}) == ["c.env[0]: a"]


def test_a_variable_from_elsewhere() -> None:
    """What a ConfigMap says cannot be known; what the image itself has set can be left to it."""
    elsewhere = {"configMapKeyRef": {"name": "a", "key": "b"}}
    assert found({"env": [{"name": "PYTHONPATH", "valueFrom": elsewhere}]}) == ["c.env[0]: unknown"]
    assert found({"command": ["sh", "-c", "export PATH=$HOME/bin:$PATH; x"]}) == []
    assert found({"command": ["sh", "-c", "export PATH=/code/bin:$PATH; x"]}) == ["c.command[2]: /code/bin"]


def test_a_variable_without_end() -> None:
    """Of very many parts the first are looked at, and it is said that there are more."""
    assert found({"env": [{"name": "PATH", "value": "/code:" * 2 + "/bin:" * 200}]}) == [
        "c.env[0]: unknown",
        "c.env[0]: /code",
        "c.env[0]: /code",
    ]


def test_functions_of_bash() -> None:
    """Bash takes variables of such names for functions."""
    assert found({"env": [{"name": "BASH_FUNC_ls%%", "value": "() { x; }"}]}) == ["c.env[0]: BASH_FUNC_ls%%"]


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/",
            "/usr",
            "/usr/local/",
            "/usr/local/bin/vllm",
            "/bin",
            "/lib/x86_64-linux-gnu",
            "/opt/venv/lib",
        ),
        *("/usr/local/lib/python3.12/dist-packages/vllm/a.py", "/home/a/site-packages", "/etc/ld.so.preload"),
    ],
)
def test_mounts_over_programs(path: str) -> None:
    """A volume over programs or libraries is told."""
    assert found({"volumeMounts": [{"name": "code", "mountPath": path}]}) == [f"c.volumeMounts[0]: {path}"]


@pytest.mark.parametrize(
    "path",
    [
        "/models",
        "/usr/share/ollama",
        "/usr/local/nvidia",
        "/lib/modules",
        "/opt/ml",
        "/etc/ssl",
        "/vllm/lib",
        "/libs",
    ],
)
def test_mounts_elsewhere(path: str) -> None:
    """Other places hold no programs."""
    assert found({"volumeMounts": [{"name": "code", "mountPath": path}]}) == []


@pytest.mark.parametrize(
    ("command", "value"),
    [
        (["/code/vllm", "serve", "m"], "c.command[0]: /code/vllm"),
        (["python3", "-u", "/code/api_server.py"], "c.command[2]: /code/api_server.py"),
        (["env", "A=b", "/code/vllm", "serve", "m"], "c.command[2]: /code/vllm"),
        (["sh", "-c", "cd /code/x; python -m vllm"], "c.command[2]: /code/x"),
        (["sh", "-c", "cp /models/x /usr/local/bin/vllm"], "c.command[2]: /usr/local/bin/vllm"),
        (["sh", "-c", "cd /usr/lib; cp /models/x ."], "c.command[2]: /usr/lib/."),
        (["sh", "-c", "cp -t /usr/lib /models/x"], "c.command[2]: /usr/lib"),
        (["sh", "-c", "sed -i s/a/b/ /usr/lib/x.py"], "c.command[2]: /usr/lib/x.py"),
        (["sh", "-c", "echo x | tee /usr/lib/x.py"], "c.command[2]: /usr/lib/x.py"),
        (["sh", "-c", "echo x >> /usr/lib/x.py"], "c.command[2]: /usr/lib/x.py"),
        (["sh", "-c", "dd if=/models/x of=/usr/lib/x.py"], "c.command[2]: /usr/lib/x.py"),
        (["sh", "-c", "cp /usr/lib/x.so /tmp/"], None),
        (["sh", "-c", "sed s/a/b/ /usr/lib/x.py > /tmp/x"], None),
        (["/usr/local/bin/vllm", "serve", "/code/m"], None),
        (["python3", "/app/server.py", "--model", "/code/m"], None),
    ],
)
def test_commands(command: list[str], value: str | None) -> None:
    """Programs out of volumes are told, and files that are written where programs lie."""
    assert found({"command": command}) == ([value] if value else [])
