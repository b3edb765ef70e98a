"""Prometheus' own promtool: what the tests ask it, and what happens where it is absent.

It needs no cluster and no Helm, so these tests run wherever Debian's package ``prometheus`` is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
ALERTS: Final = ROOT / "charts" / "icap" / "files" / "alerts.yaml"
DASHBOARD: Final = ROOT / "charts" / "icap" / "files" / "dashboard.json"
RUNBOOK: Final = ROOT / "docs" / "runbook.md"
INSTALL: Final = "apt-get install prometheus"
JOB: Final = "license-sidecar"
NAMESPACE: Final = "icap"

Sample = tuple[float | str, int]
"""A value, and for how many minutes; the value may be promtool's own ``a+b`` (growing), ``_`` (none), ``stale``."""
Series = dict[str, str]
"""promtool's input: a series' name with labels, and its values, one a minute."""


def promtool() -> str:
    """Return the program; without it skip with the command that brings it, in CI fail."""
    found = shutil.which("promtool")
    if found is None:
        message = f"there is no promtool: {INSTALL}"
        pytest.fail(message, pytrace=False) if os.environ.get("CI") else pytest.skip(message)
    return str(found)


def run(*arguments: str, folder: Path | None = None) -> str:
    """Run promtool and return what it says; fail with it if it is not content."""
    done = subprocess.run([promtool(), *arguments], capture_output=True, text=True, check=False, cwd=folder)
    said = done.stdout + done.stderr
    if done.returncode:
        pytest.fail(f"promtool {arguments[0]} {arguments[1]}: {said}", pytrace=False)
    return said


def rules() -> dict[str, dict[str, Any]]:
    """Return the alerts of the chart's file by name, in its order."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def metric_names(text: str) -> set[str]:
    """Return the names of metrics of ours, and of those of others that a rule or panel may ask for."""
    return set(re.findall(r"\b(?:mdlicense|mock_activation|kube|process|python)_[a-z0-9_]+\b", text))


def timeline(*samples: Sample) -> str:
    """Return a series of values at one a minute, in promtool's notation."""
    words: list[str] = []
    for value, minutes in samples:
        if value == "stale":
            words += ["stale"] * minutes
        elif value == "_" or isinstance(value, (int, float)) or "+" not in value:
            words += [str(value)] * minutes
        else:
            start, step = value.split("+")
            words += [str(float(start) + float(step) * minute) for minute in range(minutes)]
    return " ".join(words)


def pod(name: str, metrics: dict[str, tuple[Sample, ...]], job: str = JOB) -> Series:
    """Return the series of one pod's sidecar; keys are like ``state{state="refused"}``, without the prefix."""
    made: Series = {}
    for metric, samples in metrics.items():
        base, _, labels = metric.partition("{")
        more = f",{labels.rstrip('}')}" if labels else ""
        prefix = "" if base == "up" or base.startswith("kube_") else "mdlicense_"
        target = f'namespace="{NAMESPACE}",job="{job}",pod="{name}",instance="{name}:9480"'
        made[f"{prefix}{base}{{{target}{more}}}"] = timeline(*samples)
    return made


@dataclass(frozen=True, slots=True)
class Case:
    """What happens, and at which minutes an alert is seen firing and at which not.

    ``fires`` maps a minute to the labels (besides namespace, job, severity) of all firing instances of the alert.
    ``says`` is the description that whoever is called reads at the first of those minutes.
    """

    name: str
    alert: str
    series: Series
    quiet: tuple[int, ...] = ()
    fires: dict[int, tuple[dict[str, str], ...]] = field(default_factory=dict)
    says: str = ""
    namespace: bool = True
    every: int = 1
    """Minutes between two evaluations."""

    def test_file(self, rule: dict[str, Any], rule_file: str) -> dict[str, Any]:
        """Return promtool's test of this case."""
        common = {"job": JOB} | ({"namespace": NAMESPACE} if self.namespace else {})
        looks = []
        for minute in sorted({*self.quiet, *self.fires}):
            expected = [
                {"labels": _series("ALERTS", common | rule["labels"] | more | self._identity()), "value": 1}
                for more in self.fires.get(minute, ())
            ]
            query = f'ALERTS{{alertname="{self.alert}",alertstate="firing"}}'
            looks.append({"expr": query, "eval_time": f"{minute}m", "exp_samples": expected})
        group: dict[str, Any] = {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in self.series.items()],
            "promql_expr_test": looks,
        }
        if self.says:
            minute = min(self.fires)
            annotations = {name: " ".join(text.split()) for name, text in rule["annotations"].items()}
            annotations["description"] = self.says
            alerts = [
                {"exp_labels": common | rule["labels"] | more, "exp_annotations": annotations}
                for more in self.fires[minute]
            ]
            group["alert_rule_test"] = [
                {"eval_time": f"{minute}m", "alertname": self.alert, "exp_alerts": alerts},
            ]
        return {"rule_files": [rule_file], "evaluation_interval": f"{self.every}m", "tests": [group]}

    def _identity(self) -> dict[str, str]:
        return {"alertname": self.alert, "alertstate": "firing"}


def _series(name: str, labels: dict[str, str]) -> str:
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in sorted(labels.items())) + "}"
