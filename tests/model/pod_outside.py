"""The outside of one machine in Kubernetes: its own pod, whose status is told late or not at all, and peers that look.

The pod's truth and what was told of it are two things: invariants are judged by the truth, and rule 15 by what the
machine had been told. Like ``outside``, it decides nothing for the machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from sidecar.core import commands, events
from sidecar.core.commands import Activate, Command, Deactivate, Knock, Launch, LookAtPod, Write
from sidecar.core.events import Answer, Event
from sidecar.core.facts import AppContainer, PodReport
from sidecar.core.reasons import AppEnd, AppTrouble
from sidecar.core.records import Claim, Phase, Stored
from sidecar.core.replacement import replace
from sidecar.core.state import Deciding, Running, Stopping
from tests.model.outside import LATE, US, Call, Outside, pair


@dataclass(slots=True)
class OwnPod:
    """Our pod as it really is; ``ends_at``: when the grace period of a deletion is over."""

    exists: bool = True
    deleting: bool = False
    ends_at: float = math.inf

    @property
    def stays(self) -> bool:
        """Tell whether a seat may be taken for it."""
        return self.exists and not self.deleting


@dataclass(slots=True)
class InItsPod(Outside):
    """Everything but the machine, with a pod around it."""

    pod: OwnPod = field(default_factory=OwnPod)
    watching: bool = True
    undecided: bool = False
    """The stop under way was told without ``release``: the machine finds out."""
    told_end: bool = False
    known: bool = False
    """The machine was shown that its pod is ours."""
    lags: bool = False
    """The status still says that the app's container has ended, and it is back."""
    hangs: bool = False
    """The app's port does not answer; its container runs."""
    drains_until: float = -math.inf
    """The app has closed its REST port, and still serves the connections that it has; so long the sidecar may wait."""
    proven: bool = True
    blind: bool = False
    """Looks at pods are not answered, whatever else is."""
    again: Write | None = None
    """What this step writes that was not there, or was claimed."""
    lost_at: float = -math.inf
    looks: dict[int, float] = field(default_factory=dict)
    """When each look was answered by the API server, by operation."""

    def start(self) -> None:
        """Start an incarnation; it sees its pod before anything else, for nothing happens before that."""
        self.told_end, self.proven, self.lost_at, self.undecided = False, True, -math.inf, False
        self.known = False
        self.looks.clear()
        Outside.start(self)
        if self.watching:
            self.tell()

    def report(self) -> PodReport:
        """Return the pod's status as the API server knows it now."""
        if not self.pod.exists:
            return PodReport("")
        left = None if self.pod.ends_at == math.inf else self.pod.ends_at - self.now
        app = AppContainer(
            f"c{self.app.starts}", self.app.starts, AppEnd.EXIT if self.lags or not self.app.up else None
        )
        return PodReport(US.uid, deleting=self.pod.deleting, grace_left=left, app=app)

    def tell(self) -> None:
        """Let the watch tell how the pod is now, or that it cannot see it."""
        if self.watching:
            self.feed(events.PodSeen(report=self.report()))
        else:
            self.feed(events.PodUnseen(message="cut"))

    def feed(self, event: Event) -> None:
        """Take one step, keeping in mind what the machine was told of its pod."""
        if self.state is None:
            return
        if isinstance(event, (events.PodSeen, events.PodLooked)) and isinstance(self.state.stopping, Running):
            self.told_end = self.told_end or not (event.report.uid == US.uid and not event.report.deleting)
        if isinstance(event, events.PodLooked) and self.looks.get(event.op, -math.inf) >= self.lost_at:
            self.proven = event.report.uid == US.uid and not event.report.deleting
        if isinstance(event, (events.PodSeen, events.PodLooked)):
            self.known = self.known or event.report.uid == US.uid
        doubted_at = self.state.pod.doubted_at
        self.again = None
        Outside.feed(self, event)
        # Not every lost write is a loss: it may have been superseded, or be a debt's.
        lost = isinstance(event, events.WriteLost) and self.state is not None
        pod = self.state.pod if lost and self.state is not None else None
        # Nor is a look of the very same moment older than the loss: time stands still between two steps here.
        if pod is not None and pod.doubted_at == self.now > max(doubted_at, pod.looked_at):
            self.proven, self.lost_at = False, self.now
            assert self.again is None, f"rule 15: writes a lost record in the same breath: {self.again}"

    def _carry_out(self, command: Command) -> None:
        if isinstance(command, Launch):
            assert self.state is not None
            asked = command.command
            if isinstance(asked, (commands.ListOwn, commands.Erase, Write)):
                assert self.known, "who we are is proven before the ledger is touched"
            if isinstance(asked, Activate):
                assert not self.told_end, "rule 15: asks for a seat although its pod ends"
            if isinstance(asked, Write) and asked.record.phase in (Phase.ACTIVATING, Phase.ACTIVE):
                again = asked.over is None or asked.over.record.claim is not None
                assert not again or self.proven, f"rule 15: writes a lost record before it looked: {asked}"
                self.again = asked if again else self.again
        Outside._carry_out(self, command)

    def _check_no_theft(self, asked: Deactivate) -> None:
        assert self.state is not None
        serving = self.app.up and self.app.licensed_by == pair(asked.identity)
        if isinstance(self.state.stopping, Stopping):
            theft = serving and self.undecided and self.pod.stays and pair(asked.identity) in self.taken
            assert not theft, f"NO_THEFT: only the sidecar was told to stop: {asked}"
            assert not serving or self.now >= self.drains_until, f"NO_THEFT: it still drains: {asked}"
            return
        self.heard_at = self.now  # silence of the port releases nothing here, however long it is
        Outside._check_no_theft(self, asked)

    def cut(self, call: Call, *, sent: bool) -> None:
        """Let the machine know that there will be no answer."""
        match call.launch.command:
            case LookAtPod():
                call.lost = True
                self.deliver(call, events.PodUnanswered(op=call.launch.op, message="cut"))
            case Knock():
                call.lost = True
                self.deliver(call, events.PortTried(op=call.launch.op, refused=False))
            case _:
                Outside.cut(self, call, sent=sent)

    def crash(self) -> None:
        """End the incarnation without a word."""
        Outside.crash(self)
        for call in self.calls:
            call.lost = call.lost or isinstance(call.launch.command, (LookAtPod, Knock))

    def _truth(self, call: Call) -> Answer:
        op = call.launch.op
        match call.launch.command:
            case LookAtPod() if self.blind:
                return events.PodUnanswered(op=op, message="down")
            case LookAtPod():
                self.looks[op] = self.now
                return events.PodLooked(op=op, report=self.report())
            case Knock():
                return events.PortTried(op=op, refused=not self.app.up or self.drains_until > -math.inf)
            case commands.AskApp() if self.app.up and self.drains_until > -math.inf:
                return events.AppFailed(op=op, trouble=AppTrouble.REFUSED, message="refused", lingers=True)
            case commands.AskApp() | commands.Upload() | commands.ActivateByApp() if self.hangs:
                return events.AppFailed(op=op, trouble=AppTrouble.SILENT, message="hangs")
            case _:
                return Outside._truth(self, call)

    # --- peers and ends ---------------------------------------------------------------------------------------------

    def claim(self, *, deactivates: bool, erases: bool) -> None:
        """Let a peer take a record of ours that lives: an operator by force, or because our pod is gone."""
        for stored in list(self.records.values()):
            self.version += 1
            record = replace(stored.record, claim=Claim(by="uid-them", at=self.now))
            self.records[stored.name] = Stored(record, str(self.version))
            if deactivates:
                self.taken.discard(pair(record.identity))
            if deactivates and erases and not record.open:
                del self.records[stored.name]

    def stop(self, budget: float) -> None:
        """Tell the sidecar to end, and to find out itself whether its pod does."""
        self.undecided = True
        self.stop_by = self.now + budget
        self.feed(events.Stop(deadline=self.stop_by, release=None))
        if self.state is not None:
            assert isinstance(self.state.stopping, (Deciding, Stopping)), "still running"

    def bury(self) -> None:
        """Let peers finish what a gone pod left, and another pod begin in its place."""
        self.crash()
        self.now += 2 * LATE + 1
        self.expire()
        for stored in list(self.records.values()):
            self.taken.discard(pair(stored.record.identity))
            del self.records[stored.name]
        assert not self.taken, "NO_LEAK: a seat that no peer can find"
        self.pod, self.watching, self.drains_until = OwnPod(), True, -math.inf
        self.app.up, self.app.licensed_by = True, None
        self.app.starts += 1
        self.app.deployment_id = f"MSCL{self.app.starts}"
        self.start()
