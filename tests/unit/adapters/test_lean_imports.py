"""What the libraries load, seen in a process of its own: this one has loaded rich long ago."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOOK = """
import sys
{imports}
unwanted = ("click", "rich", "pygments")
print(sorted(name for name in sys.modules if name.split(".")[0] in unwanted))
"""


def loaded_after(imports: str) -> str:
    """Run the imports in a fresh interpreter and return the unwanted modules as text."""
    run = subprocess.run(
        [sys.executable, "-c", LOOK.format(imports=imports)], check=True, capture_output=True, text=True, timeout=30
    )
    return run.stdout.strip()


@pytest.mark.parametrize("library", ["httpx", "structlog", "structlog, httpx"])
def test_libraries_load_lean(library: str) -> None:
    """Inside of ``lean`` neither httpx nor structlog load click, rich or pygments, installed or not."""
    assert loaded_after(f"from sidecar.adapters.lean_imports import lean\nwith lean():\n    import {library}") == "[]"


@pytest.mark.parametrize("module", ["activation_server", "icap_server"])
def test_adapters_load_lean(module: str) -> None:
    """Importing an adapter is enough: it guards its own import of httpx."""
    assert loaded_after(f"import sidecar.adapters.{module}") == "[]"


def test_guard_leaves_nothing_behind() -> None:
    """After the block the packages can be imported as usual."""
    pytest.importorskip("pygments", reason="pip install pygments")
    assert loaded_after("from sidecar.adapters.lean_imports import lean\nwith lean(): pass\nimport pygments") != "[]"


def test_guard_keeps_what_is_loaded() -> None:
    """A package that was loaded before the block is still there inside and after it."""
    pytest.importorskip("pygments", reason="pip install pygments")
    inside = (
        "import pygments\nfrom sidecar.adapters.lean_imports import lean\nwith lean():\n    import pygments as again"
    )
    assert loaded_after(f"{inside}\nassert again is sys.modules['pygments']") != "[]"
