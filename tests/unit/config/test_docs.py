"""The page of the settings says what the table says."""

from __future__ import annotations

from pathlib import Path

from sidecar.config import SETTINGS
from sidecar.config.docs import page

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_page_is_not_stale() -> None:
    """Write it anew with: license-sidecar check-config --docs > docs/settings.md."""
    assert PAGE.read_text() == page()


def test_the_page_names_every_setting_once() -> None:
    """One row for each."""
    text = page()
    assert all(text.count(f"| `{name}` |") == 1 for name in SETTINGS)
