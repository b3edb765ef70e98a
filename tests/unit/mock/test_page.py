"""docs/mock.md says what the code does: its switches, routes, faults, profiles, events."""

from pathlib import Path

import pytest

from mock_activation.events import Kind
from mock_activation.faults import NAMES, Operation
from mock_activation.profiles import PROFILES
from mock_activation.switches import POSITIONS, Switches
from tests.unit.mock.vendor_client import CONTROL

PAGE = (Path(__file__).parents[3] / "docs" / "mock.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", POSITIONS)
def test_every_switch_stands_in_the_table_with_its_default(name: str) -> None:
    """As the option of ``serve``, its default first."""
    assert f"`--{name.replace('_', '-')} {getattr(Switches(), name)}`" in PAGE


@pytest.mark.parametrize("operation", [it for it in CONTROL.operations if not it.path.startswith("/console")], ids=str)
def test_every_route_is_told(operation: object) -> None:
    """Method and path, or the path among others of its row; ``/`` stands in the text."""
    method, path = operation.method, operation.path  # type: ignore[attr-defined]
    assert f"`{method} {path}`" in PAGE or f"`{method} {path}?" in PAGE


@pytest.mark.parametrize("name", [*NAMES, *PROFILES, *Kind, *Operation])
def test_every_fault_profile_and_event_is_told(name: str) -> None:
    """By its name."""
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_profiles_are_told_in_the_words_of_the_code(profile: object) -> None:
    """The page and ``--help`` say the same."""
    assert f"| `{profile.name}` | {profile.summary} |" in PAGE  # type: ignore[attr-defined]
