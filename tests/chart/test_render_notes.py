"""What Helm tells after an installation."""

from __future__ import annotations

import pytest

from tests.chart.conftest import obtain
from tests.chart.helm import CHART


def notes(values: str, *more: str) -> str:
    """Return what Helm tells after an installation (Helm 4 can without a cluster)."""
    words = ["install", "rel", str(CHART), "--namespace", "ns", "--dry-run=client", *more]
    file = CHART / "ci" / f"{values}-values.yaml"
    return obtain(4).run(*words, "--values", str(file)).split("NOTES:")[1]


def test_the_notes_say_what_to_do_next() -> None:
    """What was installed, how to wait for it, how to see the seats, what stays."""
    said = notes("existing-secrets")
    assert "3 pods of md-icapsrv in ns" in said
    assert "exec deployment/md-icapsrv -c license-sidecar -- license-sidecar list" in said
    assert "helm test rel --namespace ns" in said
    assert "Note:" not in said
    assert "These Secrets stay" not in said


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("stand-in", "NOTHING HERE IS LICENSED, AND A STAND-IN RUNS IN PLACE OF ICAP SERVER: NOTHING IS SCANNED"),
        ("mock-activation", "MOCK ACTIVATION IS ON. NOTHING HERE IS LICENSED. For trials"),
        ("new-secrets", "license.seats is not set"),
        ("new-secrets", "The embedded database is for trying out"),
        (
            "new-secrets",
            "with --no-hooks it is left out; use existingSecret there. Never apply `helm template` without",
        ),
        ("new-secrets", "mdicapsrv-api-key mdicapsrv-cred mdicapsrv-license-key mdicapsrv-postgres-cred"),
        ("external-scaler", "replicas is null"),
        ("route-app", "the app container holds the key"),
        ("route-app", "hooks.drain is off"),
        ("on-premises", "your on-premises licence server hands out the licences"),
        ("off", "Mode off: nobody takes care of seats"),
        ("plain-container", "the sidecar as a plain container"),
        ("autoscaling", "2 to 10 pods"),
        ("platform-user", "Mode observe"),
    ],
)
def test_the_notes_warn_about_what_is_risky(values: str, words: str) -> None:
    """Each risk that was chosen is told once more."""
    assert words in notes(values)


def test_a_drain_that_outlasts_helm_is_told() -> None:
    """Helm gives up after five minutes unless told otherwise."""
    said = notes("new-secrets", "--set", "hooks.drain.timeoutSeconds=600")
    assert "uninstall with --timeout 660s" in said
    assert "uninstall with --timeout" not in notes("new-secrets")
