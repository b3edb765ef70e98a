"""Writes the table of alerts into ``docs/runbook.md`` from the file that Prometheus reads.

The entries below the table are written by people; a test holds that there is one for each alert and that the table is
not stale.

Run ``python docs/make_alert_table.py``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

PAGE: Final = Path(__file__).parent / "runbook.md"
ALERTS: Final = Path(__file__).parents[1] / "charts" / "icap" / "files" / "alerts.yaml"
_PLACE: Final = re.compile(r"(<!-- alerts: [^\n]* -->\n).*?(<!-- /alerts -->)", re.DOTALL)


def table(rules: list[dict[str, Any]]) -> str:
    """Return the rows, critical ones first, otherwise in the order of the file."""
    rows = ["| alert | severity | what it says |", "|---|---|---|"]
    for rule in sorted(rules, key=lambda rule: rule["labels"]["severity"] != "critical"):
        name, severity, says = rule["alert"], rule["labels"]["severity"], rule["annotations"]["summary"].rstrip(".")
        rows.append(f"| [{name}](#{name.lower()}) | {severity} | {says} |")
    return "".join(f"{row}\n" for row in rows)


def page() -> str:
    """Return the runbook as it should be."""
    rules = [rule for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
    made, places = _PLACE.subn(rf"\g<1>{table(rules)}\g<2>", PAGE.read_text(encoding="utf-8"))
    if places != 1:
        raise SystemExit(f"{PAGE.name} must have the two comments between which the table of alerts stands, once")
    return made


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
