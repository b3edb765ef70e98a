"""Names of Services for the pods of the test node, and of nothing else.

It stands in for CoreDNS, which is built from 400 modules: four minutes for names of the form ``service.namespace.svc``.
What it leaves out: TCP, names of single pods, anything outside of the cluster (there is no network to it).
"""

from __future__ import annotations

import socket
import struct
import threading
from typing import Final, Self

from tests.cluster.control_plane.admin import Admin

DOMAIN: Final = "cluster.local"
PORT: Final = 53
_A: Final = 1
_NO_SUCH_NAME: Final = 3
_TTL: Final = 5
_HEADER: Final = 12


class Names:
    """A DNS server in a thread, as a context manager."""

    def __init__(self, address: str, admin: Admin) -> None:
        """Listen; nothing is answered yet."""
        self._admin = admin
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, PORT))
        self._socket.settimeout(0.2)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="names", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                query, client = self._socket.recvfrom(512)
            except TimeoutError:  # so that it looks whether it is over
                continue
            try:
                self._socket.sendto(self._answer(query), client)
            except (OSError, ValueError, IndexError):
                continue

    def _answer(self, query: bytes) -> bytes:
        words, end = _name(query)
        (kind,) = struct.unpack_from("!H", query, end)
        question = query[_HEADER : end + 4]
        addresses = self._addresses(words)
        answers = [socket.inet_aton(it) for it in addresses or () if kind == _A]
        # An answer, authoritative, recursion available; for AAAA of a name that exists: no error and no address.
        flags = 0x8580 | (_NO_SUCH_NAME if addresses is None else 0)
        head = query[:2] + struct.pack("!5H", flags, 1, len(answers), 0, 0)
        return head + question + b"".join(struct.pack("!HHHIH", 0xC00C, _A, 1, _TTL, 4) + it for it in answers)

    def _addresses(self, words: list[str]) -> list[str] | None:
        match words:
            case [service, namespace, "svc", *rest] if ".".join(rest) in ("", DOMAIN):
                found = self._admin.find("services", service, namespace)
                if found is None:
                    return None
                address = found["spec"]["clusterIP"]
                return self._endpoints(service, namespace) if address == "None" else [address]
        return None

    def _endpoints(self, service: str, namespace: str) -> list[str]:
        """Return what a headless Service stands for."""
        slices = self._admin.list("endpointslices", namespace, labelSelector=f"kubernetes.io/service-name={service}")
        every = [one for it in slices for one in it["endpoints"] or ()]
        return [address for one in every if one["conditions"].get("ready") for address in one["addresses"]]


def _name(query: bytes) -> tuple[list[str], int]:
    """Return the labels of the question and where its type begins."""
    words, at = [], _HEADER
    while size := query[at]:
        words.append(query[at + 1 : at + 1 + size].decode("ascii").lower())
        at += 1 + size
    return words, at + 1
