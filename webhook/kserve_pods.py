"""The pods that KServe would make of an InferenceService, as far as they stand in it. Pure.

After `pkg/apis/serving/v1beta1/{inference_service,predictor,component}.go` and, for how they become pods,
`pkg/controller/v1beta1/inferenceservice/components/predictor.go` and `pkg/webhook/admission/pod` of
kserve/kserve. A component (`spec.predictor`, ...) is a pod spec with more keys in it, so paths stay what they
are; a `model`, or one of the older keys of its kind, becomes one more container, and its `storageUri` an init
container. What a ServingRuntime and KServe's own defaults add is not known here: of such a pod only what
stands in the InferenceService can be told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from webhook.pods import annotations_of, labels_of, listed, mapping, objects

_COMPONENTS: Final = ("predictor", "transformer", "explainer")
# The keys of PredictorSpec that hold a container with a storageUri.
_MODELS: Final = (
    *("model", "huggingface", "sklearn", "xgboost", "tensorflow", "pytorch", "triton", "onnx", "pmml"),
    *("lightgbm", "paddle"),
)
# Of the runtimes KServe ships, the one that is known here by its command line; the tag is the release's.
_IMAGES: Final = {"huggingface": "kserve/huggingfaceserver"}
_CONTAINER: Final = "kserve-container"
_INITIALIZER: Final = "storage-initializer"
_VOLUME: Final = "kserve-provision-location"
_MOUNT: Final = "/mnt/models"
_STORAGE_SPEC: Final = "internal.serving.kserve.io/storage-spec"
_MODEL_OPTIONS: Final = frozenset({"--model", "--model_id", "--model-id", "--model_dir", "--model-dir", "-m"})

# (path in the pod, path in the InferenceService)
Place = tuple[str, str]


class ComponentPod(NamedTuple):
    """The pod of one component. `places` says where its fields stand, the longest first."""

    component: str
    pod: Mapping[str, Any]
    places: tuple[Place, ...]


def pods(service: Mapping[str, Any]) -> Iterator[ComponentPod]:
    """Give the pod of each component that says what it runs."""
    spec = mapping(service.get("spec"))
    for name in _COMPONENTS:
        component = mapping(spec.get(name))
        if component:
            yield _pod(service, name, component)


def _pod(service: Mapping[str, Any], name: str, component: Mapping[str, Any]) -> ComponentPod:
    path = f"spec.{name}"
    key = next((key for key in _MODELS if isinstance(component.get(key), dict)), "")
    model = mapping(component.get(key))
    containers = [*listed(component.get("containers"))]
    inits = [*listed(component.get("initContainers"))]
    volumes = [*listed(component.get("volumes"))]
    places: list[Place] = []
    downloads = list(_downloads(component, model, f"{path}.{key}", path))
    if model:
        places.append((f"spec.containers[{len(containers)}]", f"{path}.{key}"))
        containers.append(_container(key, model, [mount for _, mount, _ in downloads]))
    elif downloads and containers:
        # The first container, or the one of KServe's name, gets the volume (`NewCustomPredictor`).
        index = next((i for i, c in objects(containers) if c.get("name") == _CONTAINER), 0)
        containers[index] = _mounted(mapping(containers[index]), [mount for _, mount, _ in downloads])
    for uri, mount, place in downloads:
        places.append((f"spec.initContainers[{len(inits)}].args[0]", place))
        places.append((f"spec.initContainers[{len(inits)}]", place))
        inits.append(_initializer(uri, mount))
    if downloads:
        volumes.append({"name": _VOLUME, "emptyDir": {}})
    annotations = {**annotations_of(service), **mapping(component.get("annotations"))}
    if isinstance(model.get("storage"), dict):
        annotations[_STORAGE_SPEC] = "true"
        places.append((f"metadata.annotations[{_STORAGE_SPEC}]", f"{path}.{key}.storage"))
    places += [("spec", path), ("metadata", path)]
    labels = {**labels_of(service), **mapping(component.get("labels"))}
    metadata = {"labels": labels, "annotations": annotations}
    lists = {"containers": containers, "initContainers": inits, "volumes": volumes}
    pod = {"metadata": metadata, "spec": {**component, **lists}}
    return ComponentPod(name, pod, tuple(places))


def _downloads(
    component: Mapping[str, Any], model: Mapping[str, Any], model_path: str, path: str
) -> Iterator[tuple[str, str, str]]:
    """Give what is loaded before the server starts: the URI, where to, and its JSON path."""
    uri = model.get("storageUri")
    if isinstance(uri, str):
        yield uri, _MOUNT, f"{model_path}.storageUri"
    for index, item in objects(component.get("storageUris")):
        more, mount = item.get("uri"), item.get("mountPath")
        if isinstance(more, str):
            yield more, mount if isinstance(mount, str) else _MOUNT, f"{path}.storageUris[{index}].uri"


def _container(key: str, model: Mapping[str, Any], mounts: list[str]) -> Mapping[str, Any]:
    """Give the container that a model becomes.

    The arguments of a ServingRuntime come before the model's own (`MergeRuntimeContainers` of
    `pkg/controller/v1beta1/inferenceservice/utils/utils.go`). What they are is not known here; where the
    model's own name none, theirs mean what KServe has put at `/mnt/models`.
    """
    kind = key if key != "model" else mapping(model.get("modelFormat")).get("name")
    known = _IMAGES.get(kind) if isinstance(kind, str) and not model.get("runtime") else None
    container = {**model, "name": _CONTAINER}
    args = listed(model.get("args"))
    if known and "image" not in model:
        container["image"] = known
    elif "command" not in model and not any(_names_model(word) for word in args):
        container["args"] = [*args, "--model", _MOUNT]
    return _mounted(container, mounts)


def _names_model(word: Any) -> bool:
    return isinstance(word, str) and word.partition("=")[0] in _MODEL_OPTIONS


def _mounted(container: Mapping[str, Any], mounts: list[str]) -> Mapping[str, Any]:
    more = [{"name": _VOLUME, "mountPath": mount, "readOnly": True} for mount in mounts]
    return {**container, "volumeMounts": [*listed(container.get("volumeMounts")), *more]}


def _initializer(uri: str, mount: str) -> Mapping[str, Any]:
    # InjectStorageInitializer of pkg/webhook/admission/pod/storage_initializer_injector.go
    return {
        "name": _INITIALIZER,
        "image": f"kserve/{_INITIALIZER}",
        "args": [uri, mount],
        "volumeMounts": [{"name": _VOLUME, "mountPath": mount}],
    }
