"""Opens the ledger that the settings name, and what depends on its kind: who we are, and who else lives.

A part of ``wiring`` of its own: the agent's process and the operator's commands both begin here.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from sidecar.config import Config, LedgerKind
from sidecar.core.policy import Mode
from sidecar.core.records import Owner
from sidecar.patience import LONG, SHORT, PatientLedger, PatientOwners
from sidecar.ports import Ledger, Observer, Owners, OwnPod, PodJournal

if TYPE_CHECKING:
    from sidecar.adapters.kubernetes_api import KubernetesApi


@dataclass(frozen=True, slots=True)
class Opened:
    """A ledger with its surroundings; ``pod`` and ``journal`` are None outside Kubernetes."""

    owner: Owner
    ledger: Ledger
    owners: Owners
    close: Callable[[], Awaitable[None]]
    pod: OwnPod | None = None
    journal: PodJournal | None = None


def open_ledger(config: Config, observer: Observer, random: Random, *, enter: bool) -> Opened:
    """Open it; ``enter``: become an instance of it (``run``), else only look on (an operator's command).

    Raises ``Misconfigured`` (the settings do not fit this place, another process has our name) or ``LedgerOutage``.
    """
    if config.mode is Mode.ONLINE and config.ledger.kind is LedgerKind.KUBERNETES:
        return _leases(config, observer, random, enter=enter)
    return _files(config, random, enter=enter)


def _files(config: Config, random: Random, *, enter: bool) -> Opened:
    from sidecar.adapters.disk_thread import DiskThread  # noqa: PLC0415 - not in Kubernetes
    from sidecar.adapters.file_instances import FileInstances  # noqa: PLC0415 - the same
    from sidecar.adapters.file_ledger import FileLedger  # noqa: PLC0415 - the same

    disk, folder = DiskThread("ledger"), config.ledger.dir
    instances = FileInstances.enter(folder, config.pod.name, disk) if enter else FileInstances(folder, disk)

    async def close() -> None:
        instances.close()

    ledger = PatientLedger(FileLedger(folder, disk), random, asyncio.sleep)
    return Opened(instances.owner, ledger, instances, close)


def cluster_api(config: Config) -> KubernetesApi:
    """Return the API server of the pod that we run in. Raises ``Misconfigured``."""
    from sidecar.adapters.kubernetes_api import KubernetesApi  # noqa: PLC0415 - only in Kubernetes
    from sidecar.adapters.service_account import ServiceAccount  # noqa: PLC0415 - the same

    return KubernetesApi(ServiceAccount.of_pod(os.environ, config.ledger.account_dir))


def _leases(config: Config, observer: Observer, random: Random, *, enter: bool) -> Opened:
    from sidecar.adapters.lease_ledger import LeaseLedger  # noqa: PLC0415 - only in Kubernetes
    from sidecar.adapters.pod_journal import ApiPodJournal  # noqa: PLC0415 - the same
    from sidecar.adapters.pods import ApiOwners, OwnApiPod  # noqa: PLC0415 - the same

    pod = config.pod
    owner = Owner(pod=pod.name, uid=pod.uid, namespace=pod.namespace, node=pod.node, release=pod.release)
    api = cluster_api(config)
    leases = LeaseLedger(api, config.ledger.namespace, lease=config.lease.duration, random=random, observer=observer)
    # A running sidecar comes back to what failed; a person's command has only this one try.
    longest = SHORT if enter else LONG
    return Opened(
        owner,
        PatientLedger(leases, random, asyncio.sleep, longest=longest),
        PatientOwners(ApiOwners(api, owner, observer), random, asyncio.sleep, longest=longest),
        api.aclose,
        OwnApiPod(api, owner, config.app.container, random=random, observer=observer),
        ApiPodJournal(api, owner, observer, time.time),
    )
