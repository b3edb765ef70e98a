"""The README says what the code does: its settings and its commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sidecar.cli import COMMANDS
from sidecar.config import SETTINGS
from tests.unit.docs.pages import blocks

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def rows() -> list[tuple[str, str]]:
    """Return name and default of each row of the README's table of settings."""
    table = README.split("## Settings")[1].split("## Operate it")[0]
    return re.findall(r"^\| `([a-z_.]+)` \| `([^`]*)` \|", table, re.MULTILINE)


def test_the_table_of_settings_has_the_defaults_of_the_code() -> None:
    """Every row names a setting that exists, with its default."""
    assert len(rows()) > 8
    assert [(name, default) for name, default in rows() if SETTINGS[name].default != default] == []


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_told(command: str) -> None:
    """The README names every command."""
    assert f"`{command}" in README or f"license-sidecar {command}" in README


def test_the_two_commands_stand_in_it() -> None:
    """A newcomer finds `make demo` and `make test`."""
    assert "make demo" in README
    assert "make test" in README


def test_every_file_of_the_first_settings_is_put_there_first() -> None:
    """On a fresh machine too, where the folder is not there: `install -D` makes it."""
    section = README.split("## Without Kubernetes")[1].split("\n## ")[0]
    put = re.findall(r"^install (.*?) \S+ (/\S+)", section, re.MULTILINE)
    assert {target for _, target in put} == {
        *re.findall(r"_file: (\S+)", section),
        f"{SETTINGS['key.dir'].default}/value",
    }
    assert all("-D" in options.split() for options, _ in put)
    assert section.index("install") < section.index("license-sidecar check-config")


def test_nothing_stands_behind_a_command_that_does_not_end() -> None:
    """Who pastes a block gets to its last line."""
    for block in blocks(ROOT / "README.md"):
        words = [line.partition(" #")[0].strip() for line in block.code.splitlines()]
        assert not any(line.startswith("license-sidecar run") for line in words[:-1])


def test_no_page_is_offered_twice() -> None:
    """The list of pages has each once."""
    offered = re.findall(r"\]\((docs/[\w-]+\.md)\)(?=[:,])", README.split("## Operate it")[1].split("\n## ")[0])
    assert len(offered) > 8
    assert len(offered) == len(set(offered))


def test_the_bench_takes_as_long_everywhere() -> None:
    """README, Makefile and the program's own help say the same."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    program = (ROOT / "tests" / "bench" / "__main__.py").read_text(encoding="utf-8")
    assert "`make bench` (twenty minutes; `make bench QUICK=1` two)" in README
    assert "(20 minutes; QUICK=1: two)" in makefile
    assert "two minutes instead of twenty" in program
