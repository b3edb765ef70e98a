"""Probes and hooks of a container, made from the node as the kubelet makes them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tests.chart.kubelet.container import Container
from tests.chart.kubelet.network import Node

Object = dict[str, Any]
Told = Callable[[bool], Awaitable[None]]
_OK: Final = range(200, 400)
_SOON: Final = 0.2


class Prober:
    """Asks one container, in its pod's network, at its address."""

    def __init__(self, node: Node, address: str, spec: Object, container: Container) -> None:
        self._node = node
        self._address = address
        self._spec = spec
        self._container = container
        self.last = ""
        """What the last failure said."""

    async def watch(self, name: str, told: Told) -> None:
        """Carry out a probe for ever and tell each change, after ``successThreshold`` or ``failureThreshold``."""
        probe = self._spec[name]
        period = probe.get("periodSeconds", 10)
        needed = {True: probe.get("successThreshold", 1), False: probe.get("failureThreshold", 3)}
        await asyncio.sleep(probe.get("initialDelaySeconds", 0))
        state: bool | None = None
        before, streak = False, 0
        while True:
            result = await self.ask(probe)
            streak = streak + 1 if result == before else 1
            before = result
            if result != state and streak >= needed[result]:
                state = result
                await told(result)
            # Who waits to become ready is asked often, so that no test waits for a period.
            waits = name == "readinessProbe" and not state
            await asyncio.sleep(min(_SOON, period) if waits else period)

    async def until_started(self) -> bool:
        """Carry out the startup probe, if there is one, until it passes or has failed too often."""
        probe = self._spec.get("startupProbe")
        if probe is None:
            return True
        period = probe.get("periodSeconds", 10)
        end = time.monotonic() + probe.get("initialDelaySeconds", 0) + period * probe.get("failureThreshold", 3)
        while time.monotonic() < end:
            if await self.ask(probe):
                return True
            # A kubelet would wait for the whole period; nothing here depends on how slow a start is.
            await asyncio.sleep(min(_SOON, period))
        return False

    async def ask(self, action: Object) -> bool:
        """Carry out one probe or hook."""
        limit = action.get("timeoutSeconds", 1)
        match action:
            case {"exec": {"command": command}}:
                code, said = await self._container.execute(command, limit)
                if code:
                    self.last = said.strip()
                return code == 0
            case {"sleep": {"seconds": seconds}}:
                await asyncio.sleep(seconds)
                return True
            case {"tcpSocket": target}:
                return await self._within(limit, self._connects(target))
            case {"httpGet": target}:
                return await self._within(limit, self._answers(target))
        raise AssertionError(f"nobody here knows this probe: {action}")

    async def _within(self, limit: float, attempt: Awaitable[bool]) -> bool:
        try:
            async with asyncio.timeout(limit):
                return await attempt
        except (OSError, TimeoutError, ValueError) as error:
            self.last = str(error) or "it took too long"
            return False

    async def _connects(self, target: Object) -> bool:
        _, writer = await self._open(target)
        writer.close()
        return True

    async def _answers(self, target: Object) -> bool:
        reader, writer = await self._open(target)
        try:
            request = f"GET {target.get('path', '/')} HTTP/1.1\r\nHost: {self._address}\r\nConnection: close\r\n\r\n"
            writer.write(request.encode())
            answer = (await reader.read(4096)).decode(errors="replace")
        finally:
            writer.close()
        status = int(answer.split(" ", 2)[1])
        if status not in _OK:
            self.last = answer.partition("\r\n\r\n")[2].strip() or str(status)
        return status in _OK

    async def _open(self, target: Object) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        port = target["port"]
        if isinstance(port, str):
            port = next(it["containerPort"] for it in self._spec["ports"] if it["name"] == port)
        return await connect(self._node, self._address, port)


async def connect(node: Node, address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect from the node."""
    plug = node.socket()
    plug.settimeout(0)
    try:
        await asyncio.get_running_loop().sock_connect(plug, (address, port))
        return await asyncio.open_connection(sock=plug)
    except BaseException:
        plug.close()
        raise
