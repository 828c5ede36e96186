"""Rules over accelerators."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.contract import Engine
from tests.rules import OWN_IMAGE, rule, subject, told
from webhook.sources.found import Extract, Location, Role, Source, Switch, SwitchName, Unknown, Unresolvable

GPU = "nvidia.com/gpu"


def asking(gpu: Any) -> dict[str, Any]:
    """Give a container that asks for so many GPUs."""
    return limits({GPU: gpu})


def limits(amounts: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Give a container with these limits."""
    return {"name": "server", "resources": {"limits": amounts}, **more}


def pod(*containers: Any, init: Any = (), **spec: Any) -> dict[str, Any]:
    """Give a pod."""
    return {"spec": {"containers": list(containers), "initContainers": list(init), **spec}}


@pytest.mark.parametrize(
    "name",
    [
        *("nvidia.com/gpu", "nvidia.com/mig-1g.5gb", "nvidia.com/gpu.shared", "amd.com/gpu"),
        *("gpu.intel.com/i915", "gpu.intel.com/xe", "habana.ai/gaudi", "google.com/tpu"),
        *("aws.amazon.com/neuron", "aws.amazon.com/neuroncore"),
    ],
)
def test_every_makers_devices_count(name: str) -> None:
    """Without a list of its own the policy knows the names of all device plugins of the issue."""
    found = told("accelerators.maxPerPod", 1, subject(pod(limits({name: 2}))))
    assert found == [
        f"spec.containers[0].resources.limits[{name}]: 2 {name} in all -> at most 1 in a pod",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "cpu",
        "memory",
        "gpu.intel.com/millicores",
        "gpu.intel.com/memory.max",
        "example.com/gpu",
        "nvidia.com",
    ],
)
def test_other_resources_do_not_count(name: str) -> None:
    """Shares of a device, and what no pattern names, are no devices."""
    assert told("accelerators.maxPerPod", 0, subject(pod(limits({name: 2})))) == []


@pytest.mark.parametrize(
    ("containers", "init", "count"),
    [
        ([4, 4], [], 8),
        ([1], [8], 8),
        ([4], [2], 4),
        ([4], [{"amount": 2, "restartPolicy": "Always"}], 6),
        ([1], [{"amount": 2, "restartPolicy": "Always"}, 7], 9),
        ([1], [7, {"amount": 2, "restartPolicy": "Always"}], 7),
        (["2"], [], 2),
        (["2e0"], [], 2),
        (["1k"], [], 1000),
    ],
)
def test_a_pods_devices_add_up_as_in_the_scheduler(
    containers: list[Any], init: list[Any], count: int
) -> None:
    """Main containers and native sidecars run together; other init containers before, one by one."""

    def made(item: Any) -> dict[str, Any]:
        if isinstance(item, dict):
            return limits({GPU: item["amount"]}, restartPolicy=item["restartPolicy"])
        return limits({GPU: item})

    judged = subject(pod(*map(made, containers), init=map(made, init)))
    assert told("accelerators.maxPerPod", count, judged) == []
    assert f"{count} {GPU} in all" in told("accelerators.maxPerPod", count - 1, judged)[0]


def test_different_devices_add_up() -> None:
    """A slice is a device too; every name is told."""
    judged = subject(pod(limits({GPU: 1, "nvidia.com/mig-1g.5gb": 2})))
    assert told("accelerators.maxPerPod", 2, judged) == [
        (
            f"spec.containers[0].resources.limits[{GPU}]: 1 {GPU} and 2 nvidia.com/mig-1g.5gb in all"
            " -> at most 2 in a pod"
        )
    ]


def test_none_of_a_device_is_no_device() -> None:
    """An amount of 0 neither counts nor is told."""
    judged = subject(pod(limits({GPU: "0", "amd.com/gpu": 2})))
    assert told("accelerators.maxPerPod", 1, judged) == [
        "spec.containers[0].resources.limits[amd.com/gpu]: 2 amd.com/gpu in all -> at most 1 in a pod"
    ]


def test_a_request_alone_counts() -> None:
    """Devices count by the larger of limit and request."""
    container = {"name": "a", "resources": {"limits": {GPU: 1}, "requests": {GPU: 3}}}
    assert told("accelerators.maxPerContainer", 2, subject(pod(container))) == [
        f"spec.containers[0].resources.limits[{GPU}]: 3 {GPU} -> at most 2"
    ]


def test_each_container_has_its_own_ceiling() -> None:
    """What one container may ask for is not what all may; init containers are held to it, too."""
    judged = subject(pod(asking(gpu=2), asking(gpu=3), init=[asking(gpu=4)]))
    assert [line.partition(".resources")[0] for line in told("accelerators.maxPerContainer", 2, judged)] == [
        "spec.initContainers[0]",
        "spec.containers[1]",
    ]


@pytest.mark.parametrize("amount", ["1500m", "0.5", "-1", "all", "", None, True, {}, [[]], 1.5])
def test_no_whole_number_is_found(amount: Any) -> None:
    """What is no number of devices is never taken for none."""
    for field in ("maxPerPod", "maxPerContainer"):
        found = told(f"accelerators.{field}", 8, subject(pod(asking(gpu=amount))))
        assert [line.partition("-> ")[2] for line in found] == ["a whole number from 0"]


def test_very_many_names_are_not_looked_through() -> None:
    """Nobody hides devices behind a thousand other resources."""
    names = {f"example.com/{index}": 1 for index in range(1000)}
    assert told("accelerators.maxPerPod", 0, subject(pod(limits(names)))) == []
    assert told("accelerators.maxPerPod", 0, subject(pod(limits(names | {GPU: 1})))) == [
        "spec.containers[0].resources.limits: too many resources -> at most 1000 in a pod"
    ]


def test_the_path_is_that_of_the_template() -> None:
    """In a workload the path leads through its template."""
    judged = subject(pod(asking(gpu=2), asking(gpu=2)), path="spec.template.spec")
    assert told("accelerators.maxPerPod", 3, judged)[0].startswith("spec.template.spec: ")
    assert told("accelerators.maxPerContainer", 1, judged)[0].startswith(
        f"spec.template.spec.containers[0].resources.limits[{GPU}]: "
    )


def test_the_policys_own_names_replace_the_list() -> None:
    """With `resources` only the names it has are accelerators."""
    kind, check = rule("accelerators.resources").kind, rule("accelerators.maxPerPod").check
    assert check is not None
    group = {"resources": kind.parse(["example.com/*"])}
    assert list(check(subject(pod(asking(gpu=9))), 1, group)) == []
    assert len(list(check(subject(pod(limits({"example.com/npu": 9}))), 1, group))) == 1


def test_claims_are_found_wherever_they_stand() -> None:
    """Devices by dynamic resource allocation are named by the pod and by its containers."""
    container = {"name": "server", "resources": {"claims": [{"name": "gpus", "request": "one"}]}}
    judged = subject(pod(container, resourceClaims=[{"name": "gpus", "resourceClaimTemplateName": "x"}]))
    wanted = "the claim gpus -> devices asked for in resources.limits"
    assert told("accelerators.resourceClaims", "deny", judged) == [
        f"spec.resourceClaims[0]: {wanted}",
        f"spec.containers[0].resources.claims[0]: {wanted}",
    ]
    assert told("accelerators.resourceClaims", "deny", subject(pod(asking(gpu=8)))) == []


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}, "NVIDIA_VISIBLE_DEVICES=all"),
        ({"name": "NVIDIA_VISIBLE_DEVICES", "value": "0,1"}, "NVIDIA_VISIBLE_DEVICES=0,1"),
        ({"name": "NVIDIA_VISIBLE_DEVICES", "value": "$(WHICH)"}, "NVIDIA_VISIBLE_DEVICES=$(WHICH)"),
        (
            {"name": "NVIDIA_VISIBLE_DEVICES", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}},
            "NVIDIA_VISIBLE_DEVICES=a value from elsewhere",
        ),
        ({"name": "ROCR_VISIBLE_DEVICES", "value": "0"}, "ROCR_VISIBLE_DEVICES=0"),
        ({"name": "HIP_VISIBLE_DEVICES", "value": "0"}, "HIP_VISIBLE_DEVICES=0"),
        ({"name": "HABANA_VISIBLE_DEVICES", "value": "all"}, "HABANA_VISIBLE_DEVICES=all"),
        ({"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}, None),
        ({"name": "NVIDIA_VISIBLE_DEVICES", "value": "none"}, None),
        ({"name": "NVIDIA_VISIBLE_DEVICES"}, None),
        ({"name": "CUDA_VISIBLE_DEVICES", "value": "0,1"}, None),
        ({"name": "NVIDIA_DRIVER_CAPABILITIES", "value": "compute"}, None),
    ],
)
@pytest.mark.parametrize("kind", ["containers", "initContainers", "ephemeralContainers"])
def test_devices_by_variable(kind: str, entry: dict[str, Any], found: str | None) -> None:
    """What gives devices past the scheduler is found in every container; what gives none is not."""
    judged = subject({"spec": {kind: [{"name": "a", "env": [{"name": "X", "value": "y"}, entry]}]}})
    wanted = "devices asked for in resources.limits only"
    assert told("accelerators.visibleDevicesEnv", "deny", judged) == (
        [f"spec.{kind}[0].env[1]: {found} -> {wanted}"] if found else []
    )


def test_devices_by_mount_and_by_annotation() -> None:
    """NVIDIA's runtime takes mounts for devices, and container runtimes annotations."""
    mount = {"name": "a", "mountPath": "/var/run/nvidia-container-devices/all"}
    raw = {
        "metadata": {"annotations": {"cdi.k8s.io/gpu": "nvidia.com/gpu=all", "other": "x"}},
        "spec": {"containers": [{"name": "server", "volumeMounts": [{"mountPath": "/models"}, mount]}]},
    }
    wanted = "devices asked for in resources.limits only"
    assert told("accelerators.visibleDevicesEnv", "deny", subject(raw)) == [
        f"metadata.annotations[cdi.k8s.io/gpu]: a device by annotation -> {wanted}",
        f"spec.containers[0].volumeMounts[1]: a device by mount path -> {wanted}",
    ]


def test_the_registrars_own_variable_is_fine() -> None:
    """`void`, as injection sets it, gives no device."""
    registrar = {
        "name": "registrar",
        "image": OWN_IMAGE,
        "env": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}],
    }
    assert told("accelerators.visibleDevicesEnv", "deny", subject(pod(asking(gpu=1), registrar))) == []


def read(*said: tuple[SwitchName, str], hidden: Any = "no", model: bool = True) -> Extract:
    """Give what is read of `spec.containers[0]`."""
    path = "spec.containers[0].args[0]"
    return Extract(
        sources=(Source(Role.MODEL, Location("hf", "a/b"), path, "server"),) if model else (),
        switches=tuple(Switch(name, value, path, "server") for name, value in said),
        unresolved=()
        if hidden == "no"
        else (Unresolvable(hidden, Unknown.SCRIPT, "a script", path, "server"),),
    )


TP, PP, DP = SwitchName.TENSOR_PARALLEL, SwitchName.PIPELINE_PARALLEL, SwitchName.DATA_PARALLEL
RAY = {"command": ["ray", "start", "--head"]}


@pytest.mark.parametrize(
    ("extract", "container", "engine"),
    [
        (read((TP, "4")), asking(gpu=4), Engine.VLLM),
        (read((TP, "2"), (PP, "2")), asking(gpu=4), Engine.VLLM),
        (read((TP, "2"), (PP, "2"), (DP, "2")), asking(gpu=8), Engine.OPENAI),
        # one device without a word
        (read(), asking(gpu=1), Engine.VLLM),
        # only vLLM is known to use one
        (read(), asking(gpu=4), Engine.OPENAI),
        # not known
        (read((TP, "8"), hidden=None), asking(gpu=4), Engine.VLLM),
        (read(hidden=TP), asking(gpu=4), Engine.VLLM),
        (read((TP, "auto")), asking(gpu=4), Engine.OPENAI),
        (read((TP, "9" * 5000)), asking(gpu=4), Engine.OPENAI),
        # two servers in one container
        (read((TP, "2"), (TP, "2")), asking(gpu=4), Engine.VLLM),
        # devices that are several to the server
        (read((TP, "8")), limits({"google.com/tpu": 4}), Engine.VLLM),
        (read((TP, "8")), limits({"aws.amazon.com/neuron": 1}), Engine.VLLM),
        # over CPUs
        (read((TP, "2")), {"name": "server", "image": "vllm/vllm-openai-cpu:v1"}, Engine.VLLM),
        (read((TP, "2")), {"name": "server", "env": [{"name": "VLLM_CPU_KVCACHE_SPACE"}]}, Engine.VLLM),
        (read(), {"name": "server"}, Engine.VLLM),
        # one server over several pods
        (read((TP, "8"), (PP, "2")), asking(gpu=8) | RAY, Engine.VLLM),
        (read(), asking(gpu=8) | RAY, Engine.VLLM),
        (read(), asking(gpu=8) | {"args": ["--distributed-executor-backend=ray"]}, Engine.VLLM),
        (read((TP, "8"), (PP, "2")), asking(gpu=8) | {"args": ["--nnodes=2"]}, Engine.VLLM),
        (read((TP, "16")), asking(gpu=8) | {"env": [{"name": "LWS_GROUP_SIZE"}]}, Engine.VLLM),
    ],
)
def test_parallelism_that_fits(extract: Extract, container: dict[str, Any], engine: Engine) -> None:
    """A server that uses what its container asks for is fine, and so is one of which too little is known."""
    judged = subject(pod(container), extract=extract, engine=engine)
    assert told("accelerators.matchParallelism", "warn", judged) == []


@pytest.mark.parametrize(
    ("extract", "container", "found"),
    [
        (read((TP, "8")), asking(gpu=4), f"4 {GPU} -> 8"),
        (read((TP, "2")), asking(gpu=4), f"4 {GPU} -> 2"),
        (read((TP, "2"), (PP, "4")), asking(gpu=4), f"4 {GPU} -> 8"),
        (read(), asking(gpu=2), f"2 {GPU} -> 1"),
        (read((TP, "2"), model=False), {"name": "server"}, "no accelerators -> 2"),
        # several pods, but the split does not come out even
        (read((TP, "6")), asking(gpu=4) | RAY, f"4 {GPU} -> 6"),
        (read((TP, "2")), asking(gpu=4) | RAY, f"4 {GPU} -> 2"),
    ],
)
def test_parallelism_that_does_not_fit(extract: Extract, container: dict[str, Any], found: str) -> None:
    """A server over more devices than asked for does not start; over fewer, some are idle."""
    lines = told("accelerators.matchParallelism", "warn", subject(pod(container), extract=extract))
    where = f"resources.limits[{GPU}]" if "resources" in container else "args[0]"
    assert lines == [
        f"spec.containers[0].{where}: {found}, as the server's tensor x pipeline x data parallel"
    ]


@pytest.mark.parametrize("sign", ["path", "label", "claim"])
def test_parallelism_of_groups_of_pods(sign: str) -> None:
    """Pods of a LeaderWorkerSet or of KubeRay are one server together; a claim hides how many devices."""
    path = "spec.leaderWorkerTemplate.leaderTemplate.spec" if sign == "path" else "spec"
    raw = pod(
        asking(gpu=8) if sign != "claim" else {"name": "server"}, resourceClaims=[{}] * (sign == "claim")
    )
    raw["metadata"] = {"labels": {"ray.io/cluster": "a"} if sign == "label" else {}}
    switch = Switch(TP, "16", f"{path}.containers[0].args[1]", "server")
    judged = subject(raw, path=path, extract=Extract(switches=(switch,)))
    assert told("accelerators.matchParallelism", "warn", judged) == []
