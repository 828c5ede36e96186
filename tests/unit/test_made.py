"""The pods that objects would make, and where their fields stand."""

from typing import Any

import pytest

from sidecar.contract import LABEL_CARRIED, LABEL_SERVER, Engine
from webhook.made import made, stands

JSON = dict[str, Any]
SERVICE = "serving.kserve.io/InferenceService"
SPEC: JSON = {"containers": [{"name": "c"}]}


def service(predictor: JSON, **metadata: Any) -> JSON:
    """Give an InferenceService called `qwen` with this predictor."""
    return {
        "kind": "InferenceService",
        "metadata": {"name": "qwen", **metadata},
        "spec": {"predictor": predictor},
    }


@pytest.mark.parametrize(
    ("labels", "template", "own", "engine"),
    [
        ({LABEL_SERVER: "vllm"}, {}, True, Engine.VLLM),
        ({}, {LABEL_SERVER: "ollama"}, True, Engine.OLLAMA),
        ({LABEL_SERVER: "vllm"}, {LABEL_SERVER: "ollama"}, True, Engine.OLLAMA),
        ({}, {LABEL_CARRIED: "vllm"}, True, Engine.VLLM),
        ({LABEL_SERVER: "nonsense"}, {}, True, None),
        ({LABEL_SERVER: "vllm"}, {"litellm-registrar.io/inject": "false"}, False, None),
        ({}, {"litellm-registrar.io/inject": "false", LABEL_SERVER: "vllm"}, True, Engine.VLLM),
        ({LABEL_SERVER: "vllm", "litellm-registrar.io/inject": "false"}, {}, False, None),
        ({}, {}, False, None),
    ],
)
def test_the_label_comes_from_the_template_or_is_carried(
    labels: JSON, template: JSON, engine: Engine | None, *, own: bool
) -> None:
    """As webhook.workload carries it; the template's own label wins."""
    obj = {
        "kind": "Deployment",
        "metadata": {"name": "qwen", "labels": labels},
        "spec": {"template": {"metadata": {"labels": template}, "spec": SPEC}},
    }
    (one,) = made("apps/Deployment", obj)
    assert (one.ours, one.engine, one.path, one.name) == (own, engine, "spec.template.spec", "qwen-")
    assert LABEL_SERVER not in template or one.pod["metadata"]["labels"] == template


@pytest.mark.parametrize(
    ("metadata", "name"), [({"name": "a"}, "a"), ({"generateName": "a-"}, "a-"), ({"name": 3}, ""), ({}, "")]
)
def test_a_pod_is_its_own(metadata: JSON, name: str) -> None:
    """By its name, or by what its name will begin with."""
    obj = {"kind": "Pod", "metadata": metadata, "spec": SPEC}
    (one,) = made("Pod", obj)
    assert (one.pod, one.path, one.name) == (obj, "spec", name)


def test_a_stateful_sets_claims_are_volumes_of_its_pods() -> None:
    """In the place of a volume of that name, else behind the others."""
    spec = {**SPEC, "volumes": [{"name": "cache", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]}
    claims = [{"metadata": {"name": name}} for name in ("cache", "models")]
    obj = {
        "kind": "StatefulSet",
        "metadata": {"name": "qwen"},
        "spec": {"template": {"spec": spec}, "volumeClaimTemplates": claims},
    }
    (one,) = made("apps/StatefulSet", obj)
    assert one.pod["spec"]["volumes"] == [
        {"name": "cache", "persistentVolumeClaim": {"claimName": "cache-qwen-0"}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "models", "persistentVolumeClaim": {"claimName": "models-qwen-0"}},
    ]


def test_a_leader_worker_set_makes_two_kinds_of_pods() -> None:
    """Its leaders and its workers, each with its path; without a leader's template only workers'."""
    templates = {"leaderTemplate": {"spec": SPEC}, "workerTemplate": {"spec": SPEC}}
    kind = "leaderworkerset.x-k8s.io/LeaderWorkerSet"
    obj = {"kind": "LeaderWorkerSet", "spec": {"leaderWorkerTemplate": templates}}
    assert [one.path for one in made(kind, obj)] == [
        "spec.leaderWorkerTemplate.leaderTemplate.spec",
        "spec.leaderWorkerTemplate.workerTemplate.spec",
    ]
    del templates["leaderTemplate"]
    assert [one.path for one in made(kind, obj)] == ["spec.leaderWorkerTemplate.workerTemplate.spec"]


def test_a_model_becomes_a_container_and_its_uri_an_init_container() -> None:
    """Behind those that are there, whose paths stay; each part is found where it stands in the service."""
    model = {
        "modelFormat": {"name": "huggingface"},
        "storageUri": "hf://Qwen/Qwen3-8B",
        "args": ["--trust-remote-code"],
    }
    predictor = {
        "model": model,
        "labels": {LABEL_SERVER: "vllm"},
        "initContainers": [{"name": "own"}],
        **SPEC,
    }
    (one,) = made(SERVICE, service(predictor))
    spec = one.pod["spec"]
    assert [c["name"] for c in spec["initContainers"]] == ["own", "storage-initializer"]
    assert [c["name"] for c in spec["containers"]] == ["c", "kserve-container"]
    assert spec["initContainers"][1]["args"] == ["hf://Qwen/Qwen3-8B", "/mnt/models"]
    mount = {"name": "kserve-provision-location", "mountPath": "/mnt/models"}
    assert spec["volumes"] == [{"name": mount["name"], "emptyDir": {}}]
    assert spec["initContainers"][1]["volumeMounts"] == [mount]
    assert spec["containers"][1]["volumeMounts"] == [{**mount, "readOnly": True}]
    assert spec["containers"][1]["args"] == ["--trust-remote-code"]
    assert spec["containers"][1]["image"] == "kserve/huggingfaceserver"
    assert (one.ours, one.engine, one.name) == (True, Engine.VLLM, "qwen-predictor-")
    assert one.place("spec.containers[1].args[0]") == "spec.predictor.model.args[0]"
    assert one.place("spec.initContainers[1].args[0]") == "spec.predictor.model.storageUri"
    assert one.place("spec.containers[0].image") == "spec.predictor.containers[0].image"
    assert one.place("spec.hostNetwork") == "spec.predictor.hostNetwork"
    assert one.place("metadata.labels[x]") == "spec.predictor.labels[x]"


@pytest.mark.parametrize(
    ("model", "image"),
    [
        ({"modelFormat": {"name": "huggingface"}}, "kserve/huggingfaceserver"),
        ({"modelFormat": {"name": "huggingface"}, "runtime": "own"}, None),
        ({"modelFormat": {"name": "huggingface"}, "image": "x"}, "x"),
        ({"modelFormat": {"name": "sklearn"}}, None),
        ({"modelFormat": "huggingface"}, None),
    ],
)
def test_the_image_of_a_model_is_known_only_of_kserves_own_runtime(model: JSON, image: str | None) -> None:
    """A ServingRuntime that is named can be anything."""
    (one,) = made(SERVICE, service({"model": model}))
    assert one.pod["spec"]["containers"][0].get("image") == image


@pytest.mark.parametrize(
    ("model", "args"),
    [
        (
            {"runtime": "own", "args": ["--trust-remote-code"]},
            ["--trust-remote-code", "--model", "/mnt/models"],
        ),
        ({"runtime": "own", "args": ["--model=x"]}, ["--model=x"]),
        ({"runtime": "own", "args": ["--model_name=x"]}, ["--model_name=x", "--model", "/mnt/models"]),
        ({"image": "x", "args": []}, ["--model", "/mnt/models"]),
        ({"image": "x", "command": ["y"]}, None),
        ({"modelFormat": {"name": "huggingface"}, "args": ["--model_id", "x"]}, ["--model_id", "x"]),
    ],
)
def test_a_runtime_names_the_model_where_the_service_does_not(model: JSON, args: list[str] | None) -> None:
    """Its own arguments come first: a command line without a model is no server's default one."""
    (one,) = made(SERVICE, service({"model": model}))
    assert one.pod["spec"]["containers"][0].get("args") == args


def test_a_storage_whose_address_is_in_a_secret_is_told_where_it_stands() -> None:
    """KServe notes it in an annotation of the pod."""
    (one,) = made(SERVICE, service({"model": {"storage": {"path": "x"}}}))
    key = "internal.serving.kserve.io/storage-spec"
    assert one.pod["metadata"]["annotations"] == {key: "true"}
    assert one.place(f"metadata.annotations[{key}]") == "spec.predictor.model.storage"


def test_the_older_keys_of_models_are_read_too() -> None:
    """`spec.predictor.huggingface` is a model of that format."""
    (one,) = made(SERVICE, service({"huggingface": {"storageUri": "s3://b/m"}}))
    assert one.pod["spec"]["containers"][0]["image"] == "kserve/huggingfaceserver"
    assert one.place("spec.initContainers[0].args[0]") == "spec.predictor.huggingface.storageUri"


def test_several_uris_are_loaded_each_to_its_path() -> None:
    """`storageUris` go with a container of one's own: the first, or the one of KServe's name."""
    uris = [{"uri": "s3://b/m", "mountPath": "/m"}, {"uri": "hf://a/b"}]
    both = {"containers": [{"name": "proxy"}, {"name": "kserve-container"}], "storageUris": uris}
    (one,) = made(SERVICE, service(both))
    assert ["volumeMounts" in container for container in one.pod["spec"]["containers"]] == [False, True]
    (one,) = made(SERVICE, service({**SPEC, "storageUris": uris}))
    spec = one.pod["spec"]
    assert [c["args"] for c in spec["initContainers"]] == [["s3://b/m", "/m"], ["hf://a/b", "/mnt/models"]]
    assert [m["mountPath"] for m in spec["containers"][0]["volumeMounts"]] == ["/m", "/mnt/models"]
    assert one.place("spec.initContainers[1].args[0]") == "spec.predictor.storageUris[1].uri"


def test_labels_of_the_service_go_to_the_pods_of_every_component() -> None:
    """Those of a component go over them."""
    obj = service({**SPEC, "labels": {LABEL_SERVER: "vllm"}}, labels={LABEL_SERVER: "auto"})
    obj["spec"]["transformer"] = SPEC
    assert [(one.name, one.engine) for one in made(SERVICE, obj)] == [
        ("qwen-predictor-", Engine.VLLM),
        ("qwen-transformer-", Engine.AUTO),
    ]


@pytest.mark.parametrize(
    "junk", [None, 3, "x", [], {}, {"model": []}, {"model": {"storageUri": 3}}, {"containers": 3}]
)
@pytest.mark.parametrize("kind", [SERVICE, "apps/StatefulSet", "batch/CronJob", "Pod"])
def test_any_shape_is_read_without_an_error(kind: str, junk: Any) -> None:
    """What has the wrong shape counts as absent."""
    for spec in (
        junk,
        {"predictor": junk},
        {"template": junk, "volumeClaimTemplates": junk},
        {"jobTemplate": junk},
    ):
        for one in made(kind, {"kind": kind.rpartition("/")[2], "metadata": junk, "spec": spec}):
            assert one.ours is False


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("a.b[1].c", True),
        ("a.b[2].c", False),
        ("a.b[0].c", False),
        ("a.d[x/y.z]", True),
        ("a.d[x]", False),
        ("a.b[1].c.d", False),
        ("", True),
    ],
)
def test_a_path_is_followed_into_an_object(path: str, *, there: bool) -> None:
    """Keys, indices, and keys with dots in brackets."""
    assert stands({"a": {"b": [1, {"c": 1}], "d": {"x/y.z": 1}}}, path) is there
