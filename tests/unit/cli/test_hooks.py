"""The commands of the chart's hooks as far as no API server is needed: usage, wrong settings, wrong plans."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from sidecar.cli import drain, main

WORKLOAD = ["drain", "--workload", "deployment/md-icapsrv"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> object:
    """Return what runs a command outside of any pod and returns exit code and both outputs."""
    for name in ("KUBERNETES_SERVICE_HOST", "POD_NAME", "POD_UID", "POD_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)

    def called(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main([*arguments, "--ledger-account-dir", str(tmp_path / "account")])
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return called


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ([], "drain works on a workload in Kubernetes, and ledger.kind is file"),
        (["--ledger-kind", "kubernetes"], "needs pod.name, pod.uid, pod.namespace"),
        (["--lease-renew", "often", "--http-port", "-1"], "the settings have 2 faults"),
        (["--mode", "observe"], "there are no seat records in this mode"),
        (
            ["--ledger-kind", "kubernetes", "--pod-name", "a", "--pod-uid", "b", "--pod-namespace", "c"],
            "pod.release: give --release",
        ),
        (
            [
                "--ledger-kind",
                "kubernetes",
                "--pod-name",
                "a",
                "--pod-uid",
                "b",
                "--pod-namespace",
                "c",
                "--release",
                "r",
            ],
            "KUBERNETES_SERVICE_HOST",
        ),
    ],
)
def test_an_uninstall_never_hangs_on_the_settings_of_a_drain(settings: list[str], told: str, run: object) -> None:
    """Every fault is told, and the exit code is 0."""
    assert callable(run)
    code, out, err = run(*WORKLOAD, *settings)
    assert (code, out) == (0, "")
    assert told in err
    assert "must not hold up the uninstall, so the exit code is 0" in err


def test_a_bug_is_told_and_does_not_hold_up_the_uninstall(capsys: pytest.CaptureFixture[str]) -> None:
    """With its traceback, for whoever is to mend it."""
    assert drain.run(Namespace(nobody="parsed these")) == 0
    told = capsys.readouterr().err
    assert "this is a bug, please report it" in told
    assert "AttributeError" in told


@pytest.mark.parametrize("workload", ["md-icapsrv", "deployment/", "/x", "pod/x", "deployment/x/y"])
def test_what_is_no_workload_is_wrong_usage(workload: str, run: object) -> None:
    """A mistake of whoever writes the chart, not of whoever uninstalls."""
    assert callable(run)
    code, _, err = run("drain", "--workload", workload)
    assert code == 64
    assert "write deployment/NAME or statefulset/NAME" in err


def test_init_secrets_says_what_keeps_it_from_the_api_server(run: object, tmp_path: Path) -> None:
    """78: a wrong plan, an unknown namespace, no service account; the seats' settings do not matter."""
    assert callable(run)
    plan = tmp_path / "plan.yaml"
    code, _, err = run("init-secrets", "--plan", str(plan))
    assert (code, "No such file" in err) == (78, True)
    plan.write_text("{release: r, secrets: [{name: a, kind: opaque}]}")
    code, _, err = run("init-secrets", "--plan", str(plan))
    assert code == 78
    assert "the namespace is not known: give --namespace" in err
    code, _, err = run("init-secrets", "--plan", str(plan), "--namespace", "icap", "--ledger-kind", "kubernetes")
    assert code == 78
    assert "KUBERNETES_SERVICE_HOST" in err
    assert run("init-secrets")[0] == 64
