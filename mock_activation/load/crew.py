"""All clients together: who asks for what and when, and what they believe about the seats.

Bounded: by requests, by time, and by one request on its way for each client. A client that got no answer gives the
seat back before anything else: until that is answered, its seat is in doubt and counts neither way.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter, deque
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, Self
from urllib.parse import SplitResult

from mock_activation.load.client import Client, Step, Verdict
from mock_activation.load.histogram import Histogram

_TICK: Final = 0.005
_RECONNECT: Final = 0.05
_GLANCE: Final = 0.25
_CONNECTING: Final = 100
_MOST_UNANSWERED: Final = 100_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How the load shall be; times in seconds."""

    url: SplitResult
    keys: Sequence[str]
    clients: int
    seconds: float
    churn: float = 0.5
    """The probability that a client gives its seat back instead of asking for it again."""
    rate: float = 0.0
    """Requests a second of all clients together; 0: as many as are answered."""
    requests: int = 0
    """No more than these; 0: no limit."""
    timeout: float = 10.0
    seed: int = 0
    tls: ssl.SSLContext | None = None


@dataclass(slots=True)
class Tally:
    """What was answered."""

    answers: Counter[tuple[Step, Verdict]] = field(default_factory=Counter)
    latency: dict[Step, Histogram] = field(default_factory=lambda: {step: Histogram() for step in Step})
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        """Return how many requests were answered or given up."""
        return self.answers.total()


class Crew:
    """The clients of one plan; ``async with`` connects them, and cuts them at the end."""

    def __init__(self, plan: Plan, run: str, on_glance: Callable[[Crew], None] = lambda _crew: None) -> None:
        """Prepare; ``run`` are eight hexadecimal digits that are in each deployment ID of this run.

        ``on_glance`` is called several times a second.
        """
        self.plan = plan
        self.mark = f"LOAD{run}"
        """How all deployment IDs of this run begin."""
        self.tally = Tally()
        """Of what goes on, or went on last."""
        self._random = Random(plan.seed)  # noqa: S311 - repeatable on purpose
        self._clients = [
            Client(number, plan.keys[number % len(plan.keys)], self._answered, self._lost)
            for number in range(plan.clients)
        ]
        self._idle: deque[Client] = deque()
        self._last_id = 0
        self._sent, self._most = 0, 0
        self._unanswered: dict[str, None] = {}
        self._choose: Callable[[Client], Step | None] = self._churn
        self._on_glance = on_glance
        self._running = False
        self._paced = False
        self._closing = False
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Connect all clients. Raises ``OSError`` if the server cannot be reached."""
        gate = asyncio.Semaphore(_CONNECTING)

        async def connect(client: Client) -> OSError | None:
            async with gate:
                try:
                    await self._open(client)
                except OSError as error:
                    return error
            return None

        for error in await asyncio.gather(*map(connect, self._clients)):
            if error is not None:
                self._close()
                raise error
        self._idle.extend(self._clients)
        await self._group.__aenter__()
        self._start(self._look_round(), "time-outs")
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        """Cut all connections."""
        self._close()
        await self._group.__aexit__(None, None, None)

    async def play(self, stop: asyncio.Event) -> Tally:
        """Take, ask again and give back until the plan's end or ``stop``, and wait for the last answers."""
        self._choose, self._most = self._churn, self.plan.requests
        return await self._run(self.plan.seconds, self.plan.rate, stop.is_set)

    async def give_back(self) -> Tally:
        """Give all seats back, also those in doubt; after twice the time-out what is not answered stays in doubt."""
        self._choose, self._most = _home, 0
        return await self._run(2 * self.plan.timeout, 0.0, lambda: not (self.believed() or self.in_doubt()))

    def believed(self) -> set[str]:
        """Return the deployment IDs that must have a seat."""
        return {client.deployment for client in self._clients if client.has_seat}

    def may_come_late(self) -> Collection[str]:
        """Return the last deployment IDs of which an activation got no answer: the server may do it after all."""
        return self._unanswered.keys()

    def in_doubt(self) -> set[str]:
        """Return the deployment IDs that may have a seat."""
        return {client.deployment for client in self._clients if client.in_doubt}

    # -- when --------------------------------------------------------------------------------------------------------

    async def _run(self, seconds: float, rate: float, is_over: Callable[[], object]) -> Tally:
        clock = asyncio.get_running_loop().time
        self.tally = Tally()
        begin, self._sent = clock(), 0
        self._running, self._paced = True, rate > 0
        while not self._is_spent() and not is_over():
            passed = self.tally.seconds = clock() - begin
            if passed >= seconds:
                break
            # Without a rate each answer brings the next request, and idle is only who has no connection or no step.
            due = int(rate * passed) - self._sent if rate else len(self._idle)
            for _ in range(min(due, len(self._idle))):
                self._ask(self._idle.popleft())
            await asyncio.sleep(_TICK)
        self._running = False
        while any(client.asked_at is not None for client in self._clients):  # noqa: ASYNC110 - bounded by the time-out
            await asyncio.sleep(_TICK)
        self.tally.seconds = clock() - begin
        return self.tally

    def _ask(self, client: Client) -> None:
        step = self._choose(client) if self._running and client.connected and not self._is_spent() else None
        if step is None:
            self._idle.append(client)
            return
        if step is Step.ACTIVATE and not client.has_seat:
            self._last_id += 1
            client.deployment = f"{self.mark}{client.number:08x}{self._last_id:016x}"
        self._sent += 1
        client.ask(step, self.plan.url.path)

    def _is_spent(self) -> bool:
        return 0 < self._most <= self._sent

    async def _look_round(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(_GLANCE)
            self._on_glance(self)
            late = clock() - self.plan.timeout
            for client in self._clients:
                if client.asked_at is not None and client.asked_at < late:
                    client.abort()

    # -- what --------------------------------------------------------------------------------------------------------

    def _churn(self, client: Client) -> Step:
        if client.in_doubt or (client.has_seat and self._random.random() < self.plan.churn):
            return Step.DEACTIVATE
        return Step.ACTIVATE

    def _answered(self, client: Client, step: Step, verdict: Verdict, seconds: float) -> None:
        self.tally.answers[step, verdict] += 1
        if verdict is not Verdict.FAILED:
            self.tally.latency[step].add(seconds)
        elif step is Step.ACTIVATE:
            self._unanswered[client.deployment] = None
            if len(self._unanswered) > _MOST_UNANSWERED:
                del self._unanswered[next(iter(self._unanswered))]
        if self._paced:
            self._idle.append(client)
        else:
            self._ask(client)

    # -- connections -------------------------------------------------------------------------------------------------

    async def _open(self, client: Client) -> None:
        url, tls = self.plan.url, self.plan.tls
        port = url.port or (80 if tls is None else 443)
        async with asyncio.timeout(self.plan.timeout):
            await asyncio.get_running_loop().create_connection(lambda: client, url.hostname or "", port, ssl=tls)

    def _lost(self, client: Client) -> None:
        if not self._closing:
            self._start(self._reopen(client), f"client {client.number}")

    async def _reopen(self, client: Client) -> None:
        while not client.connected:
            await asyncio.sleep(_RECONNECT)
            try:
                await self._open(client)
            except OSError:
                continue

    def _start(self, work: Coroutine[None, None, None], name: str) -> None:
        task = self._group.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _close(self) -> None:
        self._closing, self._running = True, False
        for task in self._tasks:
            task.cancel()
        for client in self._clients:
            client.abort()


def _home(client: Client) -> Step | None:
    return Step.DEACTIVATE if client.has_seat or client.in_doubt else None
