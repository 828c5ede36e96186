"""The golden corpus through the command line and over TLS: one engine."""

import json
from pathlib import Path

import pytest

from tests.policy.test_engines import JSON, NAMESPACE, POLICY, corpus, rules_told
from tests.server.reviews import dump, patched, review
from tests.server.running import Running, Serving
from webhook.cli import main

IMAGE = "registry.example.com/registrar:1"


def through_check(folder: Path, objects: list[JSON], capsys: pytest.CaptureFixture[str]) -> list[JSON]:
    """Give what the command says of each of these objects."""
    manifests = folder / "manifests.json"
    manifests.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    flags = ["--policy", str(folder / "policy.yaml"), "--registrar-image", IMAGE, "--namespace", NAMESPACE]
    main(["check", str(manifests), "--format", "json", *flags], {})
    found: list[JSON] = json.loads(capsys.readouterr().out)["objects"]
    return found


async def over_tls(running: Running, obj: JSON) -> JSON:
    """Give the webhook's answer to a new object, mutated first as the API server has it."""
    namespace = obj["metadata"].get("namespace", NAMESPACE)
    mutated = (await running.post("/mutate", dump(review(obj, namespace=namespace)))).json()["response"]
    whole = patched(obj, mutated) if "patch" in mutated else obj
    answer = await running.post("/validate", dump(review(whole, namespace=namespace)))
    response: JSON = answer.json()["response"]
    return response


async def test_command_and_webhook_give_the_same_verdicts(
    serving: Serving, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of every corpus, the evasions' twins left out: what is denied, by which rules in which modes."""
    some = [param.values[1] for param in corpus() if not param.id.endswith(", twin")]
    objects = [{"apiVersion": "v1", **obj} for obj in some]
    (tmp_path / "policy.yaml").write_text(POLICY)
    told = through_check(tmp_path, objects, capsys)
    async with serving(policy=str(tmp_path / "policy.yaml"), registrar_image=IMAGE) as running:
        answers = [await over_tls(running, obj) for obj in objects]
    assert len(told) == len(answers)
    assert {one["outcome"] for one in told} >= {"denied", "allowed"}
    for one, answer in zip(told, answers, strict=True):
        assert answer["allowed"] == (one["outcome"] != "denied"), one
        assert rules_told(answer) == {f"{v['rule']}={v['mode']}" for v in one["violations"]}, one
