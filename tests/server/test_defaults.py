"""The webhook with a file of defaults: from the start, by namespace, after a change, and never in the way."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.server.reviews import dump, patched, pod, review
from tests.server.running import Running, Serving, renew, until
from webhook import cli, followed_file

TEXT = "defaults: {rpm: 1}\nnamespaces:\n  team-a: {tpm: 2}\n"


async def params(running: Running, namespace: str, **annotations: str) -> dict[str, Any]:
    """Give the litellm_params that a pod of this namespace is injected with."""
    obj = pod()
    obj["metadata"]["annotations"] = {f"litellm-registrar.io/{k}": v for k, v in annotations.items()}
    answer = await running.post("/mutate", dump(review(obj, namespace=namespace)))
    (registrar,) = patched(obj, answer.json()["response"])["spec"]["initContainers"]
    env = {entry["name"]: entry.get("value") for entry in registrar["env"]}
    found: dict[str, Any] = json.loads(env.get("REGISTRAR_LITELLM_PARAMS", "{}"))
    return found


async def test_the_reviews_namespace_picks_the_defaults(serving: Serving, tmp_path: Path) -> None:
    """Its own go over the cluster's; what the pod says goes over both."""
    path = tmp_path / "defaults.yaml"
    path.write_text(TEXT)
    async with serving(defaults=str(path)) as running:
        assert await params(running, "team-a") == {"rpm": 1, "tpm": 2}
        assert await params(running, "team-b") == {"rpm": 1}
        assert await params(running, "team-a", rpm="9") == {"rpm": 9, "tpm": 2}


async def test_a_change_counts_without_a_restart(
    serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad change is logged and denies no pod; a good one counts for the next pod."""
    monkeypatch.setattr(followed_file, "_LOOK_EVERY", 0.01)
    path = tmp_path / "defaults.yaml"
    path.write_text(TEXT)
    async with serving(defaults=str(path)) as running:
        renew(path, "defaults: {rmp: 5}\n")
        await until(lambda: running.log[-1]["event"] == "problem")
        assert "defaults.rmp (line 1): no such annotation; did you mean rpm?" in running.log[-1]["message"]
        assert await params(running, "team-b") == {"rpm": 1}
        renew(path, "defaults: {rpm: 5}\n")
        await until(lambda: running.log[-1]["event"] == "defaults")
        assert await params(running, "team-b") == {"rpm": 5}


def test_bad_defaults_keep_the_webhook_from_starting(
    tls: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and every mistake with the flag, its path and its line."""
    path = tmp_path / "defaults.yaml"
    path.write_text("defaults:\n  rmp: 5\n  port: 1\n")
    argv = ["serve", "--tls-cert", str(tls.certificate), "--tls-key", str(tls.key), "--cluster-id", "c"]
    argv += ["--registrar-image", "registry.example.com/r:1", "--defaults", str(path)]
    assert cli.main([*argv, "--listen-address", "127.0.0.1", "--port", "0", "--health-port", "0"], {}) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(
        f"webhook: error: --defaults {str(path)!r}: defaults.rmp (line 2): no such annotation"
    )
    assert "defaults.port (line 3): there is no default of it" in second
