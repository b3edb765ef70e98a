"""The picture of the machine is drawn from the machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_picture_is_not_stale() -> None:
    """`python docs/make_state_diagram.py` would change nothing."""
    spec = importlib.util.spec_from_file_location("make_state_diagram", ROOT / "docs" / "make_state_diagram.py")
    assert spec is not None
    assert spec.loader is not None
    drawing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawing)
    stale = drawing.PAGE.read_text(encoding="utf-8") != drawing.page()
    assert not stale, "run python docs/make_state_diagram.py"
