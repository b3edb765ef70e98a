"""What the commands of the chart's hooks ask of Kubernetes besides the ledger, as small Protocols.

Beside ``ports``, which is the agent's side: a running sidecar uses none of this, and its Role allows none of it. What
the API server does not do is a ``LedgerOutage`` here too; ``lasting`` says that somebody must change something first,
such as a Role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sidecar.core.records import Sight
from sidecar.errors import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSecret:
    """A Secret as the API server has it.

    ``data`` holds the values themselves and is never shown. ``origin`` is the adapter's own, to write over.
    """

    name: str
    data: Mapping[str, bytes] = field(repr=False)
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    immutable: bool = False
    deleting: bool = False
    origin: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretContent:
    """What a Secret shall hold: all of it, not what changes. ``data`` is never shown."""

    data: Mapping[str, bytes] = field(repr=False)
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


class SecretChanged(Refused):
    """The Secret is another than the one that was to be written over, or one is there where none was."""


class SecretStore(Protocol):
    """The Secrets of one namespace. All calls raise ``LedgerOutage``; one call is one attempt."""

    async def read(self, name: str) -> StoredSecret | None:
        """Return a Secret, or None."""

    async def create(self, name: str, content: SecretContent) -> None:
        """Write a Secret that must not exist yet. Raises ``SecretChanged``; ``Refused`` if it is not taken at all."""

    async def replace(self, stored: StoredSecret, content: SecretContent) -> None:
        """Write over exactly this version. Raises ``SecretChanged``; ``Refused`` if it is not taken at all."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How many pods a workload is to have, and the label selector by which they are found (empty: not told)."""

    wanted: int
    selector: str = ""


@dataclass(frozen=True, slots=True)
class Remaining:
    """The pods of a workload that have not ended; ``leaving`` of them are being deleted."""

    pods: int
    leaving: int = 0


class Workload(Protocol):
    """A Deployment or StatefulSet of our own namespace. All calls raise ``LedgerOutage``."""

    async def extent(self) -> Extent | None:
        """Return how many pods it is to have; None where there is no such workload."""

    async def scale_to_zero(self) -> Extent | None:
        """Let it have no pods any more; None where there is no such workload."""

    async def remaining(self, selector: str) -> Remaining:
        """Count its pods."""


class NamedPods(Protocol):
    """The pods of our own namespace, by name only: older automation wrote down no uid."""

    async def look(self, name: str) -> Sight | None:
        """Tell whether a pod of this name lives; None if it is no name of a pod.

        Raises ``LedgerOutage`` where looking itself fails.
        """
