"""A null of the user's takes a default away: Helm then asks the schema, and renders, without the key.

So the schema demands every key that the templates rely on, and says which is missing; a template would end in `nil
pointer evaluating` or, worse, render something broken.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import yaml

from docs.make_chart_docs import Value, read
from tests.chart.conftest import obtain
from tests.chart.helm import CHART, VERSIONS, Failed
from tests.chart.manifests import Manifest

GOOD: Final = CHART / "ci" / "existing-secrets-values.yaml"
SCHEMA: Final = jsonschema.Draft7Validator(json.loads((CHART / "values.schema.json").read_text(encoding="utf-8")))
MAY_BE_NULL: Final = (
    "license.seats",
    "sidecar.runAsUser",
    "replicas",
    "terminationGracePeriodSeconds",
    "database.embedded.runAsUser",
)
"""The values whose comments give null a meaning: an agreement, so it is written down twice."""
FREE: Final = (
    "app.resources.requests",
    "app.resources.limits",
    "sidecar.resources.limits",
    "strategy.type",
    "strategy.rollingUpdate",
    "strategy.rollingUpdate.maxSurge",
    "monitoring.dashboard.labels.grafana_dashboard",
)
"""Defaults within values that are maps of the user's own: whoever takes them away gets what Kubernetes makes of it."""
ASKED_OF_HELM: Final = (
    "app",
    "app.ports.rest",
    "app.startupSeconds",
    "commonLabels",
    "database.userKey",
    "ingress",
    "license.key",
    "monitoring.type",
    "proxy.https",
    "sidecar.port",
    "sidecar.resources",
    "sidecar.shutdownBudgetSeconds",
    "tls",
)
"""Those that ended in a template's error, or in a broken object, when somebody tried."""


def every(values: tuple[Value, ...]) -> Iterator[str]:
    """Yield the path of each value, those of whole sections among them."""
    for value in values:
        yield value.path
        yield from every(value.children or ())


PATHS: Final = tuple(every(read((CHART / "values.yaml").read_text(encoding="utf-8"))))


def without(path: str) -> dict[str, Any]:
    """Return the chart's defaults as Helm hands them to the schema when a user sets this one to null."""
    values: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    *sections, name = path.split(".")
    place = values
    for section in sections:
        place = place[section]
    del place[name]
    return values


@pytest.mark.parametrize("path", PATHS)
def test_a_null_is_told_by_the_name_of_its_key(path: str) -> None:
    """Every key at every level is required, but for those that give null a meaning."""
    faults = [(".".join(map(str, it.absolute_path)), it.message) for it in SCHEMA.iter_errors(without(path))]
    section, _, name = path.rpartition(".")
    assert faults == ([] if path in MAY_BE_NULL else [(section, f"'{name}' is a required property")])


def as_null(*paths: str) -> dict[str, Any]:
    """Return values of a user's who sets all these to null."""
    values: dict[str, Any] = {}
    for path in paths:
        *sections, name = path.split(".")
        place = values
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = None
    return values


@pytest.mark.parametrize("major", VERSIONS, ids=lambda it: f"helm-{it}")
def test_helm_tells_it_too(major: int) -> None:
    """One run tells all of them, and where each was."""
    with pytest.raises(Failed) as caught:
        obtain(major).template(GOOD, values=yaml.safe_dump(as_null(*ASKED_OF_HELM[1:])))
    said = str(caught.value)
    assert "nil pointer" not in said
    for path in ASKED_OF_HELM[1:]:
        assert f"'{path.rpartition('.')[2]}'" in said, path
    with pytest.raises(Failed, match="missing property 'app'"):
        obtain(major).template(GOOD, values="app: null")


@pytest.mark.parametrize("major", VERSIONS, ids=lambda it: f"helm-{it}")
@pytest.mark.parametrize("path", [*MAY_BE_NULL, *FREE])
def test_a_null_with_a_meaning_renders(path: str, major: int) -> None:
    """The values that may be null are no trap either."""
    values = as_null(path)
    if path.startswith("database."):
        values["database"]["embedded"]["enabled"] = True
        values["database"] |= {"host": "", "existingSecret": ""}
    if path.startswith("strategy."):
        values["license"] = {"seats": None}  # without maxSurge: 0 a pod more may be there
    if path.startswith("monitoring."):
        values["monitoring"]["dashboard"]["enabled"] = True
    assert Manifest(obtain(major).template(GOOD, values=yaml.safe_dump(values))).of("Deployment")


@pytest.mark.parametrize("major", VERSIONS, ids=lambda it: f"helm-{it}")
def test_a_parent_chart_s_values_are_whole_and_its_nulls_are_told(major: int, tmp_path: Path) -> None:
    """As a dependency the chart has all its defaults; what the parent takes away is named like what a user does."""
    parent = tmp_path / "parent"
    shutil.copytree(CHART, parent / "charts" / "md-icapsrv")
    dependency = {"name": "md-icapsrv", "version": "*", "condition": "md-icapsrv.enabled"}
    about = {"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [dependency]}
    (parent / "Chart.yaml").write_text(yaml.safe_dump(about))
    good = yaml.safe_load(GOOD.read_text(encoding="utf-8"))
    program = obtain(major)

    def rendered(ours: dict[str, Any], *more: str) -> str:
        values = {"global": {"imageRegistry": "registry.example.com", "theirs": 1}, "md-icapsrv": ours}
        (parent / "values.yaml").write_text(yaml.safe_dump(values))
        return program.run("template", "rel", str(parent), "--namespace", "ns", "--kube-version", "1.34.0", *more)

    assert "registry.example.com/opswat/" in rendered(good)
    assert Manifest(rendered(good | {"replicas": None})).of("Deployment")
    # In the parent's own values.yaml Helm 4 takes a null for nothing, Helm 3 takes the key away.
    with pytest.raises(Failed, match="at '/sidecar': missing property 'port'"):
        rendered(good, "--set", "md-icapsrv.sidecar.port=null")
