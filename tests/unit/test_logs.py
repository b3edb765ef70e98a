"""Every log line leaves by one way: one line, masked, whatever was passed and whoever logged."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import select
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import structlog

from sidecar.observe import logs
from sidecar.secrets import MASK, MASKER, Secret

KEY = "L0G1-L0G2-L0G3-L0G4-L0G5-L0G6-L0G7"
PASSWORD = 'l0g"pa\\ss w0rd'
CHATTY = ("httpx", "httpcore", "aiohttp.access", "asyncio")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Yield where the lines go, and give the process its logging back afterwards."""
    root = logging.getLogger()
    kept = root.handlers[:], root.level, {name: logging.getLogger(name).level for name in CHATTY}
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    raising = logging.raiseExceptions
    yield io.StringIO()
    root.handlers[:], root.level = kept[0], kept[1]
    for name, level in kept[2].items():
        logging.getLogger(name).setLevel(level)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    logging.raiseExceptions = raising
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


class Unshowable:
    def __repr__(self) -> str:
        raise ValueError(KEY)


class Shown:
    def __repr__(self) -> str:
        return f"<client of https://user:{KEY}@host/activation?key={KEY}>"


def fail() -> None:
    """Raise as a library does that was given the key, with the key in a local as well."""
    key = KEY
    try:
        dict[bytes, int]()[KEY.encode()]
    except KeyError as error:
        wrapped = OSError(1, f"GET https://host/activation?key={key}&deployment=MSCL1", key)
        wrapped.add_note(f"while using {key}")
        raise wrapped from error


def with_traceback(log: Callable[..., None]) -> None:
    """Log ``fail`` as it is caught."""
    try:
        fail()
    except OSError:
        log("it failed", exc_info=True)


def loop_failure() -> None:
    """Let asyncio's own handler tell of an exception that nobody awaits."""

    async def doomed() -> None:
        asyncio.get_running_loop().call_soon(fail)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(doomed())


def in_thread() -> None:
    """Let a thread end by an exception."""
    thread = threading.Thread(target=fail, name=f"worker of {KEY}")
    thread.start()
    thread.join()


def unraisable() -> None:
    """Raise where nobody can catch it."""

    class Finalised:
        def __del__(self) -> None:
            fail()

    Finalised()


def warn() -> None:
    """Warn as a library does."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"unverified request with {KEY}", UserWarning, stacklevel=1)


ours = logs.logger("agent")
theirs = logging.getLogger("httpx")

WAYS: dict[str, Callable[[], object]] = {
    "event": lambda: ours.error(f"key {KEY}"),
    "value": lambda: ours.error("x", key=KEY),
    "value under any name": lambda: ours.error("x", banana=KEY),
    "nested value": lambda: ours.error("x", request={"query": [("key", KEY), KEY.encode()]}),
    "name of a value": lambda: ours.error("x", **{KEY: 1}),
    "odd keys": lambda: ours.error("x", table={(1, KEY): KEY}),
    "object": lambda: ours.error("x", client=Shown()),
    "unshowable object": lambda: ours.error("x", client=Unshowable()),
    "secret": lambda: ours.error("x", secret=Secret(KEY)),
    "positional": lambda: ours.error("x %s", KEY),
    "password with escapes": lambda: ours.error(
        "x", header=PASSWORD, nested={"raw": PASSWORD.encode(), "as": [PASSWORD]}
    ),
    "context": lambda: structlog.contextvars.bind_contextvars(url=f"https://host/?key={KEY}") and ours.error("x"),
    "our traceback": lambda: with_traceback(ours.error),
    "library at warning": lambda: theirs.warning(
        'HTTP Request: GET %s "HTTP/1.1 200 Ok"', f"https://host/activation?key={KEY}"
    ),
    "library's broken format": lambda: theirs.warning("%d %d", KEY),
    "library's traceback": lambda: with_traceback(theirs.error),
    "library with stack": lambda: theirs.error("at %s", KEY, stack_info=True),
    "event loop": loop_failure,
    "thread": in_thread,
    "unraisable": unraisable,
    "warning": warn,
    "uncaught": lambda: sys.excepthook(ValueError, ValueError(KEY), None),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_NO_SECRET_no_way_of_logging_shows_a_secret(  # noqa: N802 - the invariant's name
    way: Callable[[], object], log_format: str, stream: io.StringIO
) -> None:
    """Whatever is passed, by whomever, at whatever depth: the finished line is masked, and in JSON still is JSON."""
    MASKER.register(Secret(PASSWORD))
    logs.set_up(log_format=log_format, level="debug", stream=stream)
    way()
    structlog.contextvars.clear_contextvars()
    written = stream.getvalue()
    assert written.endswith("\n")
    assert "L0G3" not in written
    assert "pa\\" not in written
    if log_format == "json":
        assert all(isinstance(json.loads(line), dict) for line in written.splitlines())


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return the JSON lines."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_when_how_urgent_what_and_who(stream: io.StringIO) -> None:
    """Time in UTC to the millisecond, level, event, part of the program, what is fixed, and the values."""
    logs.set_up(log_format="json", stream=stream, fields={"pod": "web-0"})
    logs.logger("agent").info("seat taken", deployment="MSCL1")
    logging.getLogger("library").warning("slow")
    first, second = lines(stream)
    assert first.pop("timestamp").endswith("Z")
    assert first == {"level": "info", "event": "seat taken", "logger": "agent", "pod": "web-0", "deployment": "MSCL1"}
    assert second.pop("timestamp")[:4].isdigit()
    assert second == {"level": "warning", "event": "slow", "logger": "library", "pod": "web-0"}


def test_a_traceback_shows_no_locals(stream: io.StringIO) -> None:
    """The lines of code are told, the values of variables are not."""
    logs.set_up(log_format="json", stream=stream)
    hidden, bystander = "x", "a-local-" + "value"
    try:
        int(hidden)
    except ValueError:
        logs.logger("agent").exception("broken")
    (line,) = lines(stream)
    assert line["level"] == "error"
    assert "in test_a_traceback_shows_no_locals" in line["exception"]
    assert bystander not in line["exception"]


def test_libraries_are_quiet_until_they_warn(stream: io.StringIO) -> None:
    """One line for each request is noise at info; with debug it is heard."""
    logs.set_up(log_format="json", level="info", stream=stream)
    logging.getLogger("httpx").info("HTTP Request")
    logging.getLogger("other").info("heard")
    assert [line["event"] for line in lines(stream)] == ["heard"]
    logs.set_up(log_format="json", level="debug", stream=stream)
    logging.getLogger("httpx").info("HTTP Request")
    assert [line["event"] for line in lines(stream)] == ["heard", "HTTP Request"]


@pytest.mark.parametrize(("level", "heard"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_holds_for_our_lines_and_theirs(level: str, heard: int, stream: io.StringIO) -> None:
    """log.level is the least urgent level that is written."""
    logs.set_up(log_format="json", level=level, stream=stream)
    for log in (logs.logger("agent"), logging.getLogger("library")):
        for method in ("debug", "info", "warning", "error"):
            getattr(log, method)("x")
    assert len(lines(stream)) == 2 * heard


def test_auto_is_json_without_a_terminal(stream: io.StringIO) -> None:
    """A container's log is read by programs."""
    logs.set_up(stream=stream)
    logs.logger("agent").info("x")
    assert lines(stream)[0]["event"] == "x"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_auto_is_text_on_a_terminal_with_a_coloured_level(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person sees aligned text; NO_COLOR takes the colour away."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    logs.set_up(stream=terminal)
    logs.logger("agent").warning("seat lost", why="two words")
    assert "\x1b[33mwarning" in terminal.getvalue()
    assert 'why="two words"' in terminal.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    logs.set_up(stream=(plain := Terminal()))
    logs.logger("agent").warning("seat lost")
    assert "\x1b" not in plain.getvalue()


def test_a_servers_sentence_cannot_forge_a_line(stream: io.StringIO) -> None:
    """Line breaks and terminal escapes of others are shown, not carried out."""
    logs.set_up(log_format="text", stream=stream)
    logs.logger("agent").info("refused\nforged", sentence="no\x1b[2J\nforged too")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("broken", [BrokenPipeError(), OSError(28, "disk full"), ValueError("closed")])
def test_a_broken_stream_does_not_end_the_program(broken: Exception, stream: io.StringIO) -> None:
    """The seat matters more than the line about it."""

    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise broken

    logs.set_up(stream=Broken())
    logs.logger("agent").info("x")
    logging.getLogger("library").error("x")
    logs.set_up(log_format="json", stream=stream)
    logs.logger("agent").info("still here")
    assert lines(stream)[0]["event"] == "still here"


def test_a_stalled_reader_costs_lines_and_no_time(stream: io.StringIO) -> None:
    """Behind a full pipe lines are lost, not waited for; as soon as somebody reads, their number is told."""
    reader, target = os.pipe()
    with open(target, "w", encoding="utf-8") as pipe:  # noqa: PTH123 - an open descriptor, no path
        logs.set_up(log_format="json", level="info", stream=pipe)
        os.set_blocking(target, False)
        with suppress(BlockingIOError):
            while True:
                os.write(target, bytes(4096))
        os.set_blocking(target, True)
        for _ in range(3):
            logs.logger("agent").info("nobody reads this")
        while os.read(reader, 65536).endswith(bytes(1)) and select.select([reader], [], [], 0)[0]:
            pass
        logs.logger("agent").info("heard")
        told = [json.loads(line) for line in os.read(reader, 65536).decode().splitlines()]
    os.close(reader)
    assert [line["event"] for line in told] == ["log lines were lost: nobody took them", "heard"]
    assert told[0]["lines"] == 3


def test_a_circle_in_a_value_is_still_a_line(stream: io.StringIO) -> None:
    """What JSON cannot say is written as Python shows it, and the rest of the line stays as it is."""
    logs.set_up(log_format="json", stream=stream)
    circle: list[Any] = []
    circle.append(circle)
    logs.logger("agent").info("x", circle=circle, count=1)
    assert lines(stream)[0]["event"] == "x"
    assert lines(stream)[0]["circle"] == "[[...]]"


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_an_event_that_cannot_be_shown_is_still_a_line(log_format: str, stream: io.StringIO) -> None:
    """Logging never raises, whatever it is given."""
    logs.set_up(log_format=log_format, stream=stream)
    logging.getLogger("library").error(Unshowable())
    logs.logger("agent").error(Unshowable())  # type: ignore[arg-type]  # on purpose
    assert len(stream.getvalue().splitlines()) == 2


def test_an_uncaught_exception_of_the_process_is_masked_and_no_colourful_library_is_loaded() -> None:
    """The last words of the process are a log line on standard error, and rich stays out (design.md section 3)."""
    program = f"""
import sys
from sidecar.observe import logs
assert not {{"rich", "click", "pygments"}} & set(sys.modules), "loaded"
logs.set_up()
def inner(key):
    raise RuntimeError(f"refused {{key}}")
inner("-".join({KEY.split("-")!r}))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert f"RuntimeError: refused {MASK}" in json.loads(line)["exception"]
    assert "L0G3" not in json.loads(line)["exception"].partition("RuntimeError")[2]
    assert ended.stdout == ""
