"""Schema and README of the chart are made from ``values.yaml``, and the README's values are values that work."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import yaml

from docs.make_chart_docs import Undocumented, pages, read, schema
from tests.chart.conftest import obtain
from tests.chart.helm import CHART, VERSIONS
from tests.chart.manifests import Manifest

README: Final = (CHART / "README.md").read_text(encoding="utf-8")
BLOCKS: Final = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


def test_what_is_made_is_not_stale() -> None:
    """`python docs/make_chart_docs.py` would change nothing."""
    made = pages()
    assert {it.name for it in made} == {"values.schema.json", "README.md"}
    assert [path.name for path, text in made.items() if path.read_text(encoding="utf-8") != text] == []


def leaves(values: Any, path: str = "") -> list[str]:
    """Return the paths of all values that are no maps of further ones."""
    if isinstance(values, dict) and values:
        return [it for key, value in values.items() for it in leaves(value, f"{path}{key}.")]
    return [path.rstrip(".")]


def test_every_value_is_in_the_readme() -> None:
    """Each default of values.yaml has its row, by itself or as part of a value that is a whole map."""
    rows = set(re.findall(r"^\| `([A-Za-z.]+)` \|", README, re.MULTILINE))
    assert len(rows) > 150
    values = leaves(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")))
    assert [it for it in values if not any(it == row or it.startswith(f"{row}.") for row in rows)] == []


def test_the_schema_is_closed_everywhere() -> None:
    """Every object names what may be in it, or says on purpose that anything may."""
    written = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(written)
    jsonschema.validate(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")), written)

    def objects(it: Any, path: str) -> list[tuple[str, Any]]:
        found = [(path, it)] if it.get("type") == "object" else []
        for name, child in it.get("properties", {}).items():
            found += objects(child, f"{path}.{name}")
        return found

    every = objects(written, "")
    assert len(every) > 40
    assert [path for path, it in every if "additionalProperties" not in it] == []
    assert [path for path, it in every if it["additionalProperties"] is True and "properties" in it] == [".global"]


@pytest.mark.parametrize("values", ["no_comment: 1", "# Told.\nnothing: null", "# Told.\nlist: []", "# Told.\nmap: {}"])
def test_a_value_that_does_not_say_what_it_is_is_refused(values: str) -> None:
    """No value without a comment, no type that is left to a guess."""
    with pytest.raises(Undocumented):
        schema(read(values))


@pytest.mark.parametrize("major", VERSIONS)
@pytest.mark.parametrize("block", BLOCKS, ids=lambda it: " ".join(it.split())[:40])
def test_the_readmes_values_work(block: str, major: int) -> None:
    """What a reader copies renders as it stands."""
    assert Manifest(obtain(major).template(values=block)).app.owner["metadata"]["name"] == "md-icapsrv"


def test_the_reader_finds_what_most_look_for() -> None:
    """Existing Secret, new Secret, TLS, HPA of 10 on 10 seats, Prometheus: within the first screens."""
    beginning = README.split("## What is installed")[0]
    wanted = ("With an existing Secret", "With a new Secret", "With TLS", "An HPA of 10 on 10 seats", "With Prometheus")
    assert [it for it in wanted if f"**{it}" not in beginning] == []
    assert len(BLOCKS) == len(wanted) + 1
    assert len(beginning.splitlines()) < 90


def test_links_of_the_readme_lead_somewhere() -> None:
    """Every relative link points to a file that is there."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README.replace("\n", " "))
    assert links
    assert [it for it in links if not (CHART / Path(it)).exists()] == []
