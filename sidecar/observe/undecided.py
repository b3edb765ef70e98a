"""The answer "no free seat" while nobody knows yet whether it is a refusal: one may be about to become free (rule 14).

Whoever tells people keeps one of these, tells such an answer quietly or not at all, and tells it as the refusal that it
is once the stage says so. A notice comes before the change of the stage that it causes.
"""

from __future__ import annotations

from typing import Final

from sidecar.core.commands import Notice, Occasion
from sidecar.core.reasons import Failure
from sidecar.core.view import Stage

_STAGES: Final = frozenset({Stage.ACTIVATING, Stage.WAITING})


class Undecided:
    """The last such answer, and the stage."""

    def __init__(self) -> None:
        """Know of none."""
        self._stage: Stage | None = None
        self._notice: Notice | None = None

    def waits(self, notice: Notice) -> bool:
        """Take note of a notice, and tell whether it is such an answer."""
        no_seats = notice.occasion is Occasion.ACTIVATION_REFUSED and notice.reason == Failure.NO_SEATS
        waits = no_seats and self._stage in _STAGES
        if waits:
            self._notice = notice
        elif notice.occasion in (Occasion.ACTIVATION_REFUSED, Occasion.ACTIVATED):
            self._notice = None
        return waits

    def moved(self, stage: Stage) -> Notice | None:
        """Take note of the stage, and return the answer that is a refusal now, or None."""
        self._stage = stage
        return self._notice if stage is Stage.REFUSED else None
