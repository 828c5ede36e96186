"""What the Dockerfiles say of themselves."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["sidecar", "webhook"])
def test_an_image_says_the_projects_version_and_licence(name: str) -> None:
    """Its labels are those of the project that it is built from."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pairs = re.findall(
        r'org\.opencontainers\.image\.(\w+)="(.*?)"', (ROOT / f"Dockerfile.{name}").read_text()
    )
    labels = dict(pairs)
    assert (labels["version"], labels["licenses"]) == (project["version"], project["license"])
