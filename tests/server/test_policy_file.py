"""The webhook with a policy file, over TLS: from the start, after a change, and never in the way."""

from pathlib import Path
from typing import Any

import pytest

from tests.server.reviews import dump, pod, review
from tests.server.running import Running, Serving, renew, until
from webhook import cli, followed_file

HEAD = "apiVersion: policy.litellm-registrar.io/v1\nkind: ModelServerPolicy\nmetadata: {name: test}\n"
STRICT = f"{HEAD}spec: {{rules: {{accelerators: {{mode: enforce, maxPerPod: 0}}}}}}\n"
LOOSE = STRICT.replace("maxPerPod: 0", "maxPerPod: 1")
BAD = STRICT.replace("maxPerPod", "maxPrePod")


async def allowed(running: Running) -> bool:
    """Tell whether a pod with one GPU is let in."""
    answer = await running.post("/validate", dump(review(pod())))
    found: bool = answer.json()["response"]["allowed"]
    return found


async def metric(running: Running, name: str) -> list[str]:
    """Give the lines of a metric, without what all names begin with."""
    answer = await running.health.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    lines = [line.removeprefix("litellm_registrar_webhook_") for line in answer.text.splitlines()]
    return [line for line in lines if line.startswith(name)]


async def test_a_changed_policy_is_taken_and_a_bad_one_is_not(
    serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last good one counts on, in a log line and a gauge that say so; the webhook stays ready."""
    monkeypatch.setattr(followed_file, "_LOOK_EVERY", 0.01)
    path = tmp_path / "policy.yaml"
    path.write_text(STRICT)
    async with serving(policy=str(path)) as running:
        assert not await allowed(running)
        (first,) = await metric(running, "policy_info")
        renew(path, BAD)
        await until(lambda: running.log[-1]["event"] == "problem")
        assert "maxPrePod (line 4)" in running.log[-1]["message"]
        assert "maxPerPod" in running.log[-1]["message"]
        assert not await allowed(running)
        assert await metric(running, "file_good") == ['file_good{file="policy"} 0.0']
        assert (await running.health.get("/readyz")).status_code == 200
        renew(path, LOOSE)
        await until(lambda: running.log[-1]["event"] == "policy")
        assert await allowed(running)
        assert await metric(running, "file_good") == ['file_good{file="policy"} 1.0']
        (second,) = await metric(running, "policy_info")
        assert first != second


async def test_the_policy_that_ships_can_be_named(serving: Serving) -> None:
    """`--policy default` needs no file."""
    async with serving(policy="default") as running:
        answer = await running.post("/validate", dump(review(pod())))
        assert answer.json()["response"]["auditAnnotations"]["policy"]


async def test_reviews_are_counted_by_path_and_decision(serving: Serving, tmp_path: Path) -> None:
    """And timed, from 1 ms on. Errors of our own count from 0: an alert would miss the first."""
    path = tmp_path / "policy.yaml"
    path.write_text(STRICT)
    async with serving(policy=str(path)) as running:
        await allowed(running)
        failed = 'reviews_total{decision="failed",path="/%s",reason="internal_error"} 0.0'
        assert await metric(running, "reviews_total") == [
            failed % "mutate",
            failed % "validate",
            'reviews_total{decision="denied",path="/validate",reason="policy_violation"} 1.0',
        ]
        assert await metric(running, "policy_violations_total") == [
            'policy_violations_total{mode="enforce",rule="accelerators.maxPerPod"} 1.0'
        ]
        smallest, *_ = await metric(running, "review_seconds_bucket")
        assert 'le="0.001"' in smallest


def test_a_bad_policy_keeps_the_webhook_from_starting(
    tls: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and every mistake with the flag, its path and its line, those of the defaults too."""
    path, defaults = tmp_path / "policy.yaml", tmp_path / "defaults.yaml"
    path.write_text(BAD)
    defaults.write_text("defaults: {rmp: 5}\n")
    argv = ["serve", "--tls-cert", str(tls.certificate), "--tls-key", str(tls.key), "--cluster-id", "c"]
    argv += ["--registrar-image", "registry.example.com/r:1", "--policy", str(path)]
    argv += [
        "--defaults",
        str(defaults),
        "--listen-address",
        "127.0.0.1",
        "--port",
        "0",
        "--health-port",
        "0",
    ]
    assert cli.main(argv, {}) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"webhook: error: --defaults {str(defaults)!r}: defaults.rmp (line 1): ")
    assert second.startswith(f"webhook: error: --policy {str(path)!r}: ")
    assert "maxPrePod (line 4)" in second
