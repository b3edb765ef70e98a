"""Where the story is played: the screen, the processes, and the one way to wait for something to become true.

There is no fixed sleep: what is expected is looked for until it is seen, and a process that died meanwhile ends the
waiting at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from mock_activation.demo.asking import NoAnswerError
from mock_activation.demo.processes import Process, Troupe
from mock_activation.demo.screen import Screen
from mock_activation.demo.stops import Stops

_Seen = TypeVar("_Seen")
_GLANCE: Final = 0.02
_LONGEST: Final = 20.0
"""Seconds; far more than anything takes, for machines that are busy with other things."""
_TAIL: Final = 15


class UnmetError(Exception):
    """A step of the story that did not happen: what was expected, what was seen, and whose logs may tell why."""

    def __init__(self, expected: str, seen: str, processes: Iterable[Process] = ()) -> None:
        """Keep them."""
        super().__init__(expected)
        self.expected = expected
        self.seen = seen
        self.processes = tuple(processes)


@dataclass(frozen=True, slots=True)
class Stage:
    """Screen and processes; ``verbose`` shows the processes' logs as they are written."""

    screen: Screen
    troupe: Troupe
    stops: Stops
    verbose: bool = False

    def until(
        self,
        expected: str,
        look: Callable[[], _Seen],
        good: Callable[[_Seen], object] = bool,
        *,
        of: Iterable[Process] = (),
        tell: Iterable[Process] = (),
        within: float = _LONGEST,
    ) -> _Seen:
        """Look until what is seen is good, and return it.

        ``of``: the processes that are to bring it about and must run meanwhile; ``tell``: others whose logs may tell
        why it did not happen.

        Raises ``UnmetError`` after ``within`` seconds, or when one of the processes has ended, and
        ``StopWishedError``.
        """
        needed = tuple(of)
        processes = (*needed, *tell)
        deadline = time.monotonic() + within
        while True:
            ended = [process for process in needed if process.exit_code is not None]
            try:
                found = look()
                if good(found):
                    self.show_news()
                    return found
                seen = str(found)
            except NoAnswerError as error:
                seen = str(error)
            self.show_news()
            if ended:
                codes = ", ".join(f"{process.name} has ended with exit code {process.exit_code}" for process in ended)
                raise UnmetError(expected, f"{codes}; {seen}", processes)
            if time.monotonic() > deadline:
                raise UnmetError(expected, f"{seen} (after {within:g} s)", processes)
            self.stops.check()
            time.sleep(_GLANCE)

    def check(self, expected: str, *, holds: bool, seen: object, of: Iterable[Process]) -> None:
        """Go on only if this holds now. Raises ``UnmetError``."""
        if not holds:
            raise UnmetError(expected, str(seen), of)

    def show_news(self) -> None:
        """Show what the logs have said meanwhile, if that is wished."""
        if self.verbose:
            for name, lines in self.troupe.news():
                self.screen.log(name, lines)

    def explain(self, unmet: UnmetError) -> None:
        """Show why the story stops here."""
        self.screen.failed("this did not happen")
        self.screen.text(f"      expected: {unmet.expected}", f"      seen:     {unmet.seen}")
        for process in unmet.processes:
            self.screen.text("", f"      the end of the log of {process.name}:")
            self.screen.log(process.name, process.tail(_TAIL) or ["(nothing was logged)"])
