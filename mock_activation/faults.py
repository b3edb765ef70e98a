"""Scripted misbehaviour: what happens to which request instead of, or on top of, the right answer.

Pure: this module only says what is to be done; ``activation_api`` does it. Rules are tried in the order in which they
were added, the first that matches is used up by one. It does not choose at random and does not read a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Operation(StrEnum):
    """The two requests that the activation server knows."""

    ACTIVATION = "activation"
    DEACTIVATION = "deactivation"


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection is closed without a byte of an answer."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Everything happens, ``seconds`` later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hang:
    """The request is accepted and never answered."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Another answer. ``retry_after`` is the header's text: seconds or an HTTP date; empty: no header."""

    status: int
    body: bytes
    content_type: str = "text/plain"
    retry_after: str = ""


Effect = Cut | Delay | Hang | Reply


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule: which requests, how many of them (None: until it is removed), and what happens to them.

    ``processed``: the pool handles the request first, then the effect takes the place of (or delays) its answer, so
    a seat can be taken that nobody was told about. Otherwise the pool never sees the request (``Delay``: sees it late,
    even if the client has gone by then).
    """

    name: str
    effect: Effect
    processed: bool = False
    operation: Operation | None = None
    deployment: str | None = None
    key_fingerprint: str | None = None
    times: int | None = None

    def matches(self, operation: Operation, deployment: str | None, key_fingerprint: str) -> bool:
        """Tell whether this rule is about this request."""
        return (
            self.operation in (None, operation)
            and self.deployment in (None, deployment)
            and self.key_fingerprint in (None, key_fingerprint)
        )


CAPTIVE_PORTAL: Final = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n"

LOST_ANSWER: Final = "lost-answer"
NAMES: Final = (LOST_ANSWER, "cut", "delay", "status", "html", "hang")
"""What a fault can be called, for the control API and the metrics."""


def lost_answer(
    operation: Operation | None = None, *, deployment: str | None = None, times: int | None = None
) -> Fault:
    """Return the fault that matters most: the seat is counted, the answer never arrives."""
    return Fault(LOST_ANSWER, Cut(), processed=True, operation=operation, deployment=deployment, times=times)


@dataclass(slots=True)
class Rule:
    """A fault that was added: its number, and how often it has happened."""

    number: int
    fault: Fault
    fired: int = 0


class Faults:
    """The rules that are in force, in order."""

    def __init__(self) -> None:
        """Start without any."""
        self._rules: list[Rule] = []
        self._last = 0
        self.fired: dict[str, int] = dict.fromkeys(NAMES, 0)
        """How often each fault happened since the start, by name; removing rules does not change it."""

    def __bool__(self) -> bool:
        """Tell whether there are any rules, used up ones included."""
        return bool(self._rules)

    def add(self, fault: Fault) -> int:
        """Append a rule and return its number."""
        self._last += 1
        self._rules.append(Rule(self._last, fault))
        return self._last

    def remove(self, number: int) -> bool:
        """Remove one rule; False if there is none with this number."""
        before = len(self._rules)
        self._rules = [rule for rule in self._rules if rule.number != number]
        return len(self._rules) < before

    def clear(self) -> None:
        """Remove all rules."""
        self._rules.clear()

    def rules(self) -> tuple[Rule, ...]:
        """Return the rules in order, used up ones included."""
        return tuple(self._rules)

    def pick(self, operation: Operation, deployment: str | None, key_fingerprint: str) -> Fault | None:
        """Return what shall happen to this request, counting it; None: the right answer."""
        for rule in self._rules:
            fault = rule.fault
            if fault.times is not None and rule.fired >= fault.times:
                continue
            if fault.matches(operation, deployment, key_fingerprint):
                rule.fired += 1
                self.fired[fault.name] = self.fired.get(fault.name, 0) + 1
                return fault
        return None
