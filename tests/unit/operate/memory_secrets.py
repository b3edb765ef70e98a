"""Secrets in memory with the API server's semantics; it runs through the same contract as the real thing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sidecar.errors import LedgerOutage
from sidecar.hook_ports import SecretChanged, SecretContent, StoredSecret


@dataclass
class MemorySecrets:
    """The port ``SecretStore``.

    ``script``: what comes instead of the next calls, None for nothing. ``before``: done first at every write, as if by
    others. ``lost``: writes whose answer is lost although they are carried out.
    """

    held: dict[str, StoredSecret] = field(default_factory=dict)
    script: list[Exception | None] = field(default_factory=list)
    before: Callable[[], Awaitable[None]] | None = None
    lost: int = 0
    calls: list[tuple[str, str]] = field(default_factory=list)
    _version: int = 0

    async def read(self, name: str) -> StoredSecret | None:
        self._call("read", name)
        return self.held.get(name)

    async def create(self, name: str, content: SecretContent) -> None:
        self._call("create", name)
        if self.before is not None:
            await self.before()
        if name in self.held:
            raise SecretChanged(f"{name} is there by now")
        self.put(name, content)
        self._lose()

    async def replace(self, stored: StoredSecret, content: SecretContent) -> None:
        self._call("replace", stored.name)
        if self.before is not None:
            await self.before()
        current = self.held.get(stored.name)
        if current is None or current.origin["version"] != stored.origin["version"]:
            raise SecretChanged(f"{stored.name} is another by now")
        self.put(stored.name, content, immutable=current.immutable)
        self._lose()

    def put(self, name: str, content: SecretContent, *, immutable: bool = False, deleting: bool = False) -> None:
        """Write without asking, as an administrator does."""
        self._version += 1
        self.held[name] = StoredSecret(
            name=name,
            data=dict(content.data),
            labels=dict(content.labels),
            annotations=dict(content.annotations),
            immutable=immutable,
            deleting=deleting,
            origin={"version": self._version},
        )

    def version(self, name: str) -> int:
        """Return the version of a Secret that is there."""
        version: int = self.held[name].origin["version"]
        return version

    def texts(self, name: str) -> dict[str, str]:
        """Return the values of a Secret that is there."""
        return {field: value.decode() for field, value in self.held[name].data.items()}

    def _call(self, verb: str, name: str) -> None:
        self.calls.append((verb, name))
        trouble = self.script.pop(0) if self.script else None
        if trouble is not None:
            raise trouble

    def _lose(self) -> None:
        if self.lost:
            self.lost -= 1
            raise LedgerOutage("the connection was cut")
