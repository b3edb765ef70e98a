"""The file ledger: what the contract does not say because only files have it."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.adapters.file_ledger import FileLedger, explained
from sidecar.adapters.record_file import encode
from sidecar.core.records import Identity, Listing, Owner, Phase, SeatRecord, Stored
from sidecar.errors import LedgerOutage, Misconfigured
from tests.contract.seats import seat

ROOT = Path(__file__).parents[3]
NAME = seat().identity.name
FILE = f"{NAME}.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the ledger's folder, absent as yet."""
    return tmp_path / "ledger"


@pytest.fixture
def ledger(folder: Path) -> Iterator[FileLedger]:
    """Return a ledger that is impatient, on a folder that exists."""
    folder.mkdir()
    it = FileLedger(folder, timeout=1, poll=0.005)
    yield it
    it.close()


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of the folder but the lock."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != ".lock"}


# What is no record ----------------------------------------------------------------------------------------------------


def _torn(path: Path) -> None:
    path.write_bytes(encode(Stored(seat(), "1-aa"))[:60])


def _too_new(path: Path) -> None:
    path.write_text(json.dumps({"format": 99, "version": "1", "record": {}}))


def _another_seats(path: Path) -> None:
    path.write_bytes(encode(Stored(seat("MSCL2"), "1-aa")))


def _link(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))


STRAYS: dict[str, tuple[Callable[[Path], object], str]] = {
    "torn": (_torn, "torn"),
    "empty": (Path.touch, "empty"),
    "too new": (_too_new, "newer version"),
    "of another seat": (_another_seats, "another seat"),
    "folder": (Path.mkdir, "no regular file"),
    "link": (_link, "cannot be read"),
    "pipe": (os.mkfifo, "no regular file"),
}


@pytest.mark.parametrize("kind", STRAYS)
async def test_what_is_no_record_is_reported_and_left_alone(ledger: FileLedger, folder: Path, kind: str) -> None:
    """A file of a record's name that is none is a stray; it is neither read as a record nor written over."""
    make, fault = STRAYS[kind]
    make(folder / FILE)
    before = (folder / FILE).lstat()
    other = await ledger.create(seat("MSCL3"))
    listing = await ledger.list()
    assert listing.records == (other,)
    assert [stray.name for stray in listing.strays] == [FILE]
    assert fault in listing.strays[0].fault
    pretended = Stored(seat(), "1-aa")
    for attempt in (
        ledger.read(NAME),
        ledger.create(seat()),
        ledger.replace(pretended, seat()),
        ledger.erase(pretended),
    ):
        with pytest.raises(LedgerOutage, match=r"ledger\.dir.*left alone.*move it away"):
            await attempt
    after = (folder / FILE).lstat()
    assert (after.st_ino, after.st_mtime_ns, after.st_size) == (before.st_ino, before.st_mtime_ns, before.st_size)


async def test_foreign_files_are_reported_and_left_alone(ledger: FileLedger, folder: Path) -> None:
    """Files of other names are strays, but not the instances' files nor what file systems put there themselves."""
    (folder / "notes.txt").write_text("mine")
    (folder / "seat-1.json").write_text("mine")
    for own in ("web-0.uid", "0.alive", ".nfs0001", "lost+found"):
        (folder / own).touch()
    before = contents(folder)
    assert [stray.name for stray in (await ledger.list()).strays] == ["notes.txt", "seat-1.json"]
    assert contents(folder) == before


async def test_follow_tells_a_file_that_was_damaged_in_place(ledger: FileLedger, folder: Path) -> None:
    """A change that is no rename, and leaves the folder's own time alone, is seen as well."""
    await ledger.create(seat())
    listings = ledger.follow()
    assert len((await anext(listings)).records) == 1
    (folder / FILE).write_text("damaged")
    listing = await anext(listings)
    assert (listing.records, [stray.name for stray in listing.strays]) == ((), [FILE])


async def test_follow_sees_a_change_after_a_long_silence(ledger: FileLedger, folder: Path) -> None:
    """While the folder's times are old its files are not read again; the first change is told all the same."""
    (folder / ".lock").touch()
    os.utime(folder, (time.time() - 3600,) * 2)
    async with aclosing(ledger.follow()) as listings:
        assert await anext(listings) == Listing(())
        change = asyncio.ensure_future(anext(listings))
        done, _ = await asyncio.wait([change], timeout=0.05)
        assert not done
        stored = await ledger.create(seat())
        assert (await change).records == (stored,)


async def test_temporary_files_of_dead_writers_go_and_those_of_living_ones_stay(
    ledger: FileLedger, folder: Path
) -> None:
    """An unfinished write is no stray; it is removed once its writer cannot be alive any more."""
    young, old = folder / ".tmp-1-aa", folder / ".tmp-2-bb"
    young.touch()
    old.touch()
    os.utime(old, (time.time() - 3600,) * 2)
    assert await ledger.list() == Listing(())
    assert (young.exists(), old.exists()) == (True, False)


# The files ------------------------------------------------------------------------------------------------------------


async def test_a_file_is_versioned_and_readable_by_people(ledger: FileLedger, folder: Path) -> None:
    """The file carries its format, its version and every field by name, a line each."""
    stored = await ledger.create(seat())
    text = (folder / FILE).read_text()
    content = json.loads(text)
    assert (content["format"], content["version"]) == (1, stored.version)
    assert content["record"]["identity"]["deployment_id"] == "MSCL1"
    assert len(text.splitlines()) > 15


async def test_sidecars_of_one_group_can_work_together(folder: Path) -> None:
    """Whatever the umask, files are the group's to write, and a folder that we make hands its group down."""
    ledger, umask = FileLedger(folder), os.umask(0o077)
    try:
        await ledger.check()
        await ledger.create(seat())
    finally:
        os.umask(umask)
        ledger.close()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {"ledger": 0o2770, ".lock": 0o660, FILE: 0o660}


# A folder that does not serve -----------------------------------------------------------------------------------------


async def test_check_makes_the_folder_and_leaves_only_the_lock(folder: Path) -> None:
    """At the first start the folder is made, parents as well; the trial leaves nothing behind."""
    deep = folder / "a" / "b"
    ledger = FileLedger(deep)
    await ledger.check()
    await ledger.check()
    ledger.close()
    assert [path.name for path in deep.iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("place", "remedy"),
    [
        ("file", "name a folder, not a file"),
        ("file/below", "name a folder, not a file"),
        ("/proc/ledger", "name a folder that this user can write to"),
    ],
)
async def test_a_place_that_cannot_be_a_folder_is_a_fault_of_the_setting(
    tmp_path: Path, place: str, remedy: str
) -> None:
    """The message names the setting and the place, and says what to do."""
    (tmp_path / "file").touch()
    ledger = FileLedger(tmp_path / place)
    with pytest.raises(Misconfigured) as fault:
        await ledger.check()
    ledger.close()
    assert str(fault.value).startswith(f"ledger.dir: {tmp_path / place} cannot hold the ledger: ")
    assert str(fault.value).endswith(remedy)


@contextmanager
def folder_without_rights() -> Iterator[Path]:
    """Be a user who may only read, in a folder that this user can reach (root may write anywhere)."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o555)
        if user == 0:
            os.seteuid(65534)
        try:
            yield Path(place)
        finally:
            os.seteuid(user)
            Path(place).chmod(0o755)


async def test_a_folder_without_rights_is_a_fault_at_start_and_an_outage_later() -> None:
    """Who may not write is told so by the setting's name at start; a right lost later is an outage with a reason."""
    with folder_without_rights() as place:
        ledger = FileLedger(place)
        with pytest.raises(Misconfigured, match=r"^ledger\.dir: .* Permission denied; let the user"):
            await ledger.check()
        with pytest.raises(LedgerOutage, match=r"ledger\.dir\) cannot be written: Permission denied"):
            await ledger.create(seat())
        ledger.close()


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """Let no file grow beyond ``room`` bytes: real writes, cut short and refused by the kernel."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("room", [0, 100])
async def test_a_full_disk_is_an_outage_that_harms_no_record(ledger: FileLedger, folder: Path, room: int) -> None:
    """Neither nothing nor half of a record replaces a whole one; erasing goes on working; later all is well."""
    stored = await ledger.create(seat())
    before = contents(folder)
    with full_disk(room):
        replaced = await asyncio.gather(ledger.replace(stored, seat(phase=Phase.ACTIVE)), return_exceptions=True)
        created = await asyncio.gather(ledger.create(seat("MSCL2")), return_exceptions=True)
    for outcome in (*replaced, *created):
        assert isinstance(outcome, LedgerOutage)
        assert f"{folder} (ledger.dir) cannot be written" in str(outcome)
    assert contents(folder) == before
    with full_disk(0):
        await ledger.erase(stored)
    assert await ledger.create(seat()) == await ledger.read(NAME)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE])
def test_what_passes_by_itself_is_waited_for(number: int) -> None:
    """A full or sick disk at start is an outage, because no setting is wrong."""
    assert isinstance(explained(Path("/x"), OSError(number, os.strerror(number))), LedgerOutage)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EROFS, "mount a writable volume there"),
        (errno.ENOLCK, "with locks"),
        (errno.EACCES, "let the user that runs this write there"),
    ],
)
def test_what_does_not_pass_is_a_fault_of_the_setting(number: int, remedy: str) -> None:
    """A read-only volume, one without locks, one without rights: somebody has to change something, and is told what."""
    fault = explained(Path("/x"), OSError(number, os.strerror(number)))
    assert isinstance(fault, Misconfigured)
    assert remedy in str(fault)


async def test_a_folder_that_vanishes_is_an_outage_and_is_not_made_again(ledger: FileLedger, folder: Path) -> None:
    """An unmounted volume must not be mistaken for an empty ledger, nor be replaced by a folder on the root disk."""
    stored = await ledger.create(seat())
    folder.rename(folder.with_name("unmounted"))
    follower = ledger.follow()
    for attempt in (
        ledger.list(),
        ledger.read(NAME),
        ledger.create(seat("MSCL2")),
        ledger.replace(stored, seat()),
        ledger.erase(stored),
        anext(follower),
    ):
        with pytest.raises(LedgerOutage, match=r"ledger\.dir\) cannot be (read|written): No such file"):
            await attempt
    assert not folder.exists()


# The lock -------------------------------------------------------------------------------------------------------------


@contextmanager
def held(path: Path) -> Iterator[int]:
    """Hold a file's lock as another process would: by a descriptor of one's own."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o660)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


async def test_a_lock_that_is_kept_is_an_outage_and_what_was_given_up_is_not_done_later(
    ledger: FileLedger, folder: Path
) -> None:
    """The wait is bounded; the given up write does not take effect when the lock becomes free."""
    impatient = FileLedger(folder, timeout=0.05)
    with held(folder / ".lock"):
        for attempt in (impatient.create(seat()), impatient.list(), impatient.check()):
            with pytest.raises(LedgerOutage, match=str(folder)):
                await attempt
    impatient.close()
    assert await ledger.list() == Listing(())
    assert contents(folder) == {}


async def test_a_write_waits_for_the_lock(ledger: FileLedger, folder: Path) -> None:
    """While another process writes, ours waits, and then succeeds."""
    with held(folder / ".lock"):
        writing = asyncio.ensure_future(ledger.create(seat()))
        done, _ = await asyncio.wait([writing], timeout=0.05)
        assert not done
    assert (await writing).record == seat()


async def test_a_lock_file_that_was_replaced_excludes_nobody(ledger: FileLedger, folder: Path) -> None:
    """Rule of section 6, told of the folder's lock: who got the lock of a file that was renamed over starts again."""
    with held(folder / "restored"):
        with held(folder / ".lock"):
            writing = asyncio.ensure_future(ledger.create(seat()))
            await asyncio.wait([writing], timeout=0.05)  # it has opened the file and waits for its lock
            (folder / "restored").rename(folder / ".lock")
        # The former file's lock is free now; that of the file which others open is not.
        done, _ = await asyncio.wait([writing], timeout=0.05)
        assert not done
        assert not (folder / FILE).exists()
    assert (await writing).record == seat()


# Other processes ------------------------------------------------------------------------------------------------------

COUNTER = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from sidecar.adapters.file_ledger import FileLedger
from sidecar.errors import Conflict

async def main():
    ledger = FileLedger(Path(sys.argv[1]))
    name = (await ledger.list()).records[0].name
    for _ in range(int(sys.argv[2])):
        while True:
            current = await ledger.read(name)
            try:
                await ledger.replace(current, replace(current.record, renewed_at=current.record.renewed_at + 1))
                break
            except Conflict:
                pass

asyncio.run(main())
"""

KILLED = """
import asyncio, os, signal, sys
from dataclasses import replace
from pathlib import Path
from sidecar.adapters.file_ledger import FileLedger

async def main():
    ledger = FileLedger(Path(sys.argv[1]))
    stored = (await ledger.list()).records[0]
    step, count = sys.argv[2], int(sys.argv[3])

    def watch(event, args):
        nonlocal count
        if event == step and (count := count - 1) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    await ledger.replace(stored, replace(stored.record, renewed_at=2.0))
    await ledger.erase((await ledger.list()).records[0])

asyncio.run(main())
"""


def start(program: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Start a program of ours as a process of its own."""
    return subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)], cwd=ROOT)


async def test_two_processes_lose_no_write_to_each_other(ledger: FileLedger, folder: Path) -> None:
    """What two processes count together by compare-and-swap is the sum."""
    stored = await ledger.create(seat(renewed_at=0.0))
    processes = [start(COUNTER, folder, 40) for _ in range(2)]
    codes = [await asyncio.to_thread(process.wait, 30) for process in processes]
    assert codes == [0, 0]
    end = await ledger.read(stored.name)
    assert end is not None
    assert end.record.renewed_at == 80


@pytest.mark.parametrize(
    ("step", "count"),
    [("open", 2), ("fcntl.flock", 1), ("fcntl.flock", 2), ("os.rename", 1), ("os.remove", 1), ("os.remove", 2)],
)
async def test_sigkill_at_any_step_leaves_whole_records_only(
    ledger: FileLedger, folder: Path, step: str, count: int
) -> None:
    """A writer that is killed leaves the record before or after its write, a free lock, and nothing visible else."""
    first = await ledger.create(seat(renewed_at=1.0))
    process = start(KILLED, folder, step, count)
    assert await asyncio.to_thread(process.wait, 30) == -signal.SIGKILL
    listing = await ledger.list()
    assert listing.strays == ()
    assert [stored.record.renewed_at for stored in listing.records] in ([1.0], [2.0])
    assert listing.records[0].record == replace(first.record, renewed_at=listing.records[0].record.renewed_at)
    await ledger.erase(listing.records[0])
    assert await ledger.list() == Listing(())


async def test_sigkill_at_any_moment_leaves_whole_records_only(ledger: FileLedger, folder: Path) -> None:
    """The same with a writer that is killed while it writes as fast as it can."""
    await ledger.create(SeatRecord(Identity("s", "k", "d"), Owner("p", "u"), Phase.ACTIVE, open=False))
    for pause in (0.005, 0.012, 0.019):
        version = (await ledger.list()).records[0].version
        process = start(COUNTER, folder, 1_000_000)
        try:
            async with aclosing(ledger.follow()) as listings:
                async for listing in listings:
                    if listing.records[0].version != version:
                        break
            await asyncio.sleep(pause)
        finally:
            process.kill()
            await asyncio.to_thread(process.wait, 30)
        listing = await ledger.list()
        assert (len(listing.records), listing.strays) == (1, ())
        await ledger.replace(listing.records[0], listing.records[0].record)
