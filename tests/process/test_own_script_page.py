"""docs/test-your-own-script.md, run as a reader runs it: the commands by bash, and the answers compared.

The reader has ``curl``, ``python3`` with requests and pytest, and ``mock-activation``; nothing else of this project.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import pytest

from tests.process.processes import ROOT, environment

PAGE: Final = ROOT / "docs" / "test-your-own-script.md"
LIMIT: Final = 60
BLOCK: Final = re.compile(r"^```(bash|text|python)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK: Final = "-- end of block --"


@dataclass(frozen=True, slots=True)
class Block:
    kind: str
    name: str
    text: str


def absent(what: str, install: str) -> NoReturn:
    """Skip with the command that brings what is missing; in CI fail, since there everything must run."""
    message = f"{what}; to get it: {install}"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def blocks() -> list[Block]:
    """Return the code of the page in order."""
    return [Block(kind, name or "", text) for kind, name, text in BLOCK.findall(PAGE.read_text())]


def fits(expected: str, printed: str) -> bool:
    """Compare, where ``...`` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in expected.rstrip("\n").split("..."))
    return re.fullmatch(pattern, printed.rstrip("\n"), re.DOTALL) is not None


def test_the_page_is_true(tmp_path: Path) -> None:
    """Every command works and prints what the page shows, and no output has the key in it."""
    if shutil.which("curl") is None:
        absent("there is no curl", "apt-get install curl")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, command in (("python3", ""), ("mock-activation", "-m mock_activation")):
        (tools / name).write_text(f'#!/bin/sh\nexec {sys.executable} {command} "$@"\n')
        (tools / name).chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    page = blocks()
    script = ["exec 2>&1", "set -u"]
    for block in page:
        if block.kind == "python":
            (work / block.name).write_text(block.text)
        elif block.kind == "bash":
            script += [block.text, f"echo; echo '{MARK}'"]
    (work / "page.sh").write_text("\n".join(script))
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    with subprocess.Popen(
        ["bash", "page.sh"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        cwd=work,
        env=environment({"PATH": path}),
        start_new_session=True,
    ) as shell:
        try:
            printed = shell.communicate(timeout=LIMIT)[0].split(f"{MARK}\n")
        finally:
            if shell.poll() is None:
                os.killpg(shell.pid, signal.SIGKILL)
    commands = [number for number, block in enumerate(page) if block.kind == "bash"]
    assert len(printed) == len(commands) + 1, printed[-1]
    for output, number in zip(printed, commands, strict=False):
        follower = page[number + 1] if number + 1 < len(page) else None
        expected = follower.text if follower is not None and follower.kind == "text" else ""
        assert fits(expected, output.removesuffix("\n")), f"{page[number].text}\nprinted\n{output}\nnot\n{expected}"
        assert "AAAA-BBBB" not in output
    assert sum(block.kind == "text" for block in page) > 10
