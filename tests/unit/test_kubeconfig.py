"""Broken kubeconfigs: they are refused by name, and nothing in them is quoted."""

import asyncio
from pathlib import Path

import pytest

from webhook.kube.api import Api, ApiError
from webhook.kube.reading import Cluster, KubeError

SECRET = "not-to-be-seen"
GOOD = {
    "contexts": "[{name: c, context: {cluster: k, user: u}}]",
    "clusters": '[{name: k, cluster: {server: "https://127.0.0.1:1"}}]',
    "users": f"[{{name: u, user: {{token: {SECRET}}}}}]",
}


def kubeconfig(folder: Path, **replaced: str) -> Path:
    """Write a kubeconfig with some of its parts replaced."""
    path = folder / "kubeconfig"
    parts = "\n".join(f"{name}: {text}" for name, text in {**GOOD, **replaced}.items())
    path.write_text(f"apiVersion: v1\nkind: Config\ncurrent-context: c\n{parts}\n")
    return path


BROKEN = [
    {"users": f"[{{name: u, token: {SECRET}}}]"},
    {"users": f"[{{token: {SECRET}}}]"},
    {"users": SECRET},
    {"clusters": f"[{{name: k, certificate-authority-data: {SECRET}}}]"},
    {"contexts": f"[{{name: c, context: {{user: {SECRET}}}}}]"},
    {"contexts": f"[{{name: c, {SECRET}: [}}]"},
]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_process_that_asks_says_which_file_is_broken_and_nothing_of_it(
    broken: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The error of `Api.connect` names the file; no entry of it is in the text, nor on any stream."""
    path = kubeconfig(tmp_path, **broken)
    with pytest.raises(ApiError) as error:
        asyncio.run(Api.connect(str(path)))
    assert str(path) in str(error.value)
    assert SECRET not in "".join([str(error.value), repr(error.value), *capfd.readouterr()])


@pytest.mark.parametrize("broken", BROKEN)
def test_check_says_which_file_is_broken_and_nothing_of_it(
    broken: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same for `check --cluster`."""
    path = kubeconfig(tmp_path, **broken)
    with pytest.raises(KubeError) as error:
        Cluster(str(path))
    assert str(path) in str(error.value)
    assert SECRET not in "".join([str(error.value), repr(error.value), *capfd.readouterr()])


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    """Not that something is missing in it."""
    with pytest.raises(ApiError, match="no such file"):
        asyncio.run(Api.connect(str(tmp_path / "none")))


def test_a_context_that_is_not_there_is_said_by_its_name(tmp_path: Path) -> None:
    """What was asked for is named, as it is no secret."""
    with pytest.raises(ApiError, match="staging"):
        asyncio.run(Api.connect(str(kubeconfig(tmp_path)), "staging"))
