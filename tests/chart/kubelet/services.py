"""Services for the pods: a proxy on the node for each address and port, and every name in the pods' /etc/hosts.

It stands for kube-proxy and the cluster's DNS. Only endpoints that are ready are asked, in turn; with none the
connection is closed at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tests.chart.kubelet.network import Node
from tests.chart.kubelet.probes import connect

Object = dict[str, Any]
Key = tuple[str, str]
API_SERVER: Final = ("default", "kubernetes")
_CHUNK: Final = 65536


class Services:
    """What watches of services and their endpoint slices have told, and what follows from it."""

    def __init__(self, node: Node, api_server: str) -> None:
        """Take the node and the API server's address on this machine, where its Service leads."""
        self._node = node
        parts = urlsplit(api_server)
        self._api_server = (parts.hostname or "", parts.port or 443)
        self._services: dict[Key, Object] = {}
        self._slices: dict[Key, Object] = {}
        self._proxies: dict[tuple[str, int], asyncio.Server] = {}
        self._hosts: dict[Path, str] = {}
        self._turn = itertools.count()
        self._connections: set[asyncio.Task[None]] = set()

    async def service(self, event: str, it: Object) -> None:
        """Take an event of a service."""
        _fold(self._services, event, it)
        wanted = {
            (one["spec"]["clusterIP"], port["port"]): (key, port.get("name", ""))
            for key, one in self._services.items()
            if one["spec"].get("clusterIP", "None") != "None"
            for port in one["spec"].get("ports", ())
        }
        for gone in set(self._proxies) - set(wanted):
            self._proxies.pop(gone).close()
        for (address, port), (key, name) in wanted.items():
            if (address, port) not in self._proxies:
                plug = self._node.socket()
                plug.bind((address, port))
                server = await asyncio.start_server(self._carrier(key, name), sock=plug)
                self._proxies[address, port] = server
        self._tell()

    async def slice(self, event: str, it: Object) -> None:
        """Take an event of an endpoint slice."""
        _fold(self._slices, event, it)
        self._tell()

    def hosts(self, path: Path, namespace: str) -> None:
        """Write the names into a file for a pod of this namespace, and keep it up to date."""
        self._hosts[path] = namespace
        self._tell()

    def forget(self, path: Path) -> None:
        """Leave a file alone from now on."""
        self._hosts.pop(path, None)

    async def close(self) -> None:
        """Close every proxy and cut every connection."""
        for server in self._proxies.values():
            server.close()
        connections = list(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def _carrier(self, key: Key, port_name: str) -> Callable[..., None]:
        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(carry(reader, writer))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                if key == API_SERVER:
                    back, forth = await asyncio.open_connection(*self._api_server)
                else:
                    targets = list(self._targets(key, port_name))
                    if not targets:
                        writer.transport.abort()
                        return
                    back, forth = await connect(self._node, *targets[next(self._turn) % len(targets)])
            except OSError:
                writer.transport.abort()
                return
            try:
                await asyncio.gather(_pump(reader, forth), _pump(back, writer))
            finally:
                forth.close()
                writer.close()

        return begin

    def _endpoints(self, key: Key) -> Iterator[tuple[Object, Object]]:
        for (namespace, _), it in self._slices.items():
            if (namespace, it["metadata"].get("labels", {}).get("kubernetes.io/service-name")) == key:
                for endpoint in it.get("endpoints") or ():
                    if endpoint.get("conditions", {}).get("ready"):
                        yield it, endpoint

    def _targets(self, key: Key, port_name: str) -> Iterator[tuple[str, int]]:
        for it, endpoint in self._endpoints(key):
            for port in it.get("ports") or ():
                if port.get("name", "") == port_name:
                    yield endpoint["addresses"][0], port["port"]

    def _tell(self) -> None:
        entries = []
        for (namespace, name), it in self._services.items():
            if it["spec"].get("clusterIP", "None") != "None":
                addresses = [it["spec"]["clusterIP"]]
            else:
                addresses = [endpoint["addresses"][0] for _, endpoint in self._endpoints((namespace, name))]
            entries += [(address, namespace, name) for address in addresses]
        for path, own in self._hosts.items():
            lines = ["127.0.0.1 localhost", "::1 localhost"]
            for address, namespace, name in entries:
                names = [f"{name}.{namespace}.svc.cluster.local", f"{name}.{namespace}.svc", f"{name}.{namespace}"]
                lines.append(" ".join([address, *names, *([name] if namespace == own else [])]))
            _overwrite(path, "\n".join(lines) + "\n")


def _overwrite(path: Path, text: str) -> None:
    """Write in place, for the file is mounted; at once and never shorter, so that no reader misses a name."""
    path.touch()
    with path.open("r+b", buffering=0) as file:
        file.write(text.encode().ljust(path.stat().st_size, b"\n"))


def _fold(known: dict[Key, Object], event: str, it: Object) -> None:
    key = (it["metadata"]["namespace"], it["metadata"]["name"])
    if event == "DELETED":
        known.pop(key, None)
    else:
        known[key] = it


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
