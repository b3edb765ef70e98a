"""The guide from the vendor's chart names only values that are there, and forgets no variable of the product."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from tests.unit.docs.pages import ROOT, text

CHART: Final = ROOT / "charts" / "icap"
PAGE: Final = text(ROOT / "docs" / "migration.md")


def rows() -> list[tuple[str, str, str]]:
    """Return what stands in the vendor's release, the value here, and the note, of each row of the table."""
    table = PAGE.split("## Which value goes where")[1].split("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return [(it[0], it[1], it[2].strip("| ") if len(it) > 2 else "") for it in cells[1:]]


def code(cell: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def exists(path: str) -> bool:
    """Tell whether `values.yaml` has a value of this path."""
    at: Any = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    for part in path.split("."):
        if not isinstance(at, dict) or part not in at:
            return False
        at = at[part]
    return True


def test_every_value_of_the_table_is_a_value_of_the_chart() -> None:
    """Each path in the second column stands in the chart's values, and so does each that a note names."""
    named = [path for _, here, _ in rows() for path in code(here)]
    noted = [path for _, _, note in rows() for path in code(note) if re.fullmatch(r"[a-z]\w*(\.\w+)+", path)]
    assert len(named) > 60
    assert noted
    assert [path for path in named + noted if not exists(path)] == []


def test_every_row_has_a_value_or_says_why_there_is_none() -> None:
    """A reader is never left with an empty cell on both sides."""
    assert [vendor for vendor, here, note in rows() if not code(here) and not (here == "-" and note)] == []


def test_every_variable_of_the_product_is_told() -> None:
    """What the chart sets in the app's environment, and refuses in extraEnv, stands in the first column."""
    lists = re.findall(r"\$(?:own|licensing) := list ((?:\"\w+\" ?)+)", text(CHART / "templates" / "_validate.tpl"))
    variables = re.findall(r"\"(\w+)\"", " ".join(lists))
    told = {name for vendor, _, _ in rows() for name in code(vendor)}
    assert len(variables) > 30
    assert [name for name in variables if name not in told] == []


def test_no_value_is_promised_that_would_make_the_app_license_itself() -> None:
    """The licence variables have no value that passes them on."""
    assert [here for vendor, here, _ in rows() if "LICENSE_KEY" in code(vendor)] == ["-"]
