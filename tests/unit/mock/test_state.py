"""The state file: what comes back, what wins, what a bad file does, and that nothing is answered before it is kept."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_activation.backend import Backend
from mock_activation.cli import run
from mock_activation.keeping import keep
from mock_activation.pool import KeySpec, KeyState
from mock_activation.secrecy import digest, fingerprint
from mock_activation.server import MockActivation
from mock_activation.state_file import Difference, StateError, StateFile
from mock_activation.switches import Switches, UnknownPair
from tests.unit.mock.vendor_client import KEY, OTHER_KEY, A, B, C, Vendor, expect_no_key


async def test_everything_comes_back(tmp_path: Path) -> None:
    """Keys, seats with their times, switches and the clock's offset are as they were, and the key still fits."""
    state = tmp_path / "state"
    async with MockActivation({KEY: KeySpec(3, licensed_engines=("a", "b"))}, state=state) as mock:
        vendor = Vendor(mock)
        for deployment in (A, B, C):
            await vendor.activate(deployment)
        await vendor.deactivate(B)
        await vendor.control("PATCH", "/switches", {"unknown_pair": "ok"})
        mock.backend.advance(3600)
        mock.pool.put(OTHER_KEY, KeySpec(1, KeyState.SUSPENDED))
        await vendor.control("GET", "/health")
        before, switches = mock.pool.view(), mock.pool.switches
    async with MockActivation(state=state) as mock:
        assert mock.pool.view() == before
        assert mock.pool.switches == switches
        assert mock.backend.advanced == 3600
        assert [seat.deployment for seat in before[0].taken] == [A, C]
        assert (await Vendor(mock).activate(B)).status_line == "HTTP/1.1 200 Ok"
        assert (await Vendor(mock).activate(B, key=OTHER_KEY)).status_line == "HTTP/1.1 200 Activation failed"


async def test_what_is_named_at_the_start_wins(tmp_path: Path) -> None:
    """The key file decides what its keys allow and an option its switch; seats and other keys are the state's."""
    state = tmp_path / "state"
    async with MockActivation({KEY: 3, OTHER_KEY: 7}, switches={"unknown_pair": UnknownPair.OK}, state=state) as mock:
        await Vendor(mock).activate(A)
        await Vendor(mock).activate(B)
    async with MockActivation({KEY: 1}, state=state) as mock:
        assert mock.pool.used() == {fingerprint(KEY): (2, 1), fingerprint(OTHER_KEY): (0, 7)}
        assert mock.pool.switches.unknown_pair is UnknownPair.OK
        assert (await Vendor(mock).activate(C)).status_line == "HTTP/1.1 200 Activation failed"
    async with MockActivation(switches={"unknown_pair": UnknownPair.ERROR}, state=state) as mock:
        assert mock.pool.used() == {fingerprint(KEY): (2, 1), fingerprint(OTHER_KEY): (0, 7)}
        assert mock.pool.switches.unknown_pair is UnknownPair.ERROR


async def test_removed_keys_and_a_reset_are_kept_too(tmp_path: Path) -> None:
    """A key that was replaced is gone with its seats; a reset returns to how this start began, in the file as well."""
    state = tmp_path / "state"
    async with MockActivation({KEY: 3}, state=state) as mock:
        vendor = Vendor(mock)
        await vendor.activate(A)
        await vendor.control("PUT", "/keys", {"keys": [{"key": OTHER_KEY, "seats": 5}]})
        await vendor.activate(A, key=OTHER_KEY)
    async with MockActivation(state=state) as mock:
        vendor = Vendor(mock)
        assert mock.pool.used() == {fingerprint(OTHER_KEY): (1, 5)}
        await vendor.control("PUT", "/keys", {"keys": []})
        await vendor.control("PUT", "/keys", {"keys": [{"key": KEY, "seats": 9}]})
        await vendor.control("POST", "/reset")
    async with MockActivation(state=state) as mock:
        assert mock.pool.used() == {fingerprint(OTHER_KEY): (0, 5)}


async def test_a_snapshot_is_kept_too(tmp_path: Path) -> None:
    """What an import brought is in the file, and what it took away is not."""
    async with MockActivation({KEY: 3}) as mock:
        await Vendor(mock).activate(A)
        await Vendor(mock).control("POST", "/clock", {"advance": 60})
        snapshot = (await Vendor(mock).control("GET", "/snapshot")).json()
    state = tmp_path / "state"
    async with MockActivation({OTHER_KEY: 1}, state=state) as mock:
        await Vendor(mock).activate(B, key=OTHER_KEY)
        assert (await Vendor(mock).control("PUT", "/snapshot", snapshot)).status == 200
    async with MockActivation(state=state) as mock:
        assert mock.pool.used() == {fingerprint(KEY): (1, 3)}
        assert _seats(state) == {A}
        assert mock.backend.advanced == 60


NAMES = st.sampled_from([A, B, C])
KEYS = st.sampled_from([KEY, OTHER_KEY])
DEEDS = st.one_of(
    st.tuples(st.just("activate"), KEYS, NAMES),
    st.tuples(st.just("deactivate"), KEYS, NAMES),
    st.tuples(st.just("put"), KEYS, st.integers(0, 4)),
    st.tuples(st.just("replace"), st.sets(KEYS), st.integers(1, 4)),
    st.tuples(st.just("switch"), st.sampled_from(list(UnknownPair))),
    st.tuples(st.just("commit")),
)


@given(st.lists(DEEDS, max_size=25))
@settings(max_examples=25, deadline=None)
def test_the_file_is_the_pool(deeds: list[tuple[Any, ...]]) -> None:
    """Whatever happens in whatever order, and wherever the commits fall: read again, it is the same."""

    async def live(path: Path) -> None:
        backend = Backend({KEY: 2})
        commits = keep(backend, path, {})
        pool = backend.pool
        for now, (deed, *what) in enumerate(deeds):
            match deed:
                case "activate":
                    pool.activate(*what, 1, float(now))
                case "deactivate":
                    pool.deactivate(*what, float(now))
                case "put":
                    pool.put(*what)
                case "replace":
                    pool.replace(dict.fromkeys(what[0], KeySpec(what[1])), float(now))
                case "switch":
                    pool.switches = Switches(unknown_pair=what[0])
                case _:
                    await backend.saved()
        commits.close()
        with closing(StateFile(path)) as file:
            kept = file.read()
        assert kept.switches == pool.switches
        assert {key.digest: key.spec for key in kept.keys} == pool.specs()
        seats = {key.digest[:12]: set(key.seats) for key in kept.keys}
        assert seats == {view.fingerprint: set(view.taken) for view in pool.view()}

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live(Path(folder) / "state"))


async def test_requests_of_one_moment_share_a_commit(tmp_path: Path) -> None:
    """Fifty activations that arrive together are written by far fewer commits, and all of them are written."""
    written: list[int] = []

    class Counting(StateFile):
        def write(self, difference: Difference) -> None:
            super().write(difference)
            written.append(len(difference.seats))

    state = tmp_path / "state"
    async with MockActivation({KEY: 50}, state=state) as mock:
        assert mock.backend.commits is not None
        mock.backend.commits._file.__class__ = Counting
        vendor = Vendor(mock)
        answers = await asyncio.gather(*(vendor.activate(f"MSCL{number:032x}") for number in range(50)))
        assert {answer.status_line for answer in answers} == {"HTTP/1.1 200 Ok"}
    assert sum(written) == 50
    assert len(written) < 50
    assert len(_seats(state)) == 50


async def test_no_answer_without_a_commit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While the disk refuses, both ports answer 500; afterwards everything is made up for, and nothing was lost."""
    full = [False]

    class Failing(StateFile):
        def write(self, difference: Difference) -> None:
            if full[0]:
                raise StateError("the disk is full")
            super().write(difference)

    state = tmp_path / "state"
    async with MockActivation({KEY: 2}, state=state) as mock:
        assert mock.backend.commits is not None
        mock.backend.commits._file.__class__ = Failing
        vendor = Vendor(mock)
        await vendor.activate(A)
        full[0] = True
        with caplog.at_level(logging.ERROR, logger="mock_activation"):
            refused = await vendor.deactivate(A)
            assert (refused.status, refused.body) == (500, b"the state file cannot be written: try again\n")
            assert (await vendor.activate(B)).status == 500
            assert (await vendor.control("POST", "/force-release", {})).status == 400
            answer = await vendor.control("PATCH", "/switches", {"unknown_pair": "ok"})
            assert (answer.status, answer.json()["error"]) == (500, "the disk is full")
        assert "the disk is full" in caplog.text
        assert [entry.status for entry in mock.journal.entries()] == [200, 500, 500]
        assert _seats(state) == {A}
        full[0] = False
        assert (await vendor.activate(B)).status_line == "HTTP/1.1 200 Ok"
        assert _seats(state) == {B}


async def test_no_key_is_in_the_file(tmp_path: Path) -> None:
    """Neither the database nor its log holds a key or a piece of it; only its owner may read them."""
    state = tmp_path / "state"
    async with MockActivation({KEY: 3}, state=state) as mock:
        await Vendor(mock).activate(A)
        await Vendor(mock).control("POST", "/keys", {"key": OTHER_KEY, "seats": 1})
        for file in tmp_path.iterdir():
            expect_no_key(file.read_bytes().decode("latin-1"))
            assert file.stat().st_mode & 0o077 == 0
        assert digest(KEY) in (tmp_path / "state-wal").read_bytes().decode("latin-1")


def _seats(state: Path) -> set[str]:
    """Read the seats from a copy: the original is locked."""
    with closing(sqlite3.connect(":memory:")) as copy:
        folder = state.parent / "copy"
        folder.mkdir(exist_ok=True)
        for ending in ("", "-wal"):
            source, target = Path(f"{state}{ending}"), folder / f"state{ending}"
            target.unlink(missing_ok=True)
            if source.exists():
                target.write_bytes(source.read_bytes())
        with closing(sqlite3.connect(folder / "state")) as original:
            original.backup(copy)
        return {row[0] for row in copy.execute("SELECT deployment FROM seats")}


def _good(path: Path) -> None:
    file = StateFile(path)
    file.write(Difference({digest(KEY): KeySpec(2)}))
    file.close()


def _sql(*statements: str) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        _good(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    return spoil


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE notes (text TEXT)")


def _torn(path: Path) -> None:
    _good(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _scribbled(path: Path) -> None:
    _good(path)
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.write_text("keys: []\n"), "not a state file of mock-activation, so it is left alone; name"),
        (lambda path: path.write_text("x"), "not a state file"),
        (lambda path: path.mkdir(), "not a state file"),
        (_foreign, "not a state file"),
        (_torn, "the state file is damaged; bring back a copy, or move it away to begin without seats"),
        (_scribbled, "the state file is damaged"),
        (_sql("UPDATE keys SET spec = '{\"seats\": 1}'"), "the state file is damaged"),
        (_sql("UPDATE keys SET spec = '[1]'"), "the state file is damaged"),
        (_sql("INSERT INTO seats VALUES (9, 'x', 1, 1, 1)"), "the state file is damaged"),
        (_sql("INSERT INTO settings VALUES ('switches', '{\"gravity\": \"off\"}')"), "the state file is damaged"),
        (_sql("INSERT INTO settings VALUES ('clock_offset', 'nan')"), "the state file is damaged"),
        (_sql("DROP TABLE seats"), "the state file is damaged"),
        (_sql("PRAGMA user_version = 2"), "written by a newer mock-activation (format 2, this one knows 1); use that"),
        (lambda path: path.symlink_to(path.parent / "absent"), "not a state file"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], object], says: str
) -> None:
    """Exit 78 with the file, the reason and what to do; nothing listens, and the file is left as it was."""
    path, ready = tmp_path / "state", tmp_path / "ready"
    spoil(path)
    before = path.read_bytes() if path.is_file() else b""
    arguments = ["serve", "--port", "0", "--control-port", "0", "--ready-file", str(ready), "--state", str(path)]
    assert run(arguments) == 78
    out, err = capsys.readouterr()
    assert err.startswith(f"mock-activation serve: --state {path}: {says}")
    assert (out, err.count("\n"), "Traceback" in err, ready.exists()) == ("", 1, False, False)
    assert before == (path.read_bytes() if path.is_file() else b"")


@pytest.mark.parametrize("name", ["absent/state", "file/state"])
def test_a_folder_that_cannot_be_used_stops_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """No folder is made on the way: a typing error shall not become a new, empty state."""
    (tmp_path / "file").touch()
    path = tmp_path / name
    assert run(["serve", "--port", "0", "--control-port", "0", "--state", str(path)]) == 78
    assert f"--state {path}: " in (said := capsys.readouterr().err)
    assert said.endswith("directory; name a file in a folder that can be written to\n")


def test_a_file_in_use_stops_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two servers over one state would both be wrong: the second does not start, and the first keeps its lock."""
    path = tmp_path / "state"
    with closing(StateFile(path)):
        for _ in range(2):
            assert run(["serve", "--port", "0", "--control-port", "0", "--state", str(path)]) == 78
    assert capsys.readouterr().err.count(f"{path}: in use by another process; end that one, or name another file") == 2


async def test_a_file_that_was_being_made_is_made_again(tmp_path: Path) -> None:
    """A kill in the first moment leaves an empty file, or an empty database: a new state begins there."""
    empty, bare = tmp_path / "empty", tmp_path / "bare"
    empty.touch()
    with closing(sqlite3.connect(bare)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    for path in (empty, bare):
        async with MockActivation({KEY: 1}, state=path) as mock:
            assert (await Vendor(mock).activate(A)).status == 200
