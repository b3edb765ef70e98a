"""The command: plays the story, leaves everything running if that is wished, and ends every process in any case."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final

from mock_activation.demo.asking import NoAnswerError
from mock_activation.demo.cast import Cast
from mock_activation.demo.processes import Troupe
from mock_activation.demo.screen import Screen
from mock_activation.demo.stage import Stage, UnmetError
from mock_activation.demo.story import ABOUT, END, SCENES, TITLE
from mock_activation.demo.visit import invitation, part
from mock_activation.exits import DONE

FAILED: Final = 1
INTERRUPTED: Final = 130
_GLANCE: Final = 0.2


class _StopError(BaseException):
    """Somebody wants the demo to end; not an Exception, so that nothing on the way takes it for a failed step."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.description = (
        "Shows in less than half a minute what license-sidecar does: starts it with a mock activation server and a "
        "stand-in for ICAP Server on free ports of this machine, and checks every step. Exit code 0: all was seen."
    )
    parser.add_argument(
        "--interactive", action="store_true", help="leave everything running at the end, and tell what to try"
    )
    parser.add_argument("--verbose", action="store_true", help="show the logs of all processes as they are written")


def run(arguments: argparse.Namespace) -> int:
    """Play; return 0 if every step was seen, 1 if one was not, 130 if it was interrupted."""
    screen = Screen(sys.stdout)
    with _stoppable(), tempfile.TemporaryDirectory(prefix="license-demo-") as name:
        troupe = Troupe(Path(name))
        stage = Stage(screen, troupe, verbose=arguments.verbose)
        try:
            return _play(stage, Path(name), interactive=arguments.interactive)
        except _StopError:
            screen.heading("Stopped. Everything that was started is ended.")
            return INTERRUPTED
        except BrokenPipeError:
            # Nobody reads any more; what is still written must not fail again.
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        finally:
            _deaf()
            troupe.end()
            stage.show_news()


def _play(stage: Stage, folder: Path, *, interactive: bool) -> int:
    screen = stage.screen
    screen.title(TITLE, ABOUT)
    cast = Cast(stage, folder)
    scenes = SCENES if interactive else (*SCENES, END)
    rows: list[tuple[str, bool | None, str]] = [(scene.title, None, "") for scene in scenes]
    for number, scene in enumerate(scenes, 1):
        screen.scene(number, scene.title, scene.why)
        try:
            rows[number - 1] = (scene.title, True, scene.play(cast))
        except (UnmetError, NoAnswerError) as error:
            stage.explain(error if isinstance(error, UnmetError) else UnmetError("an answer", str(error)))
            rows[number - 1] = (scene.title, False, "")
            break
    good = all(well for _title, well, _figure in rows)
    end = f"All {len(rows)} shown in {screen.elapsed:.1f} s." if good else "The story stopped: see above."
    screen.summary(rows, good=good, end=end)
    if interactive and good:
        _visit(stage, cast)
    return DONE if good else FAILED


def _visit(stage: Stage, cast: Cast) -> None:
    """Leave all running until somebody says stop; then let the pods go, so that one sees their seats become free."""
    cast.three.start_sidecar()
    cast.ready(cast.three)
    stage.screen.text(*invitation(cast))
    try:
        while True:
            stage.show_news()
            time.sleep(_GLANCE)
    except _StopError:
        stage.screen.text("")
    part(cast)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Turn the signals that end a program into an exception, so that everything that was started is ended."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _StopError

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, stop) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _deaf() -> None:
    """Ignore further signals while everything is ended; that takes a few seconds at most."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
