"""The README says what the code does: its settings and its commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sidecar.cli import COMMANDS
from sidecar.config import SETTINGS

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
