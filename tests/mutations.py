"""Takes out, one after the other, the code that keeps an invariant, and sees that a test fails then.

``python -m tests.mutations [WORD...]`` (only mutants whose name, invariant or file holds one of the words). Each mutant
is a small edit of a copy of the tree in a temporary folder, in which the tests that it names are run; the tree itself
is never touched. A mutant that survives, or whose place is no longer found, is a failure. Not part of ``make test``.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tests.kubernetes_mutants import KUBERNETES_MUTANTS
from tests.mutants import MUTANTS, Mutant

ROOT: Final = Path(__file__).resolve().parents[1]
COPIED: Final = ("sidecar", "mock_activation", "tests", "pyproject.toml", "README.md", "docs")
LONGEST: Final = 240.0
"""Seconds for the tests of one mutant; one that hangs is as good as dead."""
AT_ONCE: Final = max(1, (os.cpu_count() or 2) // 2)


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def copy(folder: Path) -> None:
    """Copy the tree as it is, without what tools left in it."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        elif source.exists():
            shutil.copy(source, folder / name)


def run(folder: Path, tests: Iterable[str], limit: float) -> tuple[int | None, str]:
    """Run pytest in a copy; return its exit code (None: it took too long) and the last lines of its output."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *tests]
    environ = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        [*command, f"--basetemp={folder / 'temporary'}"],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=limit)
        code: int | None = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its own session: the tests and what they started
        output, _ = process.communicate()
        code = None
    return code, "\n".join(output.splitlines()[-15:])


def judge(mutant: Mutant) -> tuple[str, str]:
    """Return what became of a mutant in one word, and what to know about it."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        copy(folder)
        path = folder / mutant.file
        text = path.read_text()
        if text.count(mutant.old) != 1:
            return "stale", f"its place stands {text.count(mutant.old)} times in {mutant.file}"
        path.write_text(text.replace(mutant.old, mutant.new))
        code, output = run(folder, mutant.tests, LONGEST)
    match code:
        case 0:
            return "SURVIVED", ""
        case 1:
            failed = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
            return "killed", failed[0].partition(" - ")[0].rpartition("::")[2] if failed else ""
        case None:
            return "killed", "the tests hang"
        case _:
            return "broken", output


def main(words: Sequence[str]) -> int:
    """Judge all mutants, or those that hold one of the words; return 0 if all were killed."""
    everything = (*MUTANTS, *KUBERNETES_MUTANTS)
    chosen = [
        it for it in everything if not words or any(word in f"{it.invariant} {it.name} {it.file}" for word in words)
    ]
    say(f"{len(chosen)} mutants; first, their tests have to pass as things are")
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="unmutated-") as name:
        copy(Path(name))
        tests = sorted({test for mutant in chosen for test in mutant.tests})
        code, output = run(Path(name), tests, 6 * LONGEST)
    if code != 0:
        say(output)
        return 1
    bad = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for mutant, (fate, note) in zip(chosen, pool.map(judge, chosen), strict=True):
            bad += fate != "killed"
            say(f"{fate:<9} {mutant.invariant:<13} {mutant.name}{f'  [{note}]' if note else ''}")
    say(f"{len(chosen) - bad} killed, {bad} not, after {time.monotonic() - begin:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
