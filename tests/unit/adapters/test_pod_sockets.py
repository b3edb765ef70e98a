"""Whose TCP sockets there are in our network, by real sockets in networks of their own, and by tables of the kernel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.adapters.pod_sockets import others_hold_sockets

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ROW = "   0: 0100007F:1F70 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1001        0 {inode} 1 0000\n"
LISTENS, SERVES, WAITS = "0A", "01", "06"

STORY = """
import os, socket, sys, time
from sidecar.adapters.pod_sockets import others_hold_sockets as others
ours = socket.create_server(("127.0.0.1", 0))
assert not others(), "ours alone"
readable, writable = os.pipe()
child = os.fork()
if not child:
    ours.close()
    listening = socket.create_server(("127.0.0.1", 1344))
    os.write(writable, b".")
    serving, _ = listening.accept()
    listening.close()
    os.write(writable, b".")
    time.sleep(60)
os.read(readable, 1)
assert others(), "it listens"
peer = socket.create_connection(("127.0.0.1", 1344))
os.read(readable, 1)
assert others(), "it serves a connection, and listens no more"
os.kill(child, 9)
os.waitpid(child, 0)
assert not others(), "it is dead"
"""


def process(folder: Path, tcp: str | None, tcp6: str | None = None, descriptors: tuple[str, ...] = ()) -> Path:
    """Make a folder that looks like a process of proc(5)."""
    (folder / "net").mkdir()
    (folder / "fd").mkdir()
    for name, rows in (("tcp", tcp), ("tcp6", tcp6)):
        if rows is not None:
            (folder / "net" / name).write_text(HEAD + rows)
    for number, target in enumerate(descriptors):
        (folder / "fd" / str(number)).symlink_to(target)
    return folder


def test_a_process_that_serves_and_one_that_is_dead() -> None:
    """A listening socket and an accepted one count; when their process is dead they do not, and ours never do."""
    alone = ["unshare", "--net", "--map-root-user"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs a network namespace of its own: unshare (util-linux) and the right to use it")
    story = f"import subprocess; subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)\n{STORY}"
    command = [*alone, sys.executable, "-c", story]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("state", [LISTENS, SERVES])
def test_sockets_of_others_and_of_ours(tmp_path: Path, state: str) -> None:
    """What is among our descriptors is ours; IPv6 counts like IPv4."""
    ours, theirs = ROW.format(state=state, inode=7), ROW.format(state=state, inode=8)
    folders = [tmp_path / name for name in ("ours", "theirs", "theirs6")]
    for folder in folders:
        folder.mkdir()
    mine = ("socket:[7]", "/dev/null", "pipe:[8]")
    assert not others_hold_sockets(process(folders[0], ours, ours, mine))
    assert others_hold_sockets(process(folders[1], ours + theirs, "", mine))
    assert others_hold_sockets(process(folders[2], ours, theirs, mine))


def test_what_nobody_holds_does_not_count(tmp_path: Path) -> None:
    """The rest of a connection of a dead process waits in the kernel for a minute, without an inode."""
    assert not others_hold_sockets(process(tmp_path, ROW.format(state=WAITS, inode=0)))


@pytest.mark.parametrize("table", [None, "nonsense\n", "   0: a b c d e f g h many\n"])
def test_no_theft_what_cannot_be_seen_may_be_there(tmp_path: Path, table: str | None) -> None:
    """No table, or one that looks different: nobody may say that the app is gone."""
    assert others_hold_sockets(process(tmp_path, table))
