"""Builds everything from the settings: the only place that does, and with the commands the only one to import them.

What is heavy is imported where it is built, so that a command loads only what it uses.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from typing import Final, NoReturn, assert_never

from sidecar import __version__
from sidecar.adapters.activation_server import HttpActivationServer
from sidecar.adapters.icap_server import IcapServer
from sidecar.adapters.key_ring import KeyRing, read_secret_file
from sidecar.adapters.pod_sockets import others_hold_sockets
from sidecar.adapters.restart_file import FolderRestartFile
from sidecar.agent import Agent, Ports
from sidecar.config import Config, LedgerKind, Rotation
from sidecar.core.policy import IdSource, Mode, Policy, ReleaseOnStop
from sidecar.core.reasons import AppTrouble
from sidecar.core.records import Owner
from sidecar.core.servers import normalise
from sidecar.core.state import State
from sidecar.core.view import View
from sidecar.counted import CountedLedger
from sidecar.errors import AppOutage, Misconfigured
from sidecar.hook_ports import NamedPods, SecretStore, Workload
from sidecar.ledgers import Opened, cluster_api, open_ledger
from sidecar.lifecycle import Life
from sidecar.patience import PatientNamedPods
from sidecar.ports import ActivationServer, Observer
from sidecar.process_age import process_age
from sidecar.reclaim import Reclaimer
from sidecar.releaser import Rules
from sidecar.secrets import Secret

_SHORTEST_PAUSE: Final = 0.1
_SHORTEST_AFTER_REFUSAL: Final = 1.0
"""Seconds. What 0 means for the pauses between requests: a server must not be asked without any."""


def pod_deployment_id(uid: str) -> str:
    """Return the deployment ID for ``deployment_id.source: pod``: a prefix and 32 hex digits, as protocol.md describes.

    The prefix of ICAP Server is not published; ``MDLS`` says plainly that this ID was made by the sidecar.
    """
    return f"MDLS{sha256(uid.encode()).hexdigest()[:32].upper()}"


def policy_of(config: Config, owner: Owner, *, watches_pod: bool = False) -> Policy:
    """Return what the core needs of the settings."""
    source = config.deployment_id.source
    retry_cap = config.activation.retry_cap or _SHORTEST_PAUSE
    given = {IdSource.POD: pod_deployment_id(owner.uid), IdSource.FIXED: config.deployment_id.value}.get(source, "")
    return Policy(
        server=normalise(config.activation.url),
        owner=owner,
        mode=config.mode,
        route=config.activation.route,
        id_source=source,
        given_id=given,
        activate_first=config.key.rotation is Rotation.ACTIVATE_FIRST,
        late=config.activation.late,
        call_timeout=config.activation.timeout,
        retry_base=min(config.activation.retry_base or _SHORTEST_PAUSE, retry_cap),
        retry_cap=retry_cap,
        refused_retry=config.activation.refused_retry or _SHORTEST_AFTER_REFUSAL,
        renew=config.lease.renew,
        lease=config.lease.duration,
        app_interval=config.heartbeat.app,
        revalidate=config.heartbeat.revalidate,
        grace=config.heartbeat.grace,
        failure_grace=config.app.failure_grace,
        unreachable_after=config.app.unreachable_after,
        restart_after=config.refused.restart_app_after,
        drain=config.shutdown.drain,
        watches_pod=watches_pod,
        require=config.readiness.require,
    )


def activation_server(config: Config) -> HttpActivationServer:
    """Return the way to the activation server."""
    settings = config.activation
    return HttpActivationServer(
        settings.url, quantity=settings.quantity, timeout=settings.timeout, ca_file=settings.ca_file
    )


def app(config: Config, *, watches_pod: bool = False) -> IcapServer:
    """Return the way to the app; ``watches_pod``: it is a container of our pod, so the pod's network is its own."""
    file = config.app.api_key_file

    def api_key() -> Secret | None:
        if file is None:
            return None
        try:
            return read_secret_file(file, "app.api_key_file")
        except Misconfigured as fault:  # it was there at the start: a mount that is being replaced
            raise AppOutage(AppTrouble.FORBIDDEN, str(fault)) from fault

    return IcapServer(
        config.app.url,
        api_key=api_key,
        ca_file=config.app.ca_file,
        quantity=config.activation.quantity,
        comment=config.activation.comment,
        needs_deployment_id=config.deployment_id.source is IdSource.APP,
        # A native sidecar (no drain) is told to end after the app: the closed port is enough.
        lingers=others_hold_sockets if watches_pod and config.shutdown.drain > 0 else lambda: False,
    )


def reclaimer(
    config: Config,
    opened: Opened,
    keys: KeyRing,
    uid: str,
    observer: Observer,
    *,
    random: Random,
    server: ActivationServer | None = None,
    unproven: bool = False,
) -> Reclaimer:
    """Return a reclaimer that acts in the name of ``uid``; ``unproven``: see ``Rules``."""
    rules = Rules(
        server=normalise(config.activation.url),
        uid=uid,
        lease=config.lease.duration,
        late=config.activation.late,
        call_timeout=config.activation.timeout,
        rate=float(config.reclaim.rate),
        unproven=unproven,
    )
    return Reclaimer(
        rules,
        ledger=CountedLedger(opened.ledger, observer),
        owners=opened.owners,
        server=activation_server(config) if server is None else server,
        keys=keys,
        observer=observer,
        random=random,
        wall=time.time,
    )


@dataclass(frozen=True, slots=True)
class Desk:
    """What an operator's command works with: the keys and a reclaimer that acts in its name."""

    keys: KeyRing
    reclaimer: Reclaimer


@asynccontextmanager
async def desk(config: Config, *, unproven: bool = False, logs: bool = False) -> AsyncIterator[Desk]:
    """Open ledger, keys and activation server for one command, only looking on; everything is closed at the end.

    ``logs``: what the reclaimer does is written as log lines. ``unproven``: see ``Rules``.
    """
    from sidecar.observe.bystander import Bystander  # noqa: PLC0415 - a running sidecar has observers of its own
    from sidecar.observe.narrator import Narrator  # noqa: PLC0415 - the same

    observer = Bystander(Narrator(asyncio.get_running_loop().time) if logs else None)
    random = Random()  # noqa: S311 - jitter, not cryptography
    opened = open_ledger(config, observer, random, enter=False)
    keys, server = KeyRing(config.key.dir), activation_server(config)
    # Unique, for the claims of a command that was killed are not its successor's.
    uid = f"operator-{config.pod.name}-{os.getpid()}-{os.urandom(3).hex()}"
    try:
        made = reclaimer(config, opened, keys, uid, observer, random=random, server=server, unproven=unproven)
        yield Desk(keys, made)
    finally:
        await server.aclose()
        keys.close()
        await opened.close()


@asynccontextmanager
async def secret_store(config: Config, namespace: str) -> AsyncIterator[SecretStore]:
    """Open the Secrets of a namespace for one command."""
    from sidecar.adapters.secret_store import ApiSecretStore  # noqa: PLC0415 - only a hook of the chart has them

    api = cluster_api(config)
    try:
        yield ApiSecretStore(api, namespace)
    finally:
        await api.aclose()


@asynccontextmanager
async def workload(config: Config, kind: str, name: str) -> AsyncIterator[Workload]:
    """Open the way to a workload of our namespace for one command; ``kind`` is ``deployment`` or ``statefulset``."""
    from sidecar.adapters.workload import ApiWorkload  # noqa: PLC0415 - only a hook of the chart scales

    api = cluster_api(config)
    try:
        yield ApiWorkload(api, config.pod.namespace, kind, name)
    finally:
        await api.aclose()


@asynccontextmanager
async def named_pods(config: Config) -> AsyncIterator[NamedPods]:
    """Open the way to the pods of our namespace by name, for one command."""
    from sidecar.adapters.named_pods import ApiNamedPods  # noqa: PLC0415 - only import knows pods by name

    api, pod = cluster_api(config), config.pod
    try:
        pods = ApiNamedPods(api, Owner(pod=pod.name, uid=pod.uid, namespace=pod.namespace))
        yield PatientNamedPods(pods, Random(), asyncio.sleep)  # noqa: S311 - jitter, not cryptography
    finally:
        await api.aclose()


def _release(config: Config, *, kubernetes: bool) -> bool | None:
    """Return whether a stop gives the seat back; None: the own pod decides (rule 18)."""
    match config.shutdown.release:
        case ReleaseOnStop.NEVER:
            return False
        case ReleaseOnStop.ALWAYS:
            return True
        case ReleaseOnStop.AUTO:
            return None if kubernetes else True
        case other:
            assert_never(other)


class _Source:
    """What the web server shows: the agent, as it is at the moment of asking."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def view(self) -> View:
        return self._agent.view()

    def state(self) -> State:
        return self._agent.state

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return time.time()


def life(
    config: Config,
    *,
    bug: Callable[[BaseException], None],
    listening: Callable[[int], None],
    leave: Callable[[int], NoReturn],
) -> Life:
    """Build the life of ``run``; nothing has happened yet but that we became an instance of the ledger.

    Raises ``Misconfigured`` or ``LedgerOutage``.
    """
    from sidecar.observe.metrics import Metrics  # noqa: PLC0415 - the operator's commands have no metrics
    from sidecar.observe.narrator import Narrator  # noqa: PLC0415 - the same
    from sidecar.observe.observers import Observers  # noqa: PLC0415 - the same
    from sidecar.observe.pod_events import PodEvents  # noqa: PLC0415 - the same
    from sidecar.observe.pulses import Pulses  # noqa: PLC0415 - the same
    from sidecar.observe.web import Web  # noqa: PLC0415 - aiohttp is the heaviest of all

    online = config.mode is Mode.ONLINE
    kubernetes = online and config.ledger.kind is LedgerKind.KUBERNETES
    loop = asyncio.get_running_loop()
    random = Random()  # noqa: S311 - jitter, not cryptography
    pulses = Pulses(loop.time)
    metrics = Metrics(
        __version__,
        shutdown_budget=config.shutdown.budget,
        seats_configured=config.key.seats,
        revision=os.environ.get("IMAGE_REVISION", "unknown"),
        kubernetes=kubernetes,
        clock=loop.time,
    )
    observers = Observers(metrics, Narrator(loop.time), pulses)
    opened = open_ledger(config, observers, random, enter=online)
    owner = opened.owner if online else Owner(pod=config.pod.name, uid="")
    events = None
    if opened.journal is not None:
        events = PodEvents(opened.journal, loop.time)
        observers.tell_pod(events)
    keys = KeyRing(config.key.dir)
    policy = policy_of(config, owner, watches_pod=kubernetes)
    ports = Ports(
        ledger=opened.ledger,
        server=activation_server(config),
        app=app(config, watches_pod=kubernetes),
        keys=keys,
        restart_file=FolderRestartFile(config.refused.dir),
        observer=observers,
        pod=opened.pod,
    )
    agent = Agent(policy, ports, random=random, wall=time.time, age=process_age())
    reclaims = online and config.reclaim.enabled
    asks = config.mode is not Mode.OFF and config.deployment_id.source is not IdSource.POD
    return Life(
        agent=agent,
        reclaimer=reclaimer(config, opened, keys, owner.uid, observers, random=random) if reclaims else None,
        web=Web(config.http.port, _Source(agent), metrics, pulses),
        observer=observers,
        budget=config.shutdown.budget,
        drain=config.shutdown.drain,
        release=_release(config, kubernetes=kubernetes) if online else False,
        port_interval=1.0 if asks else None,
        watches_keys=online,
        watches_pod=kubernetes,
        telling=events.run if events is not None else None,
        told=events.told if events is not None else None,
        listening=listening,
        bug=bug,
        leave=leave,
    )
