"""Who lives, outside Kubernetes: locks on the instances' own files."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.adapters.file_instances import FileInstances, file_system_of, proven_by_a_free_lock
from sidecar.core.records import Owner, Standing
from sidecar.errors import LedgerOutage, Misconfigured

ROOT = Path(__file__).parents[3]

Enter = Callable[[str], FileInstances]

INSTANCE = """
import sys, time
from pathlib import Path
from sidecar.adapters.file_instances import FileInstances
instances = FileInstances.enter(Path(sys.argv[1]), sys.argv[2])
print(instances.owner.uid, instances.owner.boot, flush=True)
time.sleep(60)
"""


@pytest.fixture
def enter(tmp_path: Path) -> Iterator[Enter]:
    """Return a function that becomes an instance; all are given up at the end."""
    entered: list[FileInstances] = []

    def become(name: str) -> FileInstances:
        entered.append(FileInstances.enter(tmp_path, name, timeout=0.5))
        return entered[-1]

    yield become
    for instances in entered:
        instances.close()


@pytest.fixture
def onlooker(tmp_path: Path) -> Iterator[FileInstances]:
    """Return a look at the folder by somebody who is no instance."""
    instances = FileInstances(tmp_path)
    yield instances
    instances.close()


def lock_file(folder: Path, owner: Owner) -> Path:
    """Return the file on which an owner holds its lock."""
    return folder / f"{owner.uid}.alive"


# Coming and going -----------------------------------------------------------------------------------------------------


async def test_an_instance_lives_as_long_as_it_holds_its_lock(enter: Enter, onlooker: FileInstances) -> None:
    """Everybody sees a living instance live, itself included, and gone afterwards."""
    instance, other = enter("web-0"), enter("web-1")
    for eyes in (instance, other, onlooker):
        assert (await eyes.look(instance.owner)).standing is Standing.LIVE
        assert await eyes.sees_itself()
    instance.close()
    for eyes in (other, onlooker):
        assert (await eyes.look(instance.owner)).standing is Standing.GONE


async def test_an_instance_that_comes_back_has_its_uid(enter: Enter) -> None:
    """A restarted sidecar of the same name is the same owner, and lives again in the eyes of others."""
    first, other = enter("web-0"), enter("web-1")
    first.close()
    again = enter("web-0")
    assert again.owner == first.owner
    assert again.owner.pod == "web-0"
    assert len({first.owner.uid, other.owner.uid}) == 2
    assert (await other.look(first.owner)).standing is Standing.LIVE


async def test_two_of_one_name_are_refused(enter: Enter) -> None:
    """The second is told which setting to change; the first goes on living."""
    first = enter("web-0")
    with pytest.raises(Misconfigured, match=r"^pod\.name: another process runs as the instance 'web-0'"):
        enter("web-0")
    assert await first.sees_itself()


async def test_of_two_that_start_at_once_one_lives(tmp_path: Path) -> None:
    """Two first starts under one name agree on one uid, and exactly one becomes the instance."""
    starts = [asyncio.to_thread(FileInstances.enter, tmp_path, "web-0", timeout=0.2) for _ in range(4)]
    outcomes = await asyncio.gather(*starts, return_exceptions=True)
    lived = [outcome for outcome in outcomes if isinstance(outcome, FileInstances)]
    assert (len(lived), sum(isinstance(outcome, Misconfigured) for outcome in outcomes)) == (1, 3)
    assert [path.name for path in tmp_path.glob("*.alive")] == [f"{lived[0].owner.uid}.alive"]
    lived[0].close()


def test_a_look_does_not_keep_an_instance_from_starting(tmp_path: Path, enter: Enter) -> None:
    """Who starts while somebody looks at its lock waits for the end of that look."""
    former = enter("web-0")
    former.close()
    look = os.open(lock_file(tmp_path, former.owner), os.O_RDONLY)
    fcntl.flock(look, fcntl.LOCK_SH)
    end_of_look = threading.Timer(0.05, os.close, [look])
    end_of_look.start()
    assert enter("web-0").owner == former.owner
    end_of_look.join()


@pytest.mark.parametrize("name", ["a/b", "..", ".", ".hidden", "../../etc/passwd", "web 0", "wéb", "a%2Fb", "x" * 200])
def test_a_name_never_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    """Whatever the name, its files lie in the folder, and coming back under it finds the same uid."""
    folder = tmp_path / "a" / "b" / "c"
    owners = []
    for _ in range(2):
        instance = FileInstances.enter(folder, name)
        owners.append(instance.owner)
        instance.close()
    assert owners[0] == owners[1]
    files = [path for path in tmp_path.rglob("*") if not path.is_dir()]
    assert {path.parent for path in files} == {folder}
    assert sorted(path.suffix for path in files if path.name != ".lock") == [".alive", ".uid"]


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "é" * 40])
def test_a_name_that_cannot_be_kept_is_a_fault_of_the_setting(enter: Enter, name: str) -> None:
    """Empty and endless names are refused by the setting's name."""
    with pytest.raises(Misconfigured, match=r"^pod\.name"):
        enter(name)


@pytest.mark.parametrize("text", ["", "../../x\n", "00\n", "\xff" * 32])
def test_a_damaged_uid_is_a_fault(tmp_path: Path, enter: Enter, text: str) -> None:
    """A uid file that holds none is neither followed nor written over; the message names it."""
    path = tmp_path / "web-0.uid"
    path.write_text(text)
    with pytest.raises(Misconfigured, match=r"web-0\.uid does not hold the uid"):
        enter("web-0")
    assert path.read_text() == text


def test_a_folder_that_cannot_be_is_a_fault_of_the_setting(tmp_path: Path) -> None:
    """A file in place of the folder is told by the setting's name."""
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match=r"^ledger\.dir: .* name a folder, not a file"):
        FileInstances.enter(tmp_path / "file", "web-0")


# Other processes ------------------------------------------------------------------------------------------------------


async def test_a_killed_process_is_gone_at_once(tmp_path: Path, onlooker: FileInstances) -> None:
    """SIGKILL needs no clean-up: the kernel drops the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", INSTANCE, str(tmp_path), "web-0"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        uid, boot = (await asyncio.to_thread(process.stdout.readline)).split()
        owner = Owner(pod="web-0", uid=uid, boot=boot)
        assert (await onlooker.look(owner)).standing is Standing.LIVE
        with pytest.raises(Misconfigured, match="another process"):
            FileInstances.enter(tmp_path, "web-0", timeout=0.05)
        process.kill()
        assert await asyncio.to_thread(process.wait, 30) == -signal.SIGKILL
    assert (await onlooker.look(owner)).standing is Standing.GONE


async def test_a_child_does_not_keep_its_parent_alive(enter: Enter, onlooker: FileInstances) -> None:
    """A process that the instance started, and that outlives it, has not inherited the lock."""
    instance = enter("web-0")
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        instance.close()
        sight = await onlooker.look(instance.owner)
        child.kill()
    assert sight.standing is Standing.GONE


# What proves nothing --------------------------------------------------------------------------------------------------


async def test_a_lock_lost_by_a_rename_is_not_taken_for_death(
    tmp_path: Path, enter: Enter, onlooker: FileInstances
) -> None:
    """Section 6: a rename replaces the inode on which the lock is held; the new file is free, its owner is not gone."""
    instance, other = enter("web-0"), enter("web-1")
    path = lock_file(tmp_path, instance.owner)
    copy = tmp_path / "copy"
    copy.write_bytes(path.read_bytes())
    copy.rename(path)
    for eyes in (instance, other, onlooker):
        sight = await eyes.look(instance.owner)
        assert sight.standing is Standing.UNPROVEN
        assert "replaced" in sight.why
    assert not await instance.sees_itself()
    assert await other.sees_itself()


@pytest.mark.parametrize("note", ["", "{", "[]", '{"inode": "x"}'])
async def test_a_lock_file_that_names_no_inode_proves_nothing(
    tmp_path: Path, enter: Enter, onlooker: FileInstances, note: str
) -> None:
    """An emptied or damaged lock file whose lock is free may be another than the one that was locked."""
    instance = enter("web-0")
    lock_file(tmp_path, instance.owner).write_text(note)
    assert (await onlooker.look(instance.owner)).standing is Standing.LIVE
    assert not await instance.sees_itself()
    instance.close()
    assert (await onlooker.look(instance.owner)).standing is Standing.UNPROVEN


async def test_a_missing_lock_file_proves_nothing(tmp_path: Path, enter: Enter, onlooker: FileInstances) -> None:
    """A removed lock file is not the death of its owner, who notices that nobody can see it."""
    instance = enter("web-0")
    lock_file(tmp_path, instance.owner).unlink()
    assert (await onlooker.look(instance.owner)).standing is Standing.UNPROVEN
    assert not await instance.sees_itself()


async def test_another_boot_proves_nothing(enter: Enter, onlooker: FileInstances) -> None:
    """A free lock of an owner from another boot is reported only; a held one is proof of life in any case."""
    instance = enter("web-0")
    foreign = replace(instance.owner, boot="another")
    assert (await onlooker.look(foreign)).standing is Standing.LIVE
    instance.close()
    for owner in (foreign, replace(instance.owner, boot="")):
        assert (await onlooker.look(owner)).standing is Standing.UNPROVEN


@pytest.mark.parametrize("uid", ["", "../../etc/passwd", "4f0c2a52-93a5-4c3b-a5ff-0e9c6f1f2d11"])
async def test_an_owner_that_is_no_instance_proves_nothing(onlooker: FileInstances, uid: str) -> None:
    """A forged or foreign uid is not made a path of."""
    sight = await onlooker.look(Owner(pod="x", uid=uid))
    assert (sight.standing, sight.why) == (Standing.UNPROVEN, "its owner is no instance of a file ledger")


@pytest.mark.parametrize(
    ("genuine", "same_boot", "file_system", "standing"),
    [
        (True, True, "ext4", Standing.GONE),
        (True, True, "overlay", Standing.GONE),
        (True, True, "tmpfs", Standing.GONE),
        (True, True, "nfs", Standing.UNPROVEN),
        (True, True, "nfs4", Standing.UNPROVEN),
        (True, True, "cifs", Standing.UNPROVEN),
        (True, True, "smb3", Standing.UNPROVEN),
        (True, True, "fuse.sshfs", Standing.UNPROVEN),
        (True, True, "virtiofs", Standing.UNPROVEN),
        (True, True, "", Standing.UNPROVEN),
        (False, True, "ext4", Standing.UNPROVEN),
        (True, False, "ext4", Standing.UNPROVEN),
    ],
)
def test_a_free_lock_proves_death_only_where_we_would_see_it(
    genuine: bool, same_boot: bool, file_system: str, standing: Standing
) -> None:
    """Only the owner's own file, this boot, and a file system of this machine together make a free lock a proof."""
    assert proven_by_a_free_lock(genuine, same_boot, file_system).standing is standing


def test_the_file_system_is_found_by_the_mounts_id() -> None:
    """The lines of mountinfo have optional fields before the dash; the type follows it."""
    mounts = (
        "22 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw\n"
        "222 22 0:40 / /led\\040ger rw - nfs4 host:/a - b rw\n"
    )
    assert [file_system_of(mounts, number) for number in ("22", "222", "2")] == ["ext4", "nfs4", ""]


async def test_a_folder_that_vanishes_is_an_outage(tmp_path: Path, onlooker: FileInstances) -> None:
    """An unmounted volume tells nothing about anybody: neither death nor "unproven", but a failed look."""
    instance = FileInstances.enter(tmp_path / "ledger", "web-0")
    (tmp_path / "ledger").rename(tmp_path / "unmounted")
    with pytest.raises(LedgerOutage, match=r"ledger\.dir\) cannot be looked at: No such file"):
        await instance.look(replace(instance.owner, uid="0" * 32))
    with pytest.raises(LedgerOutage, match="No such file"):
        await instance.sees_itself()
    instance.close()
