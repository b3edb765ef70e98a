"""The shell around the pure machine: feeds it events, carries out its commands, and keeps one timer.

``feed`` is synchronous: one step, the commands started, the timer armed again. It decides nothing; whoever wants to
know why something happens reads ``core``. There is no queue, and no task waits for time: a flight is a task for as
long as its one call lasts, and every deadline is in the state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from random import Random
from typing import Protocol

from sidecar.core import commands, events, machine
from sidecar.core.commands import Launch
from sidecar.core.events import Answer, Event
from sidecar.core.policy import POD_LOOK, Policy
from sidecar.core.reasons import AppTrouble
from sidecar.core.records import Identity, SeatRecord
from sidecar.core.replacement import replace
from sidecar.core.state import AppLost, State, Stopping
from sidecar.core.view import View, describe
from sidecar.errors import (
    ActivationOutage,
    ActivationRefused,
    AppOutage,
    Conflict,
    LedgerOutage,
    UploadRefused,
)
from sidecar.ports import (
    ActivationServer,
    App,
    Deactivation,
    Keys,
    Ledger,
    Observer,
    Outcome,
    OwnPod,
    RestartFile,
    Target,
)
from sidecar.secrets import Secret

LOOP = "agent"
LONGEST_SLEEP = 60.0
"""The timer comes at least this often, so that ``/livez`` can tell a quiet agent from a dead one."""
LIVE_LIMIT = 2 * LONGEST_SLEEP


class Scout(Protocol):
    """The reclaimer as the agent sees it."""

    def scan_now(self) -> None:
        """Scan the ledger soon: a seat is wanted."""

    def follow(self, on: bool) -> None:
        """Watch the ledger for seats that become free, or stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The outside, as the agent needs it."""

    ledger: Ledger
    server: ActivationServer
    app: App
    keys: Keys
    restart_file: RestartFile
    observer: Observer
    pod: OwnPod | None = None
    """None outside Kubernetes."""


class Agent:
    """One seat's keeper. Its only state is the machine's, the timer, and the tasks of the flights."""

    def __init__(
        self, policy: Policy, ports: Ports, *, random: Random, wall: Callable[[], float], age: float = 0.0
    ) -> None:
        """Make it; nothing happens before ``start``.

        ``wall`` tells seconds since the epoch. ``age``: for how many seconds the process has lived.
        """
        self.policy = policy
        self.finished: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._ports = ports
        self._random = random
        self._wall = wall
        self._loop = asyncio.get_running_loop()
        self._state = machine.start(policy, self._loop.time() - age)
        self._timer: asyncio.TimerHandle | None = None
        self._ops: asyncio.TaskGroup | None = None
        self._scout: Scout | None = None
        self._keys_wanted = asyncio.Event()

    @property
    def state(self) -> State:
        """Return what the machine knows."""
        return self._state

    def view(self) -> View:
        """Return what can be said now."""
        return describe(self._state, self._loop.time())

    def start(self, ops: asyncio.TaskGroup, scout: Scout | None) -> None:
        """Begin; flights are tasks of ``ops``. The file ``restart-app`` of an earlier life is removed."""
        self._ops = ops
        self._scout = scout
        self._restart_file(self._ports.restart_file.remove)
        self.feed(events.Tick(luck=self._random.random()))

    def stop(self, deadline: float, *, release: bool | None) -> None:
        """Tell the machine to end by ``deadline`` (loop time); ``finished`` brings the exit code.

        ``release`` None: it finds out first whether the pod ends (rule 18).
        """
        self.feed(events.Stop(deadline=deadline, release=release, luck=self._random.random()))

    def feed(self, event: Event) -> None:
        """Take one step with this event: commands are started, the timer is armed again."""
        now = self._loop.time()
        self._state, todo, wake_at = machine.step(self._state, now, event)
        for command in todo:
            self._carry_out(command)
        self._arm(now, wake_at)
        self._ports.observer.turned(LOOP, LIVE_LIMIT)
        self._ports.observer.stepped(self._state, now)

    def _arm(self, now: float, wake_at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.finished.done():
            return
        self._timer = self._loop.call_at(min(wake_at, now + LONGEST_SLEEP), self._tick)

    def _tick(self) -> None:
        try:
            self.feed(events.Tick(luck=self._random.random()))
        except Exception as bug:  # noqa: BLE001 - a timer has no task that could fail: hand the bug to whoever waits
            if not self.finished.done():
                self.finished.set_exception(bug)

    # --- senses: endless loops that the lifecycle owns and cancels at the stop ----------------------------------------

    async def watch_keys(self, interval: float) -> None:
        """Read the key folder every ``interval`` seconds, and at once when the machine asks for it."""
        while True:
            self._keys_wanted.clear()
            await self.read_keys()
            self._ports.observer.turned("keys", interval + 30.0)
            await self._pause(self._keys_wanted, interval)

    async def read_keys(self) -> None:
        """Read the key folder once."""
        snapshot = await self._ports.keys.poll()
        if snapshot != self._state.key.snapshot:
            self.feed(events.KeysSeen(snapshot=snapshot, luck=self._random.random()))

    async def watch_port(self, interval: float) -> None:
        """Knock at the app's port every ``interval`` seconds: outside Kubernetes nothing else tells that it ended."""
        while True:
            trouble = None
            try:
                await self._ports.app.knock()
            except AppOutage as outage:
                trouble = outage.trouble
            contact = self._state.app.contact
            known = contact.trouble if isinstance(contact, AppLost) else None
            if trouble is not None or known is AppTrouble.REFUSED:
                self.feed(events.Knocked(trouble=trouble, luck=self._random.random()))
            self._ports.observer.turned("port", interval + 30.0)
            await asyncio.sleep(interval)

    async def watch_pod(self, limit: float) -> None:
        """Watch our own pod for ever; it must tell something at least once in ``limit`` seconds (``/livez``)."""
        if self._ports.pod is None:
            raise AssertionError("there is no pod to watch")
        self._ports.observer.turned("pod", limit)
        async with aclosing(self._ports.pod.follow()) as reports:
            async for report in reports:
                if isinstance(report, LedgerOutage):
                    self.feed(events.PodUnseen(message=str(report), luck=self._random.random()))
                else:
                    self.feed(events.PodSeen(report=report, luck=self._random.random()))
                self._ports.observer.turned("pod", limit)

    async def _pause(self, wanted: asyncio.Event, seconds: float) -> None:
        handle = self._loop.call_later(seconds, wanted.set)
        try:
            await wanted.wait()
        finally:
            handle.cancel()

    # --- commands -----------------------------------------------------------------------------------------------------

    def _carry_out(self, command: commands.Command) -> None:
        match command:
            case Launch():
                if self._ops is None:
                    raise AssertionError("commands before start")
                self._ops.create_task(self._fly(command), name=f"{type(command.command).__name__}-{command.op}")
            case commands.Notice():
                self._ports.observer.noticed(command)
            case commands.TouchRestartFile():
                self._restart_file(self._ports.restart_file.touch)
            case commands.RemoveRestartFile():
                self._restart_file(self._ports.restart_file.remove)
            case commands.PollKeys():
                self._keys_wanted.set()
            case commands.ScanNow():
                if self._scout is not None:
                    self._scout.scan_now()
            case commands.Follow(on=on):
                if self._scout is not None:
                    self._scout.follow(on)
                elif on:
                    # Nobody looks (reclaim.enabled is off), so nothing is known to become free; not within this step.
                    self._loop.call_soon(self.feed, events.ProspectsSeen(names=frozenset()))
            case commands.Exit(code=code):
                if not self.finished.done():
                    self.finished.set_result(code)

    def _restart_file(self, act: Callable[[], None]) -> None:
        try:
            act()
        except OSError as error:
            # The folder is shared with the app and may be missing where the app has no such liveness probe.
            text = f"refused.dir: {error.strerror or type(error).__name__}"
            notice = commands.Notice(occasion=commands.Occasion.RESTART_FAILED, text=text)
            self._ports.observer.noticed(notice)

    async def _fly(self, launch: Launch) -> None:
        """Make one call and report its answer; only a bug leaves this function as an exception."""
        target, operation = _NAMES[type(launch.command)]
        began = self._loop.time()
        outcome = Outcome.ERROR
        try:
            answer = await self._call(launch)
            outcome = _outcome(answer)
        finally:
            self._ports.observer.requested(target, operation, outcome, self._loop.time() - began)
        self.feed(replace(answer, luck=self._random.random()))

    async def _call(self, launch: Launch) -> Answer:
        op = launch.op
        match launch.command:
            case commands.ListOwn() | commands.Write() | commands.Erase() as command:
                try:
                    return await self._ask_ledger(op, command)
                except Conflict as conflict:
                    return events.WriteLost(op=op, current=conflict.current)
                except LedgerOutage as outage:
                    return events.LedgerFailed(op=op, message=str(outage), retry_after=outage.retry_after)
            case commands.LookAtPod():
                return await self._look_at_pod(op)
            case commands.Knock():
                return await self._knock(op)
            case commands.Activate() | commands.Deactivate() as command:
                try:
                    return await self._ask_server(op, command)
                except ActivationRefused as refused:
                    return events.ActivationDeclined(op=op, reason=refused.reason, sentence=refused.sentence)
                except ActivationOutage as outage:
                    return events.ServerFailed(
                        op=op,
                        reason=outage.reason,
                        message=str(outage),
                        sent=outage.sent,
                        retry_after=outage.retry_after,
                    )
            case command:
                try:
                    return await self._ask_app(op, command)
                except UploadRefused as refused:
                    return events.UploadDeclined(op=op, message=str(refused))
                except AppOutage as outage:
                    return events.AppFailed(
                        op=op,
                        trouble=outage.trouble,
                        message=str(outage),
                        sent=outage.sent,
                        lingers=outage.lingers and not await self._container_ended(),
                    )

    async def _container_ended(self) -> bool:
        """Tell whether a stop may take the app's container for ended, because the pod's status says so (rule 17)."""
        if self._ports.pod is None or not isinstance(self.state.stopping, Stopping):
            return False
        try:
            async with asyncio.timeout(POD_LOOK):
                report = await self._ports.pod.look()
        except (LedgerOutage, TimeoutError):
            return False
        return not report.uid or (report.app is not None and report.app.ended is not None)

    async def _look_at_pod(self, op: int) -> Answer:
        if self._ports.pod is None:
            raise AssertionError("there is no pod to look at")
        try:
            return events.PodLooked(op=op, report=await self._ports.pod.look())
        except LedgerOutage as outage:
            return events.PodUnanswered(op=op, message=str(outage), retry_after=outage.retry_after)

    async def _knock(self, op: int) -> Answer:
        try:
            await self._ports.app.knock()
        except AppOutage as outage:
            return events.PortTried(op=op, refused=outage.trouble is AppTrouble.REFUSED)
        return events.PortTried(op=op, refused=False)

    async def _ask_ledger(self, op: int, command: commands.ListOwn | commands.Write | commands.Erase) -> Answer:
        ledger = self._ports.ledger
        match command:
            case commands.ListOwn():
                listing = await ledger.list()
                own = tuple(it for it in listing.records if it.record.owner.uid == self.policy.owner.uid)
                return events.Listed(op=op, own=own, wall=self._wall())
            case commands.Write(record=record, over=None):
                return events.Written(op=op, stored=await ledger.create(self._stamped(record, None)))
            case commands.Write(record=record, over=over) if over is not None:
                return events.Written(op=op, stored=await ledger.replace(over, self._stamped(record, over.record)))
            case commands.Erase(stored=stored):
                await ledger.erase(stored)
                return events.Erased(op=op)
            case _:
                raise AssertionError(type(command).__name__)

    def _stamped(self, record: SeatRecord, before: SeatRecord | None) -> SeatRecord:
        """Set the times of a record; they are hints for people, so the machine does not carry them."""
        wall = self._wall()
        created = before.created_at if before is not None and before.created_at else wall
        return replace(record, created_at=created, renewed_at=wall)

    async def _ask_server(self, op: int, command: commands.ServerCommand) -> Answer:
        key = self._key(command.identity)
        match command:
            case commands.Activate(identity=identity):
                licence = await self._ports.server.activate(key, identity.deployment_id)
                return events.Activated(op=op, licence=licence)
            case commands.Deactivate(identity=identity):
                answer = await self._ports.server.deactivate(key, identity.deployment_id)
                return events.Deactivated(op=op, unknown=answer is Deactivation.UNKNOWN)

    async def _ask_app(self, op: int, command: commands.AskApp | commands.Upload | commands.ActivateByApp) -> Answer:
        app = self._ports.app
        match command:
            case commands.AskApp():
                return events.AppSeen(op=op, report=await app.report())
            case commands.Upload(licence=licence):
                await app.upload(licence)
            case commands.ActivateByApp(identity=identity):
                await app.activate(self._key(identity))
        return events.Delivered(op=op)

    def _key(self, identity: Identity) -> Secret:
        key = self._ports.keys.reveal(identity.key_fingerprint)
        if key is None:
            raise AssertionError("the machine asked with a key that was never seen")
        return key


_NAMES: dict[type, tuple[Target, str]] = {
    commands.ListOwn: (Target.LEDGER, "list"),
    commands.Write: (Target.LEDGER, "write"),
    commands.Erase: (Target.LEDGER, "erase"),
    commands.Activate: (Target.ACTIVATION_SERVER, "activate"),
    commands.Deactivate: (Target.ACTIVATION_SERVER, "deactivate"),
    commands.LookAtPod: (Target.LEDGER, "pod"),
    commands.AskApp: (Target.APP, "report"),
    commands.Knock: (Target.APP, "knock"),
    commands.Upload: (Target.APP, "upload"),
    commands.ActivateByApp: (Target.APP, "activate"),
}


def _outcome(answer: Answer) -> Outcome:
    match answer:
        case events.ActivationDeclined() | events.UploadDeclined() | events.WriteLost():
            return Outcome.REFUSED
        case events.ServerFailed() | events.LedgerFailed() | events.AppFailed() | events.PodUnanswered():
            return Outcome.RETRYABLE
        case _:
            return Outcome.OK
