"""The webhook where registrars ask a broker, over TLS: the bundle from its file into pods."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from sidecar import contract
from tests.certificates import make_ca
from tests.server.reviews import dump, pod, review
from tests.server.running import Running, Serving, renew, until
from webhook import followed_file
from webhook.flags import SettingsError
from webhook.patch import Op, apply

URL = "https://broker.example.com"
FIRST, SECOND = (make_ca(name).certificate.decode() for name in ("one", "two"))


async def injected(running: Running, original: dict[str, Any]) -> dict[str, Any]:
    """Give the pod as the webhook would have it."""
    answer = await running.post("/mutate", dump(review(original)))
    ops = json.loads(base64.b64decode(answer.json()["response"].get("patch", "")) or "[]")
    found: dict[str, Any] = apply(original, [Op(**op) for op in ops])
    return found


def bundle(patched: dict[str, Any]) -> str:
    """Give the bundle in the pod's registrar."""
    env = {entry["name"]: entry.get("value") for entry in patched["spec"]["initContainers"][-1]["env"]}
    return str(env[contract.ENV_LITELLM_CA])


async def test_a_changed_bundle_is_for_new_pods(
    serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is followed; a pod that has its registrar keeps the bundle with which it was made."""
    monkeypatch.setattr(followed_file, "_LOOK_EVERY", 0.01)
    path = tmp_path / "ca.crt"
    path.write_text(FIRST)
    async with serving(broker_url=URL, broker_ca=str(path)) as running:
        assert (await running.health.get("/readyz")).status_code == 200
        older = await injected(running, pod())
        assert bundle(older) == FIRST
        renew(path, FIRST + SECOND)
        await until(lambda: running.log[-1]["event"] == "broker-ca")
        assert running.log[-1]["certificates"] == 2
        assert bundle(await injected(running, pod())) == FIRST + SECOND
        assert await injected(running, older) == older


async def test_a_bad_change_is_said_and_not_taken(
    serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last good bundle goes into pods, and a gauge shows it."""
    monkeypatch.setattr(followed_file, "_LOOK_EVERY", 0.01)
    path = tmp_path / "ca.crt"
    path.write_text(FIRST)
    async with serving(broker_url=URL, broker_ca=str(path)) as running:
        renew(path, "no certificate")
        await until(lambda: running.log[-1]["event"] == "problem")
        assert bundle(await injected(running, pod())) == FIRST
        metrics = (await running.health.get("/metrics")).text
        assert 'litellm_registrar_webhook_file_good{file="broker-ca"} 0.0' in metrics


async def test_defaults_that_name_a_secret_are_a_bad_setting(serving: Serving, tmp_path: Path) -> None:
    """Whoever wrote them meant another webhook: each place is named."""
    bundle, defaults = tmp_path / "ca.crt", tmp_path / "defaults.yaml"
    bundle.write_text(FIRST)
    defaults.write_text("namespaces: {a: {litellm-secret: x}, b: {rpm: 5}, c: {litellm-secret: y}}")
    with pytest.raises(SettingsError) as caught:
        async with serving(broker_url=URL, broker_ca=str(bundle), defaults=str(defaults)):
            pass
    assert [re.findall(r"(\S+)\.litellm-secret: allowed only", text) for text in caught.value.problems] == [
        ["namespaces.a"],
        ["namespaces.c"],
    ]


async def test_a_bad_bundle_at_the_start_is_a_bad_setting(serving: Serving, tmp_path: Path) -> None:
    """The flag, the file and what is wrong are named."""
    path = tmp_path / "ca.crt"
    path.write_text("no certificate")
    with pytest.raises(SettingsError, match=r"^--broker-ca '.*ca\.crt': found 0 whole certificates"):
        async with serving(broker_url=URL, broker_ca=str(path)):
            pass
