"""The overlay for the vendor's unmodified chart puts there the sidecar that our chart renders, with the same rights."""

from __future__ import annotations

from typing import Any, Final

import pytest

from sidecar.config import SETTINGS
from tests.chart import pod_security
from tests.chart.helm import ROOT
from tests.chart.manifests import environment, load
from tests.chart.test_render_sidecar import DOCUMENTED
from tests.chart.test_render_vendor_pains import good

OVERLAY: Final = load((ROOT / "examples" / "vendor-overlay.yaml").read_text(encoding="utf-8"))[0]
COMPONENT: Final[dict[str, Any]] = OVERLAY["COMPONENT"]
SIDECAR: Final[dict[str, Any]] = COMPONENT["initContainers"][0]


@pytest.fixture
def ours() -> dict[str, Any]:
    """Return the native sidecar of our chart."""
    return good("replicas: 1").app.container("license-sidecar")


@pytest.mark.parametrize(
    "field",
    [
        "args",
        "restartPolicy",
        "securityContext",
        "ports",
        "resources",
        "startupProbe",
        "readinessProbe",
        "livenessProbe",
    ],
)
def test_it_is_the_same_sidecar(ours: dict[str, Any], field: str) -> None:
    """What our chart knows of running it is there as well."""
    assert SIDECAR[field] == ours[field]


def test_its_mounts_have_volumes_and_no_others_are_there(ours: dict[str, Any]) -> None:
    """Token, key and API key are mounted where the sidecar looks for them; only the folder of restart-app is not."""
    volumes = [it["name"] for it in COMPONENT["customPodDefinitions"]["volumes"]]
    assert [it["name"] for it in SIDECAR["volumeMounts"]] == volumes
    assert [it for it in ours["volumeMounts"] if it["name"] != "license-shared"] == SIDECAR["volumeMounts"]
    theirs = {it["name"]: it for it in good("replicas: 1").app.spec["volumes"]}
    assert [theirs[it["name"]] for it in COMPONENT["customPodDefinitions"]["volumes"]] == COMPONENT[
        "customPodDefinitions"
    ]["volumes"]


def test_its_variables_are_settings(ours: dict[str, Any]) -> None:
    """Every variable is one that the sidecar knows."""
    known = {it.environment for it in SETTINGS.values()} | {"POD_NAME", "POD_UID", "POD_NAMESPACE", "NODE_NAME"}
    assert set(environment(SIDECAR)) - known == set()
    assert environment(SIDECAR)["LICENSE_SIDECAR_REFUSED_RESTART_APP_AFTER"] == "0"
    for name in ("POD_NAME", "POD_UID", "POD_NAMESPACE", "NODE_NAME"):
        assert environment(SIDECAR)[name] == environment(ours)[name]


def test_the_app_leaves_licensing_to_it() -> None:
    """No key and no clean-up in the app, no probe that asks for the licence, no token in its container."""
    variables = environment(COMPONENT)
    assert "LICENSE_KEY" not in variables
    assert variables["LICENSING_CLEANUP"] == "false"
    assert COMPONENT["livenessProbe"] is None
    assert COMPONENT["customPodDefinitions"]["automountServiceAccountToken"] is False


def test_its_rights_are_the_documented_ones() -> None:
    """The Role that it carries is that of the docs."""
    role = next(it for it in OVERLAY["extra_storage_configs"] if it["kind"] == "Role")
    assert role["rules"] == DOCUMENTED["license-sidecar"] + DOCUMENTED["license-sidecar-ledger"]


def test_it_is_restricted() -> None:
    """The sidecar satisfies the restricted level there too."""
    assert [*pod_security.container(SIDECAR, {}), *pod_security.stricter(SIDECAR, {})] == []


def test_what_is_to_be_filled_in_is_named() -> None:
    """Every placeholder of the file is explained at its head, and none is forgotten."""
    text = (ROOT / "examples" / "vendor-overlay.yaml").read_text(encoding="utf-8")
    head, _, body = text.partition("\nCOMPONENT:\n")
    for placeholder in ("REGISTRY", "SERVICE_ACCOUNT", "SEATS"):
        assert f"#   {placeholder} " in head
        assert placeholder in body
