"""What the code refers to can be looked up: every page that is not here, every numbered rule and section."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.unit.docs.pages import ROOT, text

PAGE: Final = ROOT / "docs" / "agreement.md"
_ABSENT: Final = re.compile(
    r"(?<![\w/.-])(design|protocol|observability|chart|kubernetes|style|testing)\.md\b", re.IGNORECASE
)
_RULES: Final = re.compile(r"\brules? (\d+(?:(?:, | and )\d+)*)", re.IGNORECASE)
_SECTIONS: Final = re.compile(r"\bdesign\.md\b[^.)\n]{0,20}?sections? (\d+(?:(?:, | and )\d+)*)", re.IGNORECASE)


def sources() -> Iterator[str]:
    """Yield the text of each module and template of ours."""
    for folder in ("sidecar", "mock_activation", "tests", "charts/icap", "docs"):
        for file in sorted(Path(ROOT, folder).rglob("*")):
            if file.suffix in {".py", ".tpl", ".yaml"} and file.name != Path(__file__).name:
                yield file.read_text(encoding="utf-8")


def numbers(form: re.Pattern[str]) -> set[int]:
    """Return the numbers that are referred to in this form."""
    return {
        int(number) for source in sources() for found in form.findall(source) for number in re.findall(r"\d+", found)
    }


def rows(title: str) -> dict[str, list[str]]:
    """Return the rows of the table below a heading, by their first cell."""
    table = text(PAGE).split(f"## {title}\n")[1].split("\n## ")[0]
    cells = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")][2:]
    return {first.strip(): [cell.strip() for cell in rest] for first, *rest in cells}


def test_every_page_that_is_not_here_is_explained() -> None:
    """Whoever meets its name finds out what it is."""
    told = set(re.findall(r"^\| `(\w+)\.md`", text(PAGE), re.MULTILINE))
    assert {name.lower() for source in sources() for name in _ABSENT.findall(source)} <= told


def test_every_rule_can_be_looked_up() -> None:
    """A line each, and none that is missing; style.md's only rule that is named is told beside it."""
    told = {int(number) for number in rows("The numbered rules")}
    assert told == set(range(1, 20))
    assert numbers(_RULES) <= told


def test_every_section_can_be_looked_up() -> None:
    """Those of design.md, the one page that has many."""
    told = {int(it) for first in rows("Sections of design.md") for it in first.split(", ")}
    assert numbers(_SECTIONS) <= told
    assert len(numbers(_SECTIONS)) > 5


def test_what_decides_a_rule_is_there() -> None:
    """The modules and the tests that the table names."""
    for number, cells in rows("The numbered rules").items():
        where, _, tests = cells[-1].partition("; test ")
        modules = re.findall(r"`([\w/.]+)`", where)
        assert modules, number
        assert all((ROOT / "sidecar" / module).exists() for module in modules), where
        if tests:
            assert int(tests) == int(number)
            assert list((ROOT / "tests" / "unit" / "core").glob(f"test_rule_{tests}_*.py")), number
