"""Scripted misbehaviour: what happens to which request instead of, or on top of, the right answer.

Pure: this module only says what is to be done; ``carrying_out`` does it. Rules are tried in the order in which they
were added, the first that matches is used up by one. It reads no clock but the one that it is given (for time
windows), and its choices at random depend on the seed and the request alone (``chance``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Final

from mock_activation.chance import Chance
from mock_activation.effects import (
    CAPTIVE_PORTAL,
    BreakHandshake,
    Cut,
    Delay,
    Distribution,
    Drip,
    Effect,
    Garbage,
    Hang,
    Redate,
    Refuse,
    Reply,
    Reset,
    Retype,
    Truncate,
)

__all__ = [
    "CAPTIVE_PORTAL",
    "LONGEST_DELAY",
    "LOST_ANSWER",
    "NAMES",
    "BreakHandshake",
    "CountBy",
    "Cut",
    "Delay",
    "Distribution",
    "Drip",
    "Effect",
    "Fault",
    "Faults",
    "Garbage",
    "Hang",
    "Happening",
    "Operation",
    "Redate",
    "Refuse",
    "Reply",
    "Reset",
    "Retype",
    "Rule",
    "Truncate",
    "Window",
    "lost_answer",
]

LONGEST_DELAY: Final = 86_400.0


class Operation(StrEnum):
    """The two requests that the activation server knows."""

    ACTIVATION = "activation"
    DEACTIVATION = "deactivation"


class CountBy(StrEnum):
    """What ``nth`` and ``every`` count."""

    RULE = "rule"
    """All requests that the rule is about, in their order of arrival."""
    DEPLOYMENT = "deployment"
    """This operation for this deployment ID, since the seed was set: the order of arrival does not matter."""


@dataclass(frozen=True, slots=True)
class Window:
    """From ``begin`` to ``end`` seconds after the rule was added (None: for ever), again in each ``period``."""

    begin: float = 0.0
    end: float | None = None
    period: float | None = None

    def holds(self, elapsed: float) -> bool:
        """Tell whether it is open."""
        place = elapsed if self.period is None else elapsed % self.period
        return self.begin <= place and (self.end is None or place < self.end)


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule: which requests, how many of them (None: until it is removed), and what happens to them.

    ``processed``: the pool handles the request first, then the effect takes the place of (or delays) its answer, so
    a seat can be taken that nobody was told about. Otherwise the pool never sees the request (``Delay``: sees it late,
    even if the client has gone by then). ``deployment`` may hold ``*`` and ``?``. ``wait``: seconds before the effect.
    """

    name: str
    effect: Effect
    processed: bool = False
    operation: StrEnum | None = None
    deployment: str | None = None
    key_fingerprint: str | None = None
    times: int | None = None
    nth: int | None = None
    every: int | None = None
    count_by: CountBy = CountBy.RULE
    probability: float = 1.0
    window: Window | None = None
    wait: float = 0.0

    def matches(self, operation: StrEnum, deployment: str | None, key_fingerprint: str) -> bool:
        """Tell whether this rule is about this request."""
        return (
            self.operation in (None, operation)
            and (self.deployment in (None, deployment) or _fits(self.deployment, deployment))
            and self.key_fingerprint in (None, key_fingerprint)
        )

    def is_turn(self, number: int) -> bool:
        """Tell whether the ``number``-th request that it is about is one that shall suffer."""
        if self.every is None:
            return self.nth in (None, number)
        first = self.nth or self.every
        return number >= first and (number - first) % self.every == 0


LOST_ANSWER: Final = "lost-answer"
TLS_HANDSHAKE: Final = "tls-handshake"
NAMES: Final = (
    LOST_ANSWER,
    "cut",
    "reset",
    "reset-after",
    "delay",
    "status",
    "html",
    "hang",
    "truncate",
    "garbage",
    "drip",
    "content-type",
    "stale-date",
    "refuse",
    TLS_HANDSHAKE,
)
"""What a fault can be called, for the control API and the metrics."""


def lost_answer(
    operation: Operation | None = None, *, deployment: str | None = None, times: int | None = None
) -> Fault:
    """Return the fault that matters most: the seat is counted, the answer never arrives."""
    return Fault(LOST_ANSWER, Cut(), processed=True, operation=operation, deployment=deployment, times=times)


@dataclass(slots=True)
class Rule:
    """A fault that was added: its number, how often it has happened, and how many requests it was about.

    ``salt`` is its place since the seed was set, so that two rules choose independently and a replay chooses alike.
    """

    number: int
    fault: Fault
    fired: int = 0
    seen: int = 0
    salt: int = 0
    added_at: float = 0.0


class Happening(StrEnum):
    """What became of a rule, for whoever watches."""

    ADDED = "added"
    FIRED = "fired"
    REMOVED = "removed"
    CLEARED = "cleared"


class Faults:
    """The rules that are in force, in order."""

    def __init__(
        self,
        seed: int = 0,
        *,
        now: Callable[[], float] = lambda: 0.0,
        on_event: Callable[[Happening, Rule | None], None] | None = None,
    ) -> None:
        """Start without any; ``now`` gives seconds for the time windows, ``on_event`` hears what becomes of rules."""
        self._rules: list[Rule] = []
        self._last = 0
        self._salt = 0
        self._chance = Chance(seed)
        self._now = now
        self._on_event = on_event
        self.fired: dict[str, int] = dict.fromkeys(NAMES, 0)
        """How often each fault happened since the start, by name; removing rules does not change it."""

    def __bool__(self) -> bool:
        """Tell whether there are any rules, used up ones included."""
        return bool(self._rules)

    @property
    def seed(self) -> int:
        """Return what the choices at random depend on."""
        return self._chance.seed

    def reseed(self, seed: int) -> None:
        """Begin again to count and choose; the rules stay, with what they have done."""
        self._chance = Chance(seed)
        for salt, rule in enumerate(self._rules):
            rule.salt, rule.seen = salt, 0
        self._salt = len(self._rules)

    def add(self, fault: Fault) -> int:
        """Append a rule and return its number."""
        self._last += 1
        rule = Rule(self._last, fault, salt=self._salt, added_at=self._now())
        self._salt += 1
        self._rules.append(rule)
        self._tell(Happening.ADDED, rule)
        return self._last

    def remove(self, number: int) -> bool:
        """Remove one rule; False if there is none with this number."""
        for place, rule in enumerate(self._rules):
            if rule.number == number:
                del self._rules[place]
                self._tell(Happening.REMOVED, rule)
                return True
        return False

    def clear(self) -> None:
        """Remove all rules."""
        self._rules.clear()
        self._salt = 0
        self._tell(Happening.CLEARED, None)

    def rules(self) -> tuple[Rule, ...]:
        """Return the rules in order, used up ones included."""
        return tuple(self._rules)

    def pick(self, operation: StrEnum, deployment: str | None, key_fingerprint: str) -> Fault | None:
        """Return what shall happen to this request, counting it; None: the right answer.

        What was left to chance is decided in what is returned: a delay is a fixed one, garbage has its bytes.
        """
        asked = (operation, deployment or "")
        number = self._chance.count(*asked)
        for rule in self._rules:
            if (
                not isinstance(rule.fault.effect, BreakHandshake)
                and rule.fault.matches(operation, deployment, key_fingerprint)
                and self._strikes(rule, number, *asked)
            ):
                return self._decided(rule, number, *asked)
        return None

    def pick_handshake(self) -> bool:
        """Tell whether a TLS handshake that begins now shall fail, counting it."""
        asked = (TLS_HANDSHAKE, "")
        number = self._chance.count(*asked)
        return any(
            isinstance(rule.fault.effect, BreakHandshake) and self._strikes(rule, number, *asked)
            for rule in self._rules
        )

    def _strikes(self, rule: Rule, number: int, *asked: str) -> bool:
        """Tell whether a rule that is about this request happens to it, and count that."""
        fault = rule.fault
        if fault.times is not None and rule.fired >= fault.times:
            return False
        if fault.window is not None and not fault.window.holds(self._now() - rule.added_at):
            return False
        rule.seen += 1
        if not fault.is_turn(rule.seen if fault.count_by is CountBy.RULE else number):
            return False
        if fault.probability < 1.0 and self._chance.fraction(*asked, number, rule.salt) >= fault.probability:
            return False
        rule.fired += 1
        self.fired[fault.name] = self.fired.get(fault.name, 0) + 1
        self._tell(Happening.FIRED, rule)
        return True

    def _decided(self, rule: Rule, number: int, *asked: str) -> Fault:
        about = (*asked, number, rule.salt)
        match rule.fault.effect:
            case Delay() as delay if delay.distribution is not Distribution.FIXED:
                one, two = (self._chance.fraction(*about, which) for which in ("one", "two"))
                return replace(rule.fault, effect=Delay(_length(delay, one, two)))
            case Garbage(b"", size):
                # With the end of a head, so that a client sees nonsense and does not wait for the rest of it.
                end = b"\r\n\r\n"[:size]
                return replace(rule.fault, effect=Garbage(self._chance.noise(size - len(end), *about) + end))
            case _:
                return rule.fault

    def _tell(self, happening: Happening, rule: Rule | None) -> None:
        if self._on_event is not None:
            self._on_event(happening, rule)


def _length(delay: Delay, one: float, two: float) -> float:
    """Return seconds, chosen by two fractions in [0, 1)."""
    most = LONGEST_DELAY if delay.most is None else delay.most
    match delay.distribution:
        case Distribution.UNIFORM:
            chosen = delay.seconds + one * (max(most, delay.seconds) - delay.seconds)
        case Distribution.EXPONENTIAL:
            chosen = -delay.seconds * math.log(1.0 - one)
        case Distribution.LOGNORMAL:
            normal = math.sqrt(-2.0 * math.log(1.0 - one)) * math.cos(2.0 * math.pi * two)  # Box and Muller
            chosen = delay.seconds * math.exp(delay.sigma * normal)
        case Distribution.FIXED:
            chosen = delay.seconds
    return min(chosen, most)


def _fits(pattern: str | None, deployment: str | None) -> bool:
    if pattern is None or deployment is None or not ("*" in pattern or "?" in pattern):
        return False
    return _compiled(pattern).fullmatch(deployment) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = (".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", pattern))
    return re.compile("".join(parts), re.DOTALL)
