"""``mock-activation demo`` as a person and a script meet it; the whole of it runs in .ci/run as ``make demo``."""

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest

from mock_activation.demo.screen import Screen

REPOSITORY = Path(__file__).parents[2]
MARK = "DEMO_UNDER_TEST"
KEY_SHAPE = re.compile(r"\b[A-Z0-9]{4}(?:-[A-Z0-9]{4}){6,7}\b")
COLOUR = "\x1b["


class Demo:
    """One run of the demo; its children carry a mark in their environment by which they are found."""

    def __init__(self, folder: Path, *options: str, environment: Mapping[str, str], piped: bool) -> None:
        self.mark = uuid4().hex
        self.output = folder / "demo.out"
        (folder / "tmp").mkdir()
        self.temporary = folder / "tmp"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mock_activation", "demo", *options],
                stdout=subprocess.PIPE if piped else output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=REPOSITORY,
                env={**os.environ, MARK: self.mark, "TMPDIR": str(self.temporary), **environment},
            )

    @property
    def said(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def wait_for(self, text: str, seconds: float = 40.0) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.said:
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the demo never said {text!r}, but:\n{self.said}")
            time.sleep(0.05)

    def end(self, number: signal.Signals | None = None) -> int:
        if number is not None:
            self.process.send_signal(number)
        return self.process.wait(60)

    def left(self) -> list[int]:
        """Return the processes that this run has started and that still run."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
        return found


@contextmanager
def played(
    folder: Path, *options: str, environment: Mapping[str, str] | None = None, reader_goes_at: str = ""
) -> Iterator[Demo]:
    """Start the demo; whatever happens, it and what it started have ended when the block is left.

    ``reader_goes_at``: it writes into a pipe, and the reader closes it after a line with these words.
    """
    demo = Demo(folder, *options, environment=environment or {}, piped=bool(reader_goes_at))
    try:
        if demo.process.stdout is not None:
            with demo.process.stdout as pipe:
                assert any(reader_goes_at.encode() in line for line in pipe)
        yield demo
    finally:
        demo.process.kill()
        demo.process.wait()
        for pid in demo.left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_the_story_is_told_and_checked_in_a_pipe(tmp_path: Path) -> None:
    """Scenes with figures, the processes' logs, a summary, exit 0; no colour, no key, no process, no file stays."""
    with played(tmp_path, "--scenes", "1", "--verbose") as demo:
        demo.wait_for("1. A seat is taken")
        assert demo.left() != []
        code = demo.end()
        said, left = demo.said, demo.left()
    assert code == 0, said
    assert "All 2 were seen" in said
    assert said.count("shown  ") == 2
    assert "0 seats, 0 records" in said
    assert "icap-1 sidecar: info: seat released" in said
    assert COLOUR not in said
    assert KEY_SHAPE.search(said) is None
    assert left == []
    assert list(demo.temporary.iterdir()) == []


def test_an_interrupted_demo_ends_what_it_started(tmp_path: Path) -> None:
    """SIGTERM in the middle: it says so, exits with 130, and nothing is left."""
    with played(tmp_path, "--scenes", "4") as demo:
        demo.wait_for("the app runs under a new deployment ID")
        assert len(demo.left()) >= 3
        code = demo.end(signal.SIGTERM)
        said, left = demo.said, demo.left()
    assert code == 130, said
    assert "Interrupted" in said
    assert left == []
    assert list(demo.temporary.iterdir()) == []


def test_a_step_that_fails_says_what_was_expected_and_seen(tmp_path: Path) -> None:
    """With a sidecar that cannot start: expected, seen, the end of its log without keys, exit 1, nothing is left."""
    (tmp_path / "sidecar").mkdir()
    (tmp_path / "sidecar" / "__init__.py").touch()
    key = "-".join(["QQQQ"] * 7)
    (tmp_path / "sidecar" / "__main__.py").write_text(
        f"import sys\nprint('no use for {key}', file=sys.stderr)\nsys.exit(78)"
    )
    with played(tmp_path, "--scenes", "1", environment={"PYTHONPATH": str(tmp_path)}) as demo:
        code = demo.end()
        said, left = demo.said, demo.left()
    assert code == 1, said
    assert "expected: a seat record" in said
    assert "seen:     icap-1 sidecar has ended with exit code 78" in said
    assert "icap-1 sidecar: no use for ***" in said
    assert re.search(r"1\. A seat is taken +FAILED", said)
    assert KEY_SHAPE.search(said) is None
    assert left == []


def test_interactive_leaves_it_running_until_told_to_stop(tmp_path: Path) -> None:
    """The addresses that are printed answer, SIGINT ends all, the seat becomes free, exit 0."""
    with played(tmp_path, "--scenes", "1", "--interactive") as demo:
        demo.wait_for("# The logs")
        shown = re.search(r"icap-1 sidecar +(http://\S+)", demo.said)
        control = re.search(r"its control port +(http://\S+)", demo.said)
        assert shown is not None
        assert control is not None
        with urllib.request.urlopen(f"{shown[1]}/readyz", timeout=5) as answer:
            assert answer.status == 200
        with urllib.request.urlopen(f"{control[1]}state", timeout=5) as answer:
            assert [key["used"] for key in json.load(answer)["keys"]] == [1, 0]
        code = demo.end(signal.SIGINT)
        said, left = demo.said, demo.left()
    assert code == 0, said
    assert "icap-1 sidecar: exit code 0" in said
    assert "0 of 1 taken: nobody" in said
    assert left == []


def test_a_reader_that_goes_away_ends_the_demo(tmp_path: Path) -> None:
    """Piped into ``head``, it ends quietly, with 1, and nothing is left."""
    with played(tmp_path, "--scenes", "1", reader_goes_at="the app runs under a new deployment ID") as demo:
        code = demo.end()
        left = demo.left()
    assert code == 1
    assert demo.said == ""
    assert left == []


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    """Return what a screen writes to a terminal."""
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ours, theirs = pty.openpty()
    try:
        with os.fdopen(theirs, "w", encoding="utf-8") as terminal:
            screen = Screen(terminal)
            screen.scene(1, "title", "why")
            screen.seen("seen")
            screen.seats("0123456789ab", ["ID"], 2)
        # The kernel hands it over piece by piece; with the other end closed, the error after the last piece is the end.
        pieces = []
        with suppress(OSError):
            while piece := os.read(ours, 65536):
                pieces.append(piece)
        return b"".join(pieces).decode()
    finally:
        os.close(ours)


def test_colours_only_where_they_are_wished(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets colours, unless NO_COLOR is set or it is a dumb one."""
    coloured = on_a_terminal(monkeypatch, TERM="xterm")
    plain = on_a_terminal(monkeypatch, TERM="xterm", NO_COLOR="1")
    assert COLOUR in coloured
    assert COLOUR not in plain
    assert COLOUR not in on_a_terminal(monkeypatch, TERM="dumb")
    assert "■□ 1 of 2 taken: ID" in plain


def test_a_terminal_without_unicode_gets_plain_signs() -> None:
    """Where the signs cannot be encoded, others stand in for them, and nothing raises."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    screen = Screen(stream)
    screen.seen("seen")
    screen.seats("0123456789ab", ["ID"], 2)
    screen.failed("failed")
    stream.seek(0)
    said = stream.read()
    assert " ok seen" in said
    assert "#. 1 of 2 taken: ID" in said
    assert " FAILED failed" in said


def test_nothing_that_looks_like_a_key_is_shown() -> None:
    """Every way of writing passes the masking."""
    key = "-".join(["QQQQ"] * 7)
    stream = io.StringIO()
    screen = Screen(stream)
    screen.title(key, key)
    screen.scene(1, key, key)
    screen.seen(key)
    screen.text(key)
    screen.seats(key, [key], 1)
    screen.log(key, [key])
    screen.summary([(key, True, key)], good=True, end=key)
    assert "QQQQ" not in stream.getvalue()
