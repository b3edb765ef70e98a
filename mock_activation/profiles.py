"""Named sets of faults, from a quiet day to a hostile network: what a rehearsal is chosen from.

A profile replaces all rules and sets the seed, so that a run can be replayed with two words. Data, and one function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mock_activation.answers import Outcome
from mock_activation.faults import (
    CAPTIVE_PORTAL,
    LOST_ANSWER,
    TLS_HANDSHAKE,
    BreakHandshake,
    Cut,
    Delay,
    Distribution,
    Drip,
    Fault,
    Faults,
    Garbage,
    Hang,
    Operation,
    Redate,
    Refuse,
    Reply,
    Reset,
    Retype,
    Truncate,
    Window,
)

MOST_SEED: Final = 2**53 - 1
"""The largest whole number that every reader of JSON keeps."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A name, what it stands for, and its rules in order."""

    name: str
    summary: str
    faults: tuple[Fault, ...] = ()


_HOSTILE: Final = (
    Fault(TLS_HANDSHAKE, BreakHandshake(), probability=0.03),
    Fault(LOST_ANSWER, Cut(), processed=True, probability=0.04),
    Fault("reset-after", Reset(), processed=True, probability=0.03),
    Fault("reset", Reset(), probability=0.03),
    Fault("cut", Cut(), probability=0.03),
    Fault("delay", Delay(15.0, Distribution.UNIFORM, most=90.0), probability=0.02),
    Fault("delay", Delay(8.0, Distribution.EXPONENTIAL, most=60.0), processed=True, probability=0.02),
    Fault("hang", Hang(), probability=0.01),
    Fault("hang", Hang(), processed=True, probability=0.01),
    Fault("status", Reply(503, b"503\n", retry_after="20"), probability=0.03),
    Fault("status", Reply(429, b"429\n", retry_after_date=10.0, date_offset=-3600.0), probability=0.02),
    Fault("status", Reply(502, b"502\n"), processed=True, probability=0.02),
    Fault("status", Reply(500, b"500\n"), probability=0.02),
    # Of activations only: "200" to a deactivation that never happened is a lie that no client could see through.
    Fault("status", Reply(200, b""), operation=Operation.ACTIVATION, probability=0.02),
    Fault("html", Reply(200, CAPTIVE_PORTAL, "text/html"), probability=0.02),
    Fault("garbage", Garbage(), probability=0.02),
    Fault("truncate", Truncate(0.5), probability=0.03),
    Fault("drip", Drip(0.05, 32), probability=0.02),
    Fault("content-type", Retype(), probability=0.03),
    Fault("stale-date", Redate(), probability=0.03),
    Fault("delay", Delay(0.3, Distribution.LOGNORMAL, most=8.0, sigma=1.0), probability=0.3),
)

PROFILES: Final = {
    profile.name: profile
    for profile in (
        Profile("calm", "no fault at all"),
        Profile("hostile", "every fault now and then: about a third of the requests get no usable answer", _HOSTILE),
        Profile(
            "outage",
            "nothing works: resets, silence, 503",
            (
                Fault(TLS_HANDSHAKE, BreakHandshake(), probability=0.2),
                Fault("reset", Reset(), probability=0.4),
                Fault("hang", Hang(), probability=0.25),
                Fault("status", Reply(503, b"503\n", retry_after="30")),
            ),
        ),
        Profile(
            "flapping",
            "a minute up, half a minute down, and so on",
            (Fault("cut", Cut(), window=Window(60.0, 90.0, 90.0)),),
        ),
        Profile(
            "no-seats",
            "new deployments are told that all seats are in use; those that are active stay so",
            (Fault("refuse", Refuse(Outcome.NO_SEATS), operation=Operation.ACTIVATION),),
        ),
        Profile(
            "expired",
            "every activation is told that the licence has expired",
            (Fault("refuse", Refuse(Outcome.EXPIRED), operation=Operation.ACTIVATION),),
        ),
        Profile(
            "captive-portal",
            "a web page asks for a sign-in, with status 200",
            (Fault("html", Reply(200, CAPTIVE_PORTAL, "text/html")),),
        ),
    )
}
"""By name, in the order in which they are shown."""


def choose(faults: Faults, name: str, seed: int) -> None:
    """Put a profile's rules in the place of all rules, and begin to choose by ``seed``. ``KeyError``: no such name."""
    profile = PROFILES[name]
    faults.clear()
    faults.reseed(seed)
    for fault in profile.faults:
        faults.add(fault)
