"""The outside of one machine as a model of a few lines: server, ledger, app, and a network that does what it likes.

A call is *processed* (takes effect) and *delivered* (its answer reaches the machine) independently of each other. A
request to the activation server takes effect within ``LATE`` seconds of being sent, or never. Must not decide anything
for the machine: who calls what and when is drawn by hypothesis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from sidecar.core import commands, events, machine
from sidecar.core.commands import Activate, ActivateByApp, AskApp, Command, Deactivate, Launch, Upload
from sidecar.core.events import Answer, Event
from sidecar.core.facts import AppReport, KeySnapshot, Licence
from sidecar.core.policy import Policy
from sidecar.core.reasons import AppTrouble, Cause, Failure
from sidecar.core.records import Claim, Identity, Owner, Stored
from sidecar.core.replacement import replace
from sidecar.core.state import State, Stopping

SERVER = "https://activation.example"
US = Owner(pod="icap-0", uid="uid-us")
KEYS = ("aaaaaaaaaaaa", "bbbbbbbbbbbb")
LATE = 120.0
CIRCLE = 2000
"""More steps than this in one go are a machine that runs in circles."""

Pair = tuple[str, str]


@dataclass(slots=True, eq=False)
class Call:
    """One call of one incarnation: its answer once it was processed, and who still waits for it."""

    launch: Launch
    life: int
    sent_at: float
    answer: Answer | None = None
    awaited: bool = True
    lost: bool = False

    @property
    def pending(self) -> bool:
        """Tell whether it may still take effect."""
        return self.answer is None and not self.lost

    @property
    def takes(self) -> Pair | None:
        """Return the seat that it may still take."""
        command = self.launch.command
        if self.pending and isinstance(command, (Activate, ActivateByApp)):
            return pair(command.identity)
        return None


@dataclass(slots=True)
class App:
    """The app: licensed by a seat, or not; another ID at each start unless it keeps it."""

    up: bool = True
    deployment_id: str = "MSCL0"
    licensed_by: Pair | None = None
    takes_upload: bool = True
    starts: int = 0


def pair(identity: Identity) -> Pair:
    """Return a seat as the server knows it."""
    return identity.key_fingerprint, identity.deployment_id


@dataclass(slots=True)
class Outside:
    """Everything but the machine, and the machine's current incarnation."""

    policy: Policy
    now: float = 1000.0
    luck: float = 0.5
    taken: set[Pair] = field(default_factory=set)
    seats: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KEYS, 1))
    others: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KEYS, 0))
    invalid: set[str] = field(default_factory=set)
    records: dict[str, Stored] = field(default_factory=dict)
    app: App = field(default_factory=App)
    key: str = KEYS[0]
    seen_keys: list[str] = field(default_factory=lambda: [KEYS[0]])
    calls: list[Call] = field(default_factory=list)
    life: int = 0
    state: State | None = None
    wake_at: float = math.inf
    exit_code: int | None = None
    stop_by: float = math.inf
    last_report: AppReport | None = None
    heard_at: float = 0.0
    version: int = 0

    # --- the machine's life -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start an incarnation and show it the keys."""
        self.life += 1
        self.exit_code, self.stop_by, self.last_report = None, math.inf, None
        self.state = machine.start(self.policy, self.now)
        self.feed(events.Tick())
        self.show_keys()

    def crash(self) -> None:
        """End the incarnation without a word: its requests to the server may still take effect, nothing else."""
        self.state, self.wake_at = None, math.inf
        for call in self.calls:
            call.awaited = False
            if isinstance(call.launch.command, (commands.ListOwn, commands.Write, commands.Erase, AskApp, Upload)):
                call.lost = True

    def reclaim(self, *, claims: bool, deactivates: bool, erases: bool) -> None:
        """Let a peer begin to take back what the dead incarnation left, and be interrupted (rule 12)."""
        if not claims:
            return
        for stored in list(self.records.values()):
            self.version += 1
            record = replace(stored.record, claim=Claim(by="uid-them", at=self.now))
            self.records[stored.name] = Stored(record, str(self.version))
            if deactivates or erases:
                self.taken.discard(pair(record.identity))
            if erases and not record.open:
                del self.records[stored.name]

    def show_keys(self) -> None:
        """Let the machine see the key folder."""
        previous = tuple(it for it in self.seen_keys if it != self.key)
        self.feed(events.KeysSeen(snapshot=KeySnapshot(self.key, previous)))

    def feed(self, event: Event) -> None:
        """Take one step of the living incarnation."""
        if self.state is None:
            return
        self.state, todo, self.wake_at = machine.step(self.state, self.now, replace(event, luck=self.luck))
        assert self.wake_at > self.now, "wakes up for what is due already"
        for command in todo:
            self._carry_out(command)
        if self.exit_code is not None:
            assert self.now <= self.stop_by, "BOUNDED_STOP"
            self.crash()

    def _carry_out(self, command: Command) -> None:
        match command:
            case Launch(command=asked):
                if isinstance(asked, (Activate, ActivateByApp)):
                    stored = self.records.get(asked.identity.name)
                    assert stored is not None, f"RECORD_FIRST: {asked}"
                    assert stored.record.open, f"RECORD_FIRST, open: {asked}"
                if isinstance(asked, Deactivate):
                    self._check_no_theft(asked)
                self.calls.append(Call(command, self.life, self.now))
            case commands.Exit(code=code):
                self.exit_code = code
            case _:
                pass

    def _check_no_theft(self, asked: Deactivate) -> None:
        assert self.state is not None
        if isinstance(self.state.stopping, Stopping):
            return
        if asked.identity.key_fingerprint != self.key and (
            not self.policy.activate_first or asked.cause is Cause.APP_FAILURE
        ):
            return  # release-first; or an app that was silent for so long that its old seat was given up
        if self.now - self.heard_at >= self.policy.unreachable_after:
            return  # rule 17: so long a silence counts as its end
        seat = pair(asked.identity)
        others = {it for it in self.taken if it[1] == seat[1] and it != seat}
        serving = self.app.up and self.app.licensed_by == seat and seat in self.taken and not others
        assert not serving, f"NO_THEFT, by our own side: {asked}"

    # --- the network ------------------------------------------------------------------------------------------------

    def open_calls(self) -> list[Call]:
        """Return the calls of which something can still happen, oldest first."""
        self.calls = [it for it in self.calls if it.pending or it.awaited]
        return self.calls

    def process(self, call: Call) -> None:
        """Let a call take effect now."""
        if call.pending:
            call.answer = self._truth(call)

    def deliver(self, call: Call, answer: Answer | None = None) -> None:
        """Let the machine have this answer, or the true one."""
        if not call.awaited:
            return
        call.awaited = False
        told = answer if answer is not None else call.answer
        assert told is not None
        if isinstance(told, events.AppSeen):
            self.last_report, self.heard_at = told.report, self.now
        self.feed(told)

    def cut(self, call: Call, *, sent: bool) -> None:
        """Let the machine know that there will be no answer; what was sent may still take effect."""
        op, text = call.launch.op, "cut"
        match call.launch.command:
            case Activate() | Deactivate():
                call.lost = call.lost or not sent
                sent = sent or call.answer is not None
                self.deliver(call, events.ServerFailed(op=op, reason=Failure.NETWORK, message=text, sent=sent))
            case commands.ListOwn() | commands.Write() | commands.Erase():
                call.lost = True
                self.deliver(call, events.LedgerFailed(op=op, message=text))
            case ActivateByApp():
                self.deliver(call, events.AppFailed(op=op, trouble=AppTrouble.BROKEN, message=text, sent=True))
            case _:
                call.lost = True
                self.deliver(call, events.AppFailed(op=op, trouble=AppTrouble.BROKEN, message=text))

    def expire(self) -> None:
        """Give up requests that are older than ``LATE``."""
        for call in self.calls:
            if isinstance(call.launch.command, (Activate, Deactivate, ActivateByApp)):
                call.lost = call.lost or (call.pending and self.now > call.sent_at + LATE)

    # --- time -------------------------------------------------------------------------------------------------------

    def wait(self, seconds: float, *, calm: bool) -> None:
        """Let time pass; when ``calm``, every call is answered truthfully and at once."""
        end = self.now + seconds
        for _ in range(CIRCLE):
            if calm and (call := next((it for it in self.open_calls() if it.awaited), None)) is not None:
                if not call.pending and call.answer is None:
                    self.cut(call, sent=True)
                    continue
                self.process(call)
                self.deliver(call)
            elif self.wake_at <= end:
                self.now = self.wake_at
                self.expire()
                self.feed(events.Tick())
            else:
                self.now = end
                self.expire()
                return
        raise AssertionError("runs in circles")

    # --- what takes effect ------------------------------------------------------------------------------------------

    def _truth(self, call: Call) -> Answer:
        op = call.launch.op
        match call.launch.command:
            case commands.ListOwn():
                return events.Listed(op=op, own=tuple(self.records.values()), wall=self.now)
            case commands.Write(record=record, over=over):
                return self._write(op, replace(record, renewed_at=self.now), over)
            case commands.Erase(stored=stored):
                current = self.records.get(stored.name)
                if current is None or current.version != stored.version:
                    return events.WriteLost(op=op, current=current)
                del self.records[stored.name]
                return events.Erased(op=op)
            case Activate(identity=identity):
                refused = self._activate(pair(identity))
                if refused is not None:
                    return events.ActivationDeclined(op=op, reason=refused, sentence="no")
                return events.Activated(op=op, licence=Licence(" ".join(pair(identity)).encode()))
            case Deactivate(identity=identity):
                known = pair(identity) in self.taken
                self.taken.discard(pair(identity))
                return events.Deactivated(op=op, unknown=not known)
            case command:
                return self._app_truth(op, command)

    def _write(self, op: int, record: commands.SeatRecord, over: Stored | None) -> Answer:
        current = self.records.get(record.identity.name)
        if (current and current.version) != (over and over.version):
            return events.WriteLost(op=op, current=current)
        self.version += 1
        stored = Stored(record, str(self.version))
        self.records[stored.name] = stored
        return events.Written(op=op, stored=stored)

    def _activate(self, seat: Pair) -> Failure | None:
        key = seat[0]
        if key in self.invalid:
            return Failure.INVALID_KEY
        used = self.others[key] + sum(1 for it in self.taken if it[0] == key)
        if seat not in self.taken and used >= self.seats[key]:
            return Failure.NO_SEATS
        self.taken.add(seat)
        return None

    def _app_truth(self, op: int, command: commands.AppCommand) -> Answer:
        app = self.app
        if not app.up:
            return events.AppFailed(op=op, trouble=AppTrouble.REFUSED, message="refused")
        match command:
            case AskApp():
                return events.AppSeen(op=op, report=AppReport(app.deployment_id, app.licensed_by is not None))
            case Upload(licence=licence):
                key, _, deployment_id = licence.body.decode().partition(" ")
                if not app.takes_upload or deployment_id != app.deployment_id:
                    return events.UploadDeclined(op=op, message="404")
                app.licensed_by = key, deployment_id
                return events.Delivered(op=op)
            case ActivateByApp(identity=identity):
                # The gap of route `product`, left out here: a container that replaced the one we saw takes a seat for
                # an ID that nobody has written down yet. It is seen, and recorded, with the next look at the app.
                seat = pair(identity)
                if identity.deployment_id != app.deployment_id or self._activate(seat) is not None:
                    return events.AppFailed(op=op, trouble=AppTrouble.BROKEN, message="500", sent=True)
                app.licensed_by = seat
                return events.Delivered(op=op)
