"""The story in its order: what each scene is called and why it matters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mock_activation.demo import life, trouble
from mock_activation.demo.actors import LEASE
from mock_activation.demo.cast import Cast

TITLE: Final = "The life of a licence seat: taken, kept, given back, lost, reclaimed"
ABOUT: Final = (
    "Real processes on this machine: a mock of the vendor's activation server, stand-ins for ICAP Server, and the real "
    f"license-sidecar. Times are shortened (a lease of {LEASE:g} s instead of 60 s, heartbeats of 0.5 s instead of "
    "15 s), and every step is checked."
)


@dataclass(frozen=True, slots=True)
class Scene:
    """One scene: its title, why it matters, and what happens; ``play`` returns a figure for the summary."""

    title: str
    why: str
    play: Callable[[Cast], str]


SCENES: Final = (
    Scene(
        "A seat is taken",
        "A key allows a number of seats, and every pod takes one. The seat is written down before it is asked for: "
        "what nobody wrote down, nobody can give back.",
        life.take,
    ),
    Scene(
        "Heartbeat",
        "A live pod must lose neither its seat nor its app the licence. The vendor's server has no heartbeat; the "
        "sidecar has one.",
        life.keep,
    ),
    Scene(
        "The app crashes",
        "A restarted app has another deployment ID. The old one would keep its seat for ever, because nobody but the "
        "seat record knows it any more.",
        life.crash,
    ),
    Scene("SIGTERM", "A pod that ends gives its seat back at once, so that the next one can start.", life.terminate),
    Scene(
        "SIGKILL of everything",
        "A node that dies gives nothing back: this is how seats leak, until somebody writes a support ticket.",
        trouble.die,
    ),
    Scene(
        "The key is full",
        "When no seat is free, everybody must see why, and a live pod must not be robbed. A new key needs no restart.",
        trouble.fill,
    ),
    Scene(
        "An answer is lost",
        "The server counts the seat, but its answer never arrives: whoever trusts answers leaks it.",
        trouble.lose_answer,
    ),
)

END: Final = Scene(
    "The end",
    "Whatever happened: when all pods are gone, the server must count no seat, and no record may be left.",
    trouble.leave,
)
