"""Our two images: what is in them, that it is the same each time, that it runs where little is allowed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import httpx
import pytest

from sidecar.contract import CONTAINER_NAME
from tests.node.manifests import OPENAI, SECRET, container, pod, secret
from tests.node.world import Registrars
from tests.peers.archive import Image
from tests.peers.cluster import JSON, Cluster, wait_until
from tests.peers.helm import Helm, broker_values, make_key
from tests.peers.proxy import LiteLLM
from tests.server.reviews import review
from webhook.inject import Injection, inject
from webhook.patch import apply

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

ROOT: Final = Path(__file__).parents[2]
Name = Literal["sidecar", "webhook"]
NAMES: Final[tuple[Name, ...]] = ("sidecar", "webhook")
MODEL: Final = "without-shell"
# Python says of each module where its code comes from (PYTHONVERBOSE; Lib/importlib/_bootstrap_external.py).
VERBOSE: Final[JSON] = {"name": "PYTHONVERBOSE", "value": "1"}
COMPILED_WHILE_RUNNING: Final = re.compile(r"# code object from '(/\S+\.py)'")
NAMESPACE: Final = "images"


@pytest.fixture(scope="module")
def archives(images: list[str]) -> dict[Name, Image]:
    """Read both images."""
    paths = {path.stem: path for path in map(Path, images)}
    return {"sidecar": Image.read(paths["sidecar"]), "webhook": Image.read(paths["webhook"])}


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    """Make a namespace."""
    yield cluster.namespace(NAMESPACE)
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def folders(image: Image, base: Image) -> dict[str, set[str]]:
    """Name what each folder of ours holds in an image, over the base that it has in common with another one.

    Raises ValueError for anything outside of them.
    """
    found: dict[str, set[str]] = {}
    for path in (path for layer in image.over(base) for path in layer.entries if path != "opt"):
        top, folder, *rest = path.split("/")
        if top != "opt":
            raise ValueError(f"{path}: found outside of /opt")
        found.setdefault(folder, set()).update(rest[:1])
    return found


def locked(name: Name) -> set[str]:
    """Read a lock file: the names and versions in it, as folders of installed packages are called."""
    lines = (ROOT / "requirements" / f"{name}.lock").read_text().splitlines()
    pins = (line.partition("==") for line in lines if "==" in line)
    return {f"{name.replace('-', '_')}-{version.split()[0]}.dist-info" for name, _, version in pins}


def test_the_sidecar_image_has_httpx_and_one_more(archives: dict[Name, Image]) -> None:
    """Over its base: httpx and what comes with it, a library that counts, the registrar, all compiled."""
    found = folders(archives["sidecar"], archives["webhook"])
    assert found.keys() == {"packages", "registrar", "pycache"}
    httpx_and_its_own = {"httpx", "httpcore", "h11", "anyio", "certifi", "idna", "typing_extensions.py"}
    assert found["packages"] == {*httpx_and_its_own, "prometheus_client", *locked("sidecar")}
    assert found["registrar"] == {"sidecar"}


def test_the_webhook_image_has_what_is_locked(archives: dict[Name, Image]) -> None:
    """Each package of the lock file is there in its version, no other, and of the registrar the contract."""
    found = folders(archives["webhook"], archives["sidecar"])
    assert found.keys() == {"packages", "webhook", "pycache"}
    assert {name for name in found["packages"] if name.endswith(".dist-info")} == locked("webhook")
    assert found["webhook"] == {"bin", "sidecar", "webhook"}
    layers = archives["webhook"].over(archives["sidecar"])
    shared = {path for layer in layers for path in layer.entries if path.startswith("opt/webhook/sidecar/")}
    names = ("__init__", "contract", "patterns", "row_contract", "broker_contract")
    assert shared == {f"opt/webhook/sidecar/{name}.py" for name in names}


def test_the_webhook_image_has_the_console_script_on_its_path(archives: dict[Name, Image]) -> None:
    """`kubectl exec` starts `litellm-registrar` by that name, without a shell."""
    image = archives["webhook"]
    (path,) = (each for each in image.settings["Env"] if each.startswith("PATH="))
    assert path.startswith("PATH=/opt/webhook/bin:/usr/local/bin:")
    (script,) = (
        entry
        for layer in image.over(archives["sidecar"])
        for name, entry in layer.entries.items()
        if name == "opt/webhook/bin/litellm-registrar"
    )
    assert script.mode & 0o111 == 0o111


@pytest.mark.parametrize("name", NAMES)
def test_an_image_runs_as_nobody_and_without_a_shell(name: Name, archives: dict[Name, Image]) -> None:
    """User and group are numbers, which `runAsNonRoot` can check; what is started is Python itself."""
    settings = archives[name].settings
    assert settings["User"] == "65534:65534"
    words = [*settings.get("Entrypoint", ()), *settings["Cmd"]]
    assert words[:3] == ["python", "-m", name]
    files = [
        entry for layer in archives[name].over(archives[other(name)]) for entry in layer.entries.values()
    ]
    assert {entry.owner for entry in files} == {(0, 0)}, "it could change what it runs"
    assert not [entry for entry in files if entry.mode & 0o6022]


def other(name: Name) -> Name:
    """Name the other image."""
    return "webhook" if name == "sidecar" else "sidecar"


@pytest.mark.parametrize("name", NAMES)
def test_two_builds_differ_in_nothing_but_times(name: Name, tmp_path: Path, work: Path) -> None:
    """Built again from nothing, an image has the same files with the same contents, and the same settings."""
    sources = tmp_path / "sources"  # a checkout that nobody works in
    for part in ("sidecar", "webhook", "docker", "requirements"):
        shutil.copytree(ROOT / part, sources / part)
    for file in (".dockerignore", f"Dockerfile.{name}"):
        shutil.copy(ROOT / file, sources / file)
    built = []
    for flags in ((), ("--no-cache",)):
        out = tmp_path / "image.tar"
        words = ("-t", f"litellm-registrar/{name}:again", "-o", str(out), "-f")
        Cluster(work).script(
            "image-build.sh", *words, str(sources / f"Dockerfile.{name}"), str(sources), *flags
        )
        built.append(Image.read(out))
        out.unlink()
    first, second = built
    digests = ([layer.digest for layer in image.layers] for image in built)
    assert next(digests) != next(digests), "it was built only once"
    assert first.settings == second.settings
    pairs = list(zip(first.layers, second.layers, strict=True))
    assert not [path for one, two in pairs for path in one.entries.keys() ^ two.entries.keys()]
    assert not [p for one, two in pairs for p, entry in one.entries.items() if two.entries[p] != entry]


def test_a_registrar_needs_no_shell_and_compiles_nothing(
    cluster: Cluster, namespace: str, proxy: LiteLLM, litellm_url: str, work: Path
) -> None:
    """Its whole life with the shells taken out: registered, drained, and every module was compiled."""
    cluster.create(secret(namespace, litellm_url, proxy.key))
    cluster.create(nothing(namespace))
    cluster.create(without_shell(namespace))
    wait_until("a row", 180, lambda: proxy.rows(MODEL))
    shell = ("exec", MODEL, "-n", namespace, "-c", CONTAINER_NAME, "--", "sh", "-c", "true")
    assert cluster.kubectl(*shell, check=False).code, "there is a shell"
    with Registrars(cluster, namespace, work) as registrars:
        registrars.follow(MODEL)
        cluster.kubectl("delete", "pod", MODEL, "-n", namespace)
        wait_until("no row", 60, lambda: not proxy.rows(MODEL))
        said = registrars.whole_log(MODEL)
    assert " GONE " in said
    assert "# code object from '/opt/pycache/" in said
    assert COMPILED_WHILE_RUNNING.findall(said) == []


def nothing(namespace: str) -> JSON:
    """Give a ConfigMap with a file that is no program."""
    metadata = {"name": "nothing", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"shell": ""}}


def without_shell(namespace: str) -> JSON:
    """Give an injected pod whose registrar finds no shell, and says what it imports from where."""
    bare = pod(namespace, MODEL, container(alias=MODEL), OPENAI, propagation="1")
    bare["spec"]["volumes"] = [{"name": "nothing", "configMap": {"name": "nothing"}}]
    injection = Injection(cluster="images", image="litellm-registrar/sidecar:test", litellm_secret=SECRET)
    made: JSON = apply(bare, inject(bare, injection, "nonce", namespace).ops)
    (registrar,) = (one for one in made["spec"]["initContainers"] if one["name"] == CONTAINER_NAME)
    registrar["env"].append(VERBOSE)
    # of Debian, on which the base stands: sh is a link to dash
    shells = (
        {"mountPath": f"/usr/bin/{shell}", "subPath": "shell", "name": "nothing"}
        for shell in ("dash", "bash")
    )
    registrar["volumeMounts"] = [*registrar.get("volumeMounts", ()), *shells]
    return made


def test_webhook_and_broker_compile_nothing(
    cluster: Cluster, namespace: str, proxy: LiteLLM, litellm_url: str
) -> None:
    """From their start to an answer every module that they import was compiled when the image was made."""
    make_key(cluster, proxy.key, namespace)
    verbose: JSON = {part: {"extraEnv": [VERBOSE], "replicas": 1} for part in ("webhook", "broker")}
    verbose["admission"] = {"enabled": False}  # other tests' pods are none of its business
    helm = Helm(cluster, 4)
    helm.install(broker_values(litellm_url), verbose, release=NAMESPACE, namespace=NAMESPACE)
    address = cluster.get("service", f"{NAMESPACE}-litellm-registrar-webhook", NAMESPACE)["spec"]["clusterIP"]
    body = review(pod(NAMESPACE, "labelled", container(), OPENAI))
    for path in ("mutate", "validate"):
        url = f"https://{address}/{path}"
        (answer,) = wait_until("answer of the Service", 60, lambda url=url: answered(url, body))  # type: ignore[misc]
        assert answer.json()["response"]["allowed"], answer.text
    for part in ("webhook", "broker"):
        said = cluster.kubectl(
            "logs", "-n", NAMESPACE, "-l", f"app.kubernetes.io/component={part}", "--tail=-1"
        ).out
        assert "# code object from '/opt/pycache/" in said
        assert COMPILED_WHILE_RUNNING.findall(said) == []
    helm.uninstall(release=NAMESPACE, namespace=NAMESPACE)


def answered(url: str, body: JSON) -> list[httpx.Response]:
    """Ask a Service; nothing is given while it leads nowhere, as for a moment after its first endpoint."""
    try:
        return [httpx.post(url, json=body, verify=False, trust_env=False, timeout=30)]  # noqa: S501 - whose it is tell others
    except httpx.TransportError:
        return []
