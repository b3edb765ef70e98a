"""What the docs tell people to put into values renders: blocks that begin with `# values`, the rows of the README.

Whoever copies an example gets what stands beside it and not an error.
"""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
import yaml

from tests.chart.helm import Helm
from tests.chart.manifests import Manifest
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


def test_there_are_examples() -> None:
    """The tests above do not pass because they found nothing."""
    assert len(examples()) > 5
    wanted = {"a Secret of your own", "a new Secret", "TLS", "an HPA of 10 on 10 seats", "Prometheus"}
    assert {it.id for it in rows()} >= wanted
