"""Whether anybody but us holds a TCP socket in our network: in a pod, whether its app may still serve.

A plain container is told to end together with the app. An app that closes its REST port first and still serves open
ICAP connections must not lose its seat, and the pod's status does not tell when it has ended: a kubelet writes nothing
about single containers of a pod that ends (docs/decisions). The containers of a pod share one network, so the kernel's
table of it shows their sockets too, those of a dead process excepted. Must not say "nobody" where it cannot be seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_INODE: Final = 9
"""The column of a socket's inode; 0 where no process holds it (a dead one's, and what was not accepted yet)."""


def others_hold_sockets(process: Path = Path("/proc/self")) -> bool:
    """Tell whether another process may hold a TCP socket in our network namespace (proc(5), ``/proc/net/tcp``)."""
    try:
        held = _held(process / "net" / "tcp")
        if (process / "net" / "tcp6").exists():  # not where IPv6 is switched off
            held |= _held(process / "net" / "tcp6")
        # After the tables: what we close meanwhile counts as somebody else's until the next look, never the reverse.
        return bool(held - _ours(process / "fd"))
    except (OSError, ValueError, IndexError):
        return True


def _held(table: Path) -> set[int]:
    lines = table.read_bytes().splitlines()[1:]
    return {int(line.split(None, _INODE + 1)[_INODE]) for line in lines} - {0}


def _ours(descriptors: Path) -> set[int]:
    found = set()
    for descriptor in descriptors.iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:  # the descriptor of this very listing
            continue
        if target.startswith("socket:["):
            found.add(int(target[8:-1]))
    return found
