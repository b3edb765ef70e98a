"""The command: plays the story, leaves everything running if that is wished, and ends every process in any case."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from mock_activation.demo.asking import NoAnswerError
from mock_activation.demo.cast import Cast
from mock_activation.demo.processes import Troupe
from mock_activation.demo.screen import Screen
from mock_activation.demo.stage import Stage, UnmetError
from mock_activation.demo.stops import Stops, StopWishedError
from mock_activation.demo.story import ABOUT, END, SCENES, TITLE
from mock_activation.demo.visit import visit
from mock_activation.exits import DONE

FAILED: Final = 1
INTERRUPTED: Final = 130


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Shows in less than half a minute what license-sidecar does: starts it on free ports of this machine, with a\n"
        "mock activation server and stand-ins for ICAP Server, and checks every step. Nothing is left behind."
    )
    titles = "".join(f"  {number}. {scene.title}\n" for number, scene in enumerate(SCENES, 1))
    codes = "Exit codes: 0 everything was seen, 1 something was not, 64 wrong usage, 130 interrupted."
    parser.epilog = f"Scenes:\n{titles}\n{codes}"
    parser.add_argument(
        "--interactive", action="store_true", help="leave everything running at the end, and tell what to try"
    )
    parser.add_argument("--verbose", action="store_true", help="show the logs of all processes as they are written")
    parser.add_argument(
        "--scenes",
        type=int,
        choices=range(1, len(SCENES) + 1),
        default=len(SCENES),
        metavar="N",
        help="play only the first N scenes (default: all %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Play; return 0 if every step was seen, 1 if one was not, 130 if it was interrupted."""
    stops = Stops()
    stops.install()
    screen = Screen(sys.stdout)
    with tempfile.TemporaryDirectory(prefix="license-demo-") as name:
        troupe = Troupe(Path(name))
        stage = Stage(screen, troupe, stops, verbose=arguments.verbose)
        try:
            return _play(stage, Path(name), arguments.scenes, interactive=arguments.interactive)
        except StopWishedError:
            screen.heading("Interrupted: everything that was started is ended.")
            return INTERRUPTED
        except BrokenPipeError:
            # Nobody reads any more; what is still in the buffer must not fail again at the exit.
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        finally:
            troupe.end()


def _play(stage: Stage, folder: Path, count: int, *, interactive: bool) -> int:
    screen = stage.screen
    screen.title(TITLE, ABOUT)
    cast = Cast(stage, folder)
    scenes = SCENES[:count] if interactive else (*SCENES[:count], END)
    rows: list[tuple[str, bool | None, str]] = [(scene.title, None, "") for scene in scenes]
    for number, scene in enumerate(scenes, 1):
        screen.scene(number, scene.title, scene.why)
        try:
            rows[number - 1] = (scene.title, True, scene.play(cast))
        except (UnmetError, NoAnswerError) as error:
            _failed(stage, error)
            rows[number - 1] = (scene.title, False, "")
            break
    good = all(well for _title, well, _figure in rows)
    end = f"All {len(rows)} were seen, in {screen.elapsed:.1f} s." if good else "The story stopped: see above."
    screen.summary(rows, good=good, end=end)
    if not good:
        return FAILED
    if interactive:
        try:
            visit(cast)
        except (UnmetError, NoAnswerError) as error:
            return _failed(stage, error)
    return DONE


def _failed(stage: Stage, error: UnmetError | NoAnswerError) -> int:
    stage.explain(error if isinstance(error, UnmetError) else UnmetError("an answer", str(error)))
    return FAILED
