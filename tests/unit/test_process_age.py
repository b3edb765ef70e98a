"""How long a process has lived."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from sidecar.process_age import process_age


def test_the_age_counts_from_the_birth_and_not_from_the_import() -> None:
    """What came before the look counts as well: here 0.3 seconds of it."""
    code = "import time; time.sleep(0.3); from sidecar.process_age import process_age; print(process_age())"
    began = time.monotonic()
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 0.3 <= float(told) <= time.monotonic() - began + 0.02


@pytest.mark.parametrize(
    "stat", [None, "", "1 (a) S", f"1 (a b) c) {'x ' * 30}", f"1 (a) {'0 ' * 30}", f"1 (a) {'9' * 15} " * 30]
)
def test_what_the_kernel_does_not_tell_is_no_age(tmp_path: Path, stat: str | None) -> None:
    """A sandbox may have no such file, or another clock's number in it."""
    if stat is not None:
        (tmp_path / "stat").write_text(stat)
    assert process_age(tmp_path / "stat") == 0.0
