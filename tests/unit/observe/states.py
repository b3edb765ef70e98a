"""States of the machine to look at, and a clock that stands still until it is told to go on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sidecar.core.facts import AppReport, KeySnapshot, Licence
from sidecar.core.machine import start
from sidecar.core.policy import Mode, Policy
from sidecar.core.reasons import AppTrouble, Cause, Failure
from sidecar.core.records import Identity, Owner, Phase, SeatRecord, Stored
from sidecar.core.release import Release
from sidecar.core.state import (
    AppLost,
    AppMet,
    AppView,
    Ask,
    Delivered,
    Denied,
    Held,
    KeyView,
    LedgerView,
    Outage,
    Prospects,
    Refusal,
    Seat,
    ServerView,
    State,
    Stopping,
    Undelivered,
)

KEY = "ABCD-EFGH-IJKL-MNOP-QRST-UVWX-YZ12"
FINGERPRINT = "0123456789ab"
ID = "MSIC00000000000000000000000000000001"
OTHER_ID = "MSIC00000000000000000000000000000002"
NOW = 1000.0
WALL = 1_800_000_000.0
POLICY = Policy(server="https://activation.example", owner=Owner("web-0", "uid-0"))
IDENTITY = Identity(POLICY.server, FINGERPRINT, ID)
REPORT = AppReport(deployment_id=ID, licensed=True, product="ICAP", expires_at=WALL + 86400 * 30)

NEVER_MET = AppLost(None, AppTrouble.REFUSED, "its port refuses connections", NOW - 3, NOW - 3)


class Clock:
    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def record(identity: Identity = IDENTITY, **more: Any) -> SeatRecord:
    """Return an active record."""
    values: dict[str, Any] = {
        "identity": identity,
        "owner": POLICY.owner,
        "phase": Phase.ACTIVE,
        "open": False,
        "created_at": WALL - 60,
        "renewed_at": WALL - 5,
    }
    return SeatRecord(**(values | more))


def starting(policy: Policy = POLICY) -> State:
    """Nothing is known yet."""
    return start(policy, NOW - 100)


def listed(policy: Policy = POLICY) -> State:
    """Ledger read, key known, app unlicensed: everything is there to ask for a seat."""
    return replace(
        starting(policy),
        ledger=LedgerView(listed=True),
        key=KeyView(KeySnapshot(current=FINGERPRINT)),
        app=AppView(contact=AppMet(replace(REPORT, licensed=False), NOW - 1), next_at=NOW + 14),
        seat=Seat(identity=IDENTITY, ask=Ask(NOW)),
    )


def active() -> State:
    """Seat held, app licensed."""
    seat = Seat(
        identity=IDENTITY,
        stored=Stored(record(), "v1"),
        tenure=Held(NOW - 50),
        delivery=Delivered(NOW - 49),
        ask=Ask(NOW + 3600),
    )
    app = AppView(contact=AppMet(REPORT, NOW - 1), next_at=NOW + 14, confirmed_at=NOW - 1)
    return replace(listed(), seat=seat, app=app, active_since=NOW - 50)


def record_lost() -> State:
    """Seat held, app licensed, and the record was taken away."""
    state = active()
    assert isinstance(state.seat, Seat)
    return replace(state, seat=replace(state.seat, stored=None, ask=Ask(NOW), lost_at=NOW - 5))


def delivering() -> State:
    """Seat held, the licence not yet with the app."""
    state = active()
    assert isinstance(state.seat, Seat)
    licence = Licence(b"a licence", expires_at=WALL + 1000)
    unlicensed = AppMet(replace(REPORT, licensed=False, expires_at=0.0), NOW - 1)
    return replace(
        state,
        seat=replace(state.seat, delivery=Undelivered(licence, NOW + 3, 1)),
        app=replace(state.app, contact=unlicensed, confirmed_at=None),
    )


def refused(sentence: str = "All seats are in use", reason: Failure = Failure.NO_SEATS) -> State:
    """Refused by the server."""
    refusal = Refusal(reason, sentence, NOW - 20, 3)
    return replace(listed(), server=ServerView(refusal=refusal, not_before=NOW + 42), prospects=Prospects(frozenset()))


def waiting() -> State:
    """Refused, and a seat is about to become free."""
    return replace(refused(), prospects=Prospects(frozenset({"seat-1"}), 2))


def refused_yet_licensed() -> State:
    """App licensed although the server refuses: grace with an end."""
    state = refused()
    assert isinstance(state.seat, Seat)
    met = AppMet(REPORT, NOW - 1)
    return replace(state, app=replace(state.app, contact=met), seat=replace(state.seat, tenure=Denied(NOW - 20, True)))  # noqa: FBT003


def app_silent() -> State:
    """Active, then the app no longer answers: grace with an end."""
    state = active()
    lost = AppLost(REPORT, AppTrouble.SILENT, "no answer within 10 s", NOW - 5, NOW - 5)
    return replace(state, app=replace(state.app, contact=lost, failures=2))


def server_silent() -> State:
    """Outage of the server."""
    outage = Outage(Failure.TIMEOUT, "activation server: no answer within 10 s", NOW - 7, 4)
    return replace(listed(), server=ServerView(outage=outage, not_before=NOW + 8))


def ledger_down(state: State) -> State:
    """Return the same with a ledger that fails."""
    ledger = LedgerView(
        listed=True, failures=3, down_since=NOW - 9, message="ledger.dir: read-only", not_before=NOW + 1
    )
    return replace(state, ledger=ledger)


def stopping(state: State) -> State:
    """Return the same on the way out."""
    debts = ()
    if isinstance(state.seat, Seat) and state.seat.stored is not None:
        stored = state.seat.stored
        debts = (Release(record=stored.record, stored=stored, cause=Cause.SHUTDOWN, since=NOW),)
    return replace(state, stopping=Stopping(NOW, NOW + 20, True, NOW), debts=debts)  # noqa: FBT003


def off() -> State:
    """Mode `off`."""
    return starting(replace(POLICY, mode=Mode.OFF))


def observing() -> State:
    """Mode `observe`, app licensed."""
    return replace(active(), policy=replace(POLICY, mode=Mode.OBSERVE))
