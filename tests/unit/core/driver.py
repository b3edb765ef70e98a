"""A pod around the pure machine, on virtual time: the smallest ledger, server and app with which a rule can be told.

Every flight is answered at once and truthfully, except what a story holds back (``hold``) or lets be answered
differently (``say``). RECORD_FIRST is checked at every request, so each story is also a story about rule 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from sidecar.core import commands, events, machine
from sidecar.core.commands import Activate, ActivateByApp, Command, Deactivate, Launch, Notice, Occasion
from sidecar.core.events import Answer, Event
from sidecar.core.facts import AppContainer, AppReport, KeySnapshot, Licence, PodReport
from sidecar.core.policy import Policy
from sidecar.core.reasons import AppEnd, AppTrouble, Failure
from sidecar.core.records import Identity, Owner, Phase, SeatRecord, Stored
from sidecar.core.state import Seat, State
from sidecar.core.view import Stage, View, describe

SERVER = "https://activation.example"
KEY, NEW_KEY, THIRD_KEY = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"
ID, OTHER_ID, THIRD_ID = (f"MSCL{digit * 32}" for digit in "123")
US = Owner(pod="icap-0", uid="uid-us")
THEM = Owner(pod="icap-9", uid="uid-them")
LATE = 120.0
MANY = 500
"""More steps than this without a moment passing are a machine that runs in circles."""

Kind = TypeVar("Kind")


def identity(deployment_id: str = ID, key: str = KEY, server: str = SERVER) -> Identity:
    """Return the identity of a seat."""
    return Identity(server, key, deployment_id)


def record(
    deployment_id: str = ID, phase: Phase = Phase.ACTIVE, *, key: str = KEY, owner: Owner = US, **more: Any
) -> SeatRecord:
    """Return a seat record, renewed just now and with nothing open unless said otherwise."""
    given = {"open": False, "renewed_at": 1000.0, **more}
    return SeatRecord(identity=identity(deployment_id, key), owner=owner, phase=phase, **given)


@dataclass(slots=True)
class App:
    """What the app says; ``trouble`` instead of an answer; ``lingers``: something of it may still serve."""

    deployment_id: str | None = ID
    licensed: bool | None = False
    takes_upload: bool = True
    trouble: AppTrouble | None = None
    parts: tuple[tuple[str, bool], ...] = ()
    lingers: bool = False
    expires_at: float = 0.0


@dataclass(slots=True)
class Server:
    """The activation server: which seats are taken, how many there are for a key, and what it refuses."""

    taken: set[tuple[str, str]] = field(default_factory=set)
    seats: dict[str, int] = field(default_factory=dict)
    refuses: dict[str, Failure] = field(default_factory=dict)

    def activate(self, it: Identity) -> Failure | None:
        """Take a seat; return why not."""
        pair = it.key_fingerprint, it.deployment_id
        if it.key_fingerprint in self.refuses:
            return self.refuses[it.key_fingerprint]
        used = sum(1 for key, _ in self.taken if key == it.key_fingerprint)
        if pair not in self.taken and used >= self.seats.get(it.key_fingerprint, 10):
            return Failure.NO_SEATS
        self.taken.add(pair)
        return None

    def deactivate(self, it: Identity) -> bool:
        """Free a seat; return whether it was taken."""
        pair = it.key_fingerprint, it.deployment_id
        known = pair in self.taken
        self.taken.discard(pair)
        return known


class Scene:
    """One sidecar and its outside. ``now`` is monotonic seconds; the wall clock shows the same number."""

    def __init__(self, *own: SeatRecord, **policy: Any) -> None:
        """Make it, with records of an earlier life (or of others) in the ledger; nothing happens before ``begin``."""
        self.now = 1000.0
        self.luck = 0.5
        self.policy = Policy(server=SERVER, owner=US, **policy)
        self.state: State = machine.start(self.policy, self.now)
        self.wake_at = math.inf
        self.records: dict[str, Stored] = {}
        self.server = Server()
        self.app = App()
        self.pod = PodReport(US.uid, app=AppContainer(id="one"))
        """What the API server knows of our pod (with the policy ``watches_pod``)."""
        self.flying: list[Launch] = []
        self.told: list[tuple[float, Command]] = []
        self.exit_code: int | None = None
        self.restart_file = False
        self.prospects: frozenset[str] = frozenset()
        self._looks = False
        self._held: set[type] = set()
        self._said: dict[type, Callable[[Launch], Answer]] = {}
        self._version = 0
        self._steps = 0
        for it in own:
            self.put(it)

    # --- the story --------------------------------------------------------------------------------------------------

    def begin(self, *previous: str, key: str | None = KEY) -> Scene:
        """Start the sidecar, show it its keys and its pod, and let everything happen that can happen now."""
        self.feed(events.Tick())
        if self.policy.watches_pod:
            self.see_pod()
        self.keys(key, *previous)
        self.run()
        return self

    def keys(self, current: str | None, *previous: str, fault: str = "", warning: str = "") -> None:
        """Show the sidecar its key folder."""
        self.feed(events.KeysSeen(snapshot=KeySnapshot(current, previous, fault, warning)))

    def run(self, seconds: float = 0.0) -> None:
        """Let time pass; whatever is neither held nor said differently is answered at once."""
        end = self.now + seconds
        while True:
            while (launch := next((it for it in self.flying if type(it.command) not in self._held), None)) is not None:
                self.flying.remove(launch)
                said = self._said.get(type(launch.command), self.truth)
                self.feed(said(launch))
            if self._looks:  # as the reclaimer does when it begins to follow the ledger
                self._looks = False
                self.feed(events.ProspectsSeen(names=self.prospects))
                continue
            if self.wake_at > end:
                break
            self.now = max(self.now, self.wake_at)
            self._steps = 0
            self.feed(events.Tick())
        self.now, self._steps = end, 0

    def feed(self, event: Event) -> list[Command]:
        """Take one step."""
        self._steps += 1
        assert self._steps < MANY, "runs in circles"
        self.state, todo, self.wake_at = machine.step(self.state, self.now, replace(event, luck=self.luck))
        assert self.wake_at > self.now, "wakes up for what is due already"
        for command in todo:
            self.told.append((self.now, command))
            match command:
                case Launch():
                    self._check_record_first(command)
                    self.flying.append(command)
                case commands.Exit(code=code):
                    assert self.exit_code is None, "ends twice"
                    self.exit_code = code
                case commands.TouchRestartFile():
                    self.restart_file = True
                case commands.RemoveRestartFile():
                    self.restart_file = False
                case commands.Follow(on=on):
                    self._looks = on
                case _:
                    pass
        return todo

    def hold(self, *kinds: type) -> None:
        """Leave these commands unanswered, and without effect, until told otherwise."""
        self._held.update(kinds)

    def unhold(self, *kinds: type) -> None:
        """Answer these commands again; those that are still under way at the next ``run``."""
        self._held.difference_update(kinds)

    def say(self, kind: type, answer: type[Answer] | None, **fields: Any) -> None:
        """Answer this kind of command in this way, without effect, or truthfully again (None)."""
        if answer is None:
            self._said.pop(kind, None)
        else:
            self._said[kind] = lambda launch: answer(op=launch.op, **fields)

    def under_way(self, kind: type[Kind]) -> Launch:
        """Return the oldest unanswered flight of this kind."""
        return next(it for it in self.flying if isinstance(it.command, kind))

    def set_aside(self, kind: type[Kind]) -> Launch:
        """Take the flight of this kind away: it is only answered by a later ``feed``."""
        launch = self.under_way(kind)
        self.flying.remove(launch)
        return launch

    def answer(self, launch: Launch, answer: type[Answer] | None = None, **fields: Any) -> list[Command]:
        """Answer one flight that is held: in this way without effect, or truthfully."""
        self.flying.remove(launch)
        return self.feed(self.truth(launch) if answer is None else answer(op=launch.op, **fields))

    def see_pod(self, **changes: Any) -> None:
        """Let the API server know something else of our pod, and the watch tell it."""
        self.pod = replace(self.pod, **changes)
        self.feed(events.PodSeen(report=self.pod))

    def app_ends(self, how: AppEnd = AppEnd.EXIT, *, told: bool = True) -> None:
        """End the app's container; its port refuses, and the watch tells."""
        self.app.trouble = AppTrouble.REFUSED
        self.feed(events.Knocked(trouble=AppTrouble.REFUSED))
        assert self.pod.app is not None
        app = replace(self.pod.app, ended=how)
        if told:
            self.see_pod(app=app)
        else:
            self.pod = replace(self.pod, app=app)

    def app_is_back(self, container: str = "two", deployment_id: str = OTHER_ID) -> None:
        """Start the app's container anew: unlicensed, and the watch tells."""
        self.app = App(deployment_id)
        before = self.pod.app.restarts if self.pod.app is not None else 0
        self.see_pod(app=AppContainer(id=container, restarts=before + 1))
        self.feed(events.Knocked(trouble=None))

    def stop(self, budget: float = 20.0, *, release: bool | None = True) -> None:
        """Tell it to end."""
        self.feed(events.Stop(deadline=self.now + budget, release=release))

    def server_down(self, *, sent: bool = True) -> None:
        """Let the activation server give no definite answer."""
        for kind in (Activate, Deactivate):
            self.say(kind, events.ServerFailed, reason=Failure.NETWORK, message="cut", sent=sent)

    def server_up(self) -> None:
        """Let it answer again."""
        for kind in (Activate, Deactivate):
            self.say(kind, None)

    def ledger_down(self) -> None:
        """Let the ledger not answer."""
        for kind in (commands.ListOwn, commands.Write, commands.Erase):
            self.say(kind, events.LedgerFailed, message="no answer")

    def ledger_up(self) -> None:
        """Let it answer again."""
        for kind in (commands.ListOwn, commands.Write, commands.Erase):
            self.say(kind, None)

    def put(self, it: SeatRecord) -> Stored:
        """Write into the ledger as somebody else would."""
        self._version += 1
        stored = Stored(it, str(self._version))
        self.records[stored.name] = stored
        return stored

    # --- what can be seen -------------------------------------------------------------------------------------------

    @property
    def view(self) -> View:
        """Return what the sidecar says of itself."""
        return describe(self.state, self.now)

    @property
    def stage(self) -> Stage:
        """Return where it stands."""
        return self.view.stage

    def stored(self, deployment_id: str = ID, key: str = KEY) -> SeatRecord | None:
        """Return the record of a seat, if there is one."""
        found = self.records.get(identity(deployment_id, key).name)
        return found.record if found is not None else None

    def taken(self, deployment_id: str = ID, key: str = KEY) -> bool:
        """Tell whether the seat is taken on the server."""
        return (key, deployment_id) in self.server.taken

    def asked(self, kind: type[Kind], since: float = 0.0) -> list[Kind]:
        """Return all commands of this kind that were launched since then."""
        return [command for _, command in self.times(kind, since)]

    def times(self, kind: type[Kind], since: float = 0.0) -> list[tuple[float, Kind]]:
        """Return the same with the time of each."""
        launched = [(at, it.command) for at, it in self.told if isinstance(it, Launch) and at >= since]
        return [(at, command) for at, command in launched if isinstance(command, kind)]

    def noticed(self, occasion: Occasion, since: float = 0.0) -> list[Notice]:
        """Return the notices of this occasion."""
        notices = [it for at, it in self.told if isinstance(it, Notice) and at >= since]
        return [it for it in notices if it.occasion is occasion]

    def noticed_at(self, occasion: Occasion) -> float:
        """Return when this was noticed last."""
        return max(at for at, it in self.told if isinstance(it, Notice) and it.occasion is occasion)

    def commanded(self, kind: type[Kind], since: float = 0.0) -> list[float]:
        """Return when commands of this kind, which need no answer, were given."""
        return [at for at, it in self.told if isinstance(it, kind) and at >= since]

    @property
    def seat(self) -> Seat:
        """Return the seat that it has or wants."""
        assert isinstance(self.state.seat, Seat)
        return self.state.seat

    # --- the outside ------------------------------------------------------------------------------------------------

    def truth(self, launch: Launch) -> Answer:
        """Let the outside do what was asked and say so."""
        op = launch.op
        match launch.command:
            case commands.ListOwn():
                own = tuple(it for it in self.records.values() if it.record.owner.uid == US.uid)
                return events.Listed(op=op, own=own, wall=self.now)
            case commands.Write(record=it, over=over):
                current = self.records.get(it.identity.name)
                if (current and current.version) != (over and over.version):
                    return events.WriteLost(op=op, current=current)
                return events.Written(op=op, stored=self.put(replace(it, renewed_at=self.now)))
            case commands.Erase(stored=stored):
                current = self.records.get(stored.name)
                if current is None or current.version != stored.version:
                    return events.WriteLost(op=op, current=current)
                del self.records[stored.name]
                return events.Erased(op=op)
            case Activate(identity=it):
                refused = self.server.activate(it)
                if refused is not None:
                    return events.ActivationDeclined(op=op, reason=refused, sentence=f"no: {refused}")
                return events.Activated(op=op, licence=Licence(it.deployment_id.encode()))
            case Deactivate(identity=it):
                return events.Deactivated(op=op, unknown=not self.server.deactivate(it))
            case commands.LookAtPod():
                return events.PodLooked(op=op, report=self.pod)
            case commands.Knock():
                return events.PortTried(op=op, refused=self.app.trouble is AppTrouble.REFUSED)
            case command:
                return self._app_truth(op, command)

    def _app_truth(self, op: int, command: commands.AppCommand) -> Answer:
        app = self.app
        if app.trouble is not None:
            return events.AppFailed(op=op, trouble=app.trouble, message=f"app is {app.trouble}", lingers=app.lingers)
        match command:
            case commands.AskApp():
                report = AppReport(app.deployment_id, app.licensed, app.parts, expires_at=app.expires_at)
                return events.AppSeen(op=op, report=report)
            case commands.Upload() if not app.takes_upload:
                return events.UploadDeclined(op=op, message="404")
            case ActivateByApp(identity=it) if self.server.activate(it) is not None:
                return events.AppFailed(op=op, trouble=AppTrouble.BROKEN, message="500", sent=True)
            case _:
                app.licensed = True
                return events.Delivered(op=op)

    def _check_record_first(self, launch: Launch) -> None:
        if isinstance(launch.command, (Activate, ActivateByApp)):
            stored = self.records.get(launch.command.identity.name)
            assert stored is not None, "RECORD_FIRST: no record"
            assert stored.record.owner.uid == US.uid, "RECORD_FIRST: somebody else's record"
            assert stored.record.open, "RECORD_FIRST: the record does not say that a request may be under way"
