"""The verdict of a workload is that of the pod it would make."""

import pytest

from tests.policy.evasions.cases import OWN_IMAGE, cases, policy
from tests.server.reviews import GROUPS
from tests.server.workloads import PATHS, workload
from webhook.handlers import validate
from webhook.inject import Injection
from webhook.made import stands
from webhook.review import Review

ALL = cases()
CONFIG = Injection(cluster="test", image=OWN_IMAGE)
Found = list[tuple[str, str, str]]


def found(kind: str, obj: dict[str, object], namespace: str) -> Found:
    """Give rule, path and finding of each violation of an object that is created."""
    verdict = validate(Review("uid", "CREATE", kind, "", namespace, "", obj, {}), CONFIG, policy())
    return sorted((v.rule, v.path, v.found) for v in verdict.judgement.violations)


def there(path: str, kind: str, obj: dict[str, object]) -> str:
    """Give where a path within the pod stands in the workload; empty if it can come from elsewhere."""
    if kind != "InferenceService":
        return f"{PATHS[kind].removesuffix('spec')}{path}"
    place = PATHS[kind] + path.removeprefix("spec").removeprefix("metadata")
    return place if stands(obj, place) else ""


@pytest.mark.parametrize("kind", ["Deployment", "CronJob", "LeaderWorkerSet", "InferenceService"])
def test_no_workload_hides_an_evasion(kind: str) -> None:
    """Each evasion, in the template of each kind, breaks the same rules at the same places in the template.

    But for servers that span several pods, as those of a LeaderWorkerSet do: they may have more GPUs in all.
    """
    told = 0
    for case in ALL:
        pod = case.denied.pod
        namespace = pod["metadata"]["namespace"]
        obj = workload(kind, pod)
        violations = [
            (rule, there(path, kind, obj), text) for rule, path, text in found("Pod", pod, namespace)
        ]
        expected = sorted(
            one
            for one in violations
            if one[1] and not (kind == "LeaderWorkerSet" and one[0] == "accelerators.matchParallelism")
        )
        assert found(f"{GROUPS.get(kind, 'apps')}/{kind}", obj, namespace) == expected, case.name
        told += len(expected)
    assert told > len(ALL)
