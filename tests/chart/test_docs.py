"""What the docs tell people to put into values renders: blocks that begin with `# values`, the rows of the README.

Whoever copies an example gets what stands beside it and not an error.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.chart.conftest import obtain
from tests.chart.helm import CHART, VERSIONS, Helm
from tests.chart.manifests import Manifest, events
from tests.unit.docs.pages import ROOT, blocks, pages, text

BASE: Final = """
acceptEula: true
license: {existingSecret: icap-license, seats: 10}
database: {host: postgres.example.com, existingSecret: icap-database}
"""
"""What a block that shows one thing only is put upon."""


def examples() -> list[Any]:
    """Return the blocks of values of all pages."""
    return [
        pytest.param(block.code, id=f"{page.relative_to(ROOT)}-{number}")
        for page in pages()
        for number, block in enumerate(blocks(page))
        if block.kind == "yaml" and block.code.startswith("# values")
    ]


def rows() -> list[Any]:
    """Return the values of each row of the README's table, by what they bring."""
    table = text(ROOT / "README.md").split("## In Kubernetes")[1].split("## Without Kubernetes")[0]
    found = re.findall(r"^\| ([^|`]+) \| (`.+) \|$", table, re.MULTILINE)
    return [pytest.param(re.findall(r"`(\w+: \{.+?\})`", cell), id=what) for what, cell in found]


def laid_over(below: Any, above: Any) -> Any:
    """Return values as Helm lays one file over another."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return below | {name: laid_over(below.get(name), value) for name, value in above.items()}


@pytest.mark.parametrize("block", examples())
def test_a_block_of_values_renders(helm3: Helm, block: str) -> None:
    """A block is all that is needed or, where it shows one thing only, goes with the values of the first page."""
    values = yaml.safe_load(block)
    if not ("acceptEula" in values or "mockActivation" in values):
        values = laid_over(yaml.safe_load(BASE), values)
    upgrade = ("--is-upgrade",) if "upgrade" in block.partition("\n")[0] else ()
    rendered = Manifest(helm3.template(values=yaml.safe_dump(values), more=upgrade))
    assert rendered.of("Deployment")


@pytest.mark.parametrize("pieces", rows())
def test_a_row_of_the_readme_renders(helm3: Helm, pieces: list[str]) -> None:
    """Each row goes with the values above it; where it says so, with a flag as well."""
    values = yaml.safe_load(next(it.code for it in blocks(ROOT / "README.md") if it.code.startswith("# values.yaml")))
    assert pieces
    for piece in pieces:
        values = laid_over(values, yaml.safe_load(piece))
    if not values["license"].get("existingSecret") and "key" not in values["license"]:
        values["license"]["key"] = "FAKE-DOCS-ONLY-NOT0-REAL-0001-README"
    assert Manifest(helm3.template(values=yaml.safe_dump(values))).of("Deployment")


TEXTS: Final = (
    *pages(),
    *sorted((CHART / "templates").iterdir()),
    CHART / "values.yaml",
    *(ROOT / "examples").iterdir(),
)
"""What people read: pages, what Helm tells after an installation, the comments of values."""


@pytest.mark.parametrize("page", [it for it in TEXTS if "kubectl apply" in text(it)], ids=lambda it: it.name)
def test_nobody_is_told_to_apply_hooks(page: Path) -> None:
    """`helm template` prints hooks too: applied, the drain scales the workload to 0 and the key stays in a Secret."""
    flat = re.sub(r"\\?\n\s*", " ", text(page))
    piped = re.findall(r"helm template[^`|]*\|\s*kubectl", flat)
    assert [it for it in piped if "--no-hooks" not in it] == []


def test_somebody_is_told_to_leave_hooks_out() -> None:
    """The test above has something to look at, and whoever uses Kustomize finds the word for it."""
    said = text(ROOT / "docs" / "kubernetes.md")
    assert re.search(r"helm template [^|\n]*--no-hooks \| kubectl apply", said)
    assert "skipHooks: true" in said


@pytest.mark.parametrize("major", VERSIONS)
def test_no_hooks_means_none(major: int) -> None:
    """With the flag nothing is left that would be run or that holds a key."""
    manifest = Manifest(obtain(major).template(CHART / "ci" / "new-secrets-values.yaml", more=("--no-hooks",)))
    assert manifest.of("Job", "Secret") == []
    assert [it for it in manifest.objects if events(it)] == []


def test_there_are_examples() -> None:
    """The tests above do not pass because they found nothing."""
    assert len(examples()) > 5
    wanted = {"a Secret of your own", "a new Secret", "TLS", "an HPA of 10 on 10 seats", "Prometheus"}
    assert {it.id for it in rows()} >= wanted
