"""The sidecar as users have it: a wheel in a virtual environment of its own, with bytecode, kept between runs.

An editable install starts later (its finder) and a developer's environment loads what users do not have, so neither is
measured. ``.venv-bench`` is made again when the pinned dependencies change, the wheel when any of our files does.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".venv-bench"


@dataclass(frozen=True, slots=True)
class Installed:
    """Where the commands are."""

    python: Path
    sidecar: Path


def install() -> Installed:
    """Return the installed wheel, after making what is missing; says so, for it may take half a minute."""
    python = HOME / "bin" / "python"
    pins = ROOT / "requirements" / "run.txt"
    wanted = _digest([pins], sys.version)
    if _stamp("dependencies") != wanted:
        print("setting up .venv-bench (about half a minute, once)", flush=True)  # noqa: T201 - the program's output
        venv.create(HOME, clear=True, with_pip=True)
        _pip(python, "install", "--require-hashes", "-r", str(pins))
        _write("dependencies", wanted)
    files = [ROOT / "pyproject.toml", ROOT / "README.md"]
    files += [path for package in ("sidecar", "mock_activation") for path in (ROOT / package).rglob("*.*")]
    wanted = _digest(path for path in sorted(files) if path.suffix != ".pyc")
    if _stamp("wheel") != wanted:
        print("building and installing the wheel", flush=True)  # noqa: T201 - the program's output
        _pip(python, "install", "--no-deps", "--force-reinstall", str(ROOT))
        _write("wheel", wanted)
    return Installed(python, HOME / "bin" / "license-sidecar")


def _pip(python: Path, *arguments: str) -> None:
    subprocess.run([python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], check=True)


def _digest(files: Iterable[Path], *more: str) -> str:
    digest = hashlib.sha256("\0".join(more).encode())
    for path in files:
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _stamp(name: str) -> str:
    try:
        return (HOME / f".{name}").read_text()
    except OSError:
        return ""


def _write(name: str, digest: str) -> None:
    (HOME / f".{name}").write_text(digest)
