"""Free ports for servers that must be told theirs before they start."""

from __future__ import annotations

import random
import socket


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, below those that the kernel lends to clients.

    While the API server is stopped, its port must not be lent to one of the clients that knock at it. Between this look
    and the start somebody may take one: who starts a server is ready to try again.
    """
    ports: set[int] = set()
    while len(ports) < count:
        port = random.SystemRandom().randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.add(port)
    return list(ports)


def listens(port: int) -> bool:
    """Tell whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
