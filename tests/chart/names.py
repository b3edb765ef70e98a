"""Which metrics, labels and values there are: read from the code's own registries, and a short list of others'."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from sidecar.observe.metrics import Metrics

FOREIGN: Final = frozenset(
    {
        "up",
        "ALERTS",
        "kube_pod_container_info",
        "kube_pod_init_container_info",
        "kube_pod_status_phase",
        "kube_pod_deletion_timestamp",
        "mock_activation_seats_used",
    }
)
"""What others export: Prometheus itself, kube-state-metrics, and the mock (whose own tests look at its names)."""
TARGET_LABELS: Final = frozenset({"namespace", "job", "pod", "instance", "le"})
_NAME: Final = re.compile(r"\b(up|ALERTS|(?:mdlicense|mock_activation|kube)_[a-z0-9_]+)\b(\{[^}]*\})?")
_MATCHER: Final = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')


def ours() -> dict[str, dict[str, set[str]]]:
    """Return every series' name of the sidecar, with either ledger, and for each its labels with all their values."""
    found: dict[str, dict[str, set[str]]] = {}
    for kubernetes in (False, True):
        text = Metrics("1.2.3", kubernetes=kubernetes).render().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = found.setdefault(sample.name, defaultdict(set))
                for label, value in sample.labels.items():
                    labels[label].add(value)
    return found


def selectors(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each metric that a text asks for or mentions, with the values that it names for labels.

    What a pattern such as ``a|b`` allows is named; a variable of the dashboard, a bare ``.+`` or ``%q`` names nothing.
    """
    for name, matchers in _NAME.findall(text):
        named = {label: value for label, _operator, value in _MATCHER.findall(matchers)}
        yield name, {label: value for label, value in named.items() if not re.search(r"[$%]|^\.[+*]$", value)}


def faults(text: str) -> list[str]:
    """Return what a rule, a panel or a page names that is not exported by anybody."""
    known, found = ours(), []
    for name, named in selectors(text):
        if name in FOREIGN:
            continue
        if name not in known:
            found.append(f"there is no metric {name}")
            continue
        for label, values in named.items():
            if label in TARGET_LABELS:
                continue
            unknown = set(values.split("|")) - known[name].get(label, set())
            found += [f'{name} is never {label}="{value}"' for value in sorted(unknown)]
    return found
