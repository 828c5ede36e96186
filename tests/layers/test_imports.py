"""The directions of import, read from the source: what import-linter holds, held without it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STANDARD = sys.stdlib_module_names

# The core: no I/O, no clock, no environment, no logging.
CORE = (
    "access annotations candidates certificate_settings config container defaults detect documents "
    "extract handlers held_rules inject judging key keys_pod keys_rows kinds kserve_pods kubelets layer "
    "litellm_keys made mesh near patch pod_containers pods ports quantity readiness reasons "
    "registered review row_objects serving_settings values wishes workload"
)
REGISTRARS_CORE = (
    "broker_contract contract description health naming patience patterns reasons registration "
    "row_contract rows siblings state_reports "
    "steadiness telling"
)
# The parts of webhook/broker and webhook/tls that are of the core.
BROKERS_CORE = (
    "answers asking callers limits name_rules names names_document own_rows pod_facts rates row_index "
    "row_rules rules shapes state_changes"
)
TLS_CORE = "publication rotation secret"
LIVINGS_CORE = "figures pods servers"
REAPERS_CORE = "core registrars seen shapes share"
# What both packages share.
LEAVES = ("sidecar.contract", "sidecar.patterns", "sidecar.row_contract", "sidecar.broker_contract")
PURE = (
    *sorted((ROOT / "webhook" / "sources").glob("*.py")),
    *sorted((ROOT / "webhook" / "policy").glob("*.py")),
    *(ROOT / "webhook" / f"{name}.py" for name in CORE.split()),
    *(ROOT / "webhook" / "check" / f"{name}.py" for name in ("cluster", "manifests", "report", "verdicts")),
    *(ROOT / "webhook" / "broker" / f"{name}.py" for name in BROKERS_CORE.split()),
    *(ROOT / "webhook" / "living" / f"{name}.py" for name in LIVINGS_CORE.split()),
    *(ROOT / "webhook" / "reaper" / f"{name}.py" for name in REAPERS_CORE.split()),
    *(ROOT / "webhook" / "tls" / f"{name}.py" for name in TLS_CORE.split()),
    ROOT / "webhook" / "installation" / "remains.py",
    *(ROOT / "webhook" / "listing" / f"{name}.py" for name in ("found", "join", "report", "shapes")),
    *(ROOT / "sidecar" / f"{name}.py" for name in REGISTRARS_CORE.split()),
)
IMPURE = {
    *("asyncio", "datetime", "logging", "os", "random", "secrets"),
    *("socket", "ssl", "subprocess", "sys", "time"),
}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, by its full name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files(package: str) -> list[Path]:
    """All modules of a package."""
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", files("sidecar"), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_registrar_imports_itself_httpx_and_the_standard_library(path: Path) -> None:
    """One registrar per pod: nothing heavier than httpx and its h11 gets in; one module counts."""
    roots = {name.split(".")[0] for name in imports(path)}
    counts = {"prometheus_client"} if path.name == "metrics.py" else set()
    assert roots <= STANDARD | {"sidecar", "httpx", "h11"} | counts


@pytest.mark.parametrize("path", files("webhook"), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_webhook_imports_of_the_registrar_only_the_contract_and_its_leaf(path: Path) -> None:
    """The contract, and how it holds patterns to a form, are all that both packages share."""
    shared = {name for name in imports(path) if name.split(".")[0] == "sidecar"}
    assert all(name.startswith(LEAVES) for name in shared), shared


@pytest.mark.parametrize("path", PURE, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_core_is_pure(path: Path) -> None:
    """Detection, injection, patches and the model's row are functions over plain data."""
    roots = {name.split(".")[0] for name in imports(path)}
    assert not roots & IMPURE
    reads_yaml = {"yaml"} if path.name in {"documents.py", "manifests.py"} else set()
    assert roots <= STANDARD | {"webhook", "sidecar"} | reads_yaml


@pytest.mark.parametrize(
    ("name", "leaf"),
    [
        ("contract", {"sidecar.patterns"}),
        ("patterns", set()),
        ("row_contract", set()),
        ("broker_contract", set()),
    ],
)
def test_the_contract_imports_only_the_standard_library_and_its_leaf(name: str, leaf: set[str]) -> None:
    """The contract can be read by anything."""
    others = {
        found for found in imports(ROOT / "sidecar" / f"{name}.py") if found.split(".")[0] not in STANDARD
    }
    assert others == leaf


def test_the_registrar_runs_without_the_webhook_and_its_libraries() -> None:
    """Importing the registrar pulls in none of the webhook's libraries."""
    code = (
        "import sys; sys.modules['webhook'] = None\n"
        "import sidecar.__main__\n"
        "found = {'aiohttp', 'kubernetes', 'cryptography', 'yaml'} & set(sys.modules)\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)
