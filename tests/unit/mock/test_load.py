"""``mock-activation load``: it counts right, sees what is counted wrong, keeps its bounds, and shows no key."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_activation.cli import run
from mock_activation.faults import Cut, Delay, Fault, Hang, Operation, Reply, lost_answer
from mock_activation.in_thread import MockInThread
from mock_activation.load.client import Step, Verdict
from mock_activation.load.crew import Crew, Plan, Tally
from mock_activation.load.histogram import Histogram
from mock_activation.load.report import Progress, collect, table
from mock_activation.load.verdict import compare, fetch_state
from mock_activation.server import MockActivation
from mock_activation.switches import SamePair, Switches
from tests.unit.mock.vendor_client import KEY, OTHER_KEY, expect_no_key, until


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=60), st.floats(0.0, 1.0))
@settings(max_examples=60, deadline=None)
def test_a_quantile_is_right_to_a_hundredth(values: list[float], fraction: float) -> None:
    """Never too small, and at most 1 % (and a tenth of a microsecond) too large."""
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    exact = sorted(values)[max(0, -int(-fraction * len(values) // 1) - 1)]
    found = histogram.quantile(fraction)
    assert exact <= found <= exact * 1.01 + 1e-7
    assert histogram.longest == max(values)


def test_no_quantile_of_nothing() -> None:
    """An empty histogram answers 0."""
    assert Histogram().quantile(0.5) == 0.0


def plan(mock: MockActivation, *, clients: int = 8, requests: int = 200, **others: float) -> Plan:
    """Return a small plan."""
    return Plan(urlsplit(mock.url), [KEY], clients, others.pop("seconds", 10.0), requests=requests, timeout=5, **others)  # type: ignore[arg-type] # each by its name


async def test_the_clients_count_as_the_server_does() -> None:
    """So many requests and no more; what the clients believe is what the server holds; then all goes back."""
    async with MockActivation({KEY: 100}) as mock, Crew(plan(mock), "0000000a") as crew:
        tally = await crew.play(asyncio.Event())
        assert tally.requests == 200
        assert {verdict for _, verdict in tally.answers} == {Verdict.DONE}
        assert {seat.deployment for view in mock.pool.view() for seat in view.taken} == crew.believed()
        assert not crew.in_doubt()
        await crew.give_back()
        assert [used for used, _ in mock.pool.used().values()] == [0]


async def test_no_free_seat_is_a_refusal() -> None:
    """More clients than seats: the others are refused, and nothing is in doubt."""
    async with MockActivation({KEY: 3}) as mock, Crew(plan(mock, churn=0.1), "0000000a") as crew:
        tally = await crew.play(asyncio.Event())
        assert tally.answers[Step.ACTIVATE, Verdict.REFUSED] > 0
        assert len(crew.believed()) == mock.pool.view()[0].used <= 3


async def test_lost_answers_leave_doubt_and_no_wrong_count() -> None:
    """Who got no answer connects again and gives the seat back: the count is right in spite of the fault."""
    async with MockActivation({KEY: 100}) as mock, Crew(plan(mock), "0000000a") as crew:
        mock.faults.add(lost_answer(Operation.ACTIVATION, times=20))
        mock.faults.add(lost_answer(Operation.DEACTIVATION, times=5))
        tally = await crew.play(asyncio.Event())
        assert sum(number for (_, verdict), number in tally.answers.items() if verdict is Verdict.FAILED) == 25
        assert tally.answers[Step.DEACTIVATE, Verdict.LOST] == 0
        await crew.give_back()
        assert (crew.believed(), crew.in_doubt(), mock.pool.view()[0].used) == (set(), set(), 0)


async def test_silence_is_given_up_after_the_time_out() -> None:
    """A request that is never answered ends with its connection."""
    async with MockActivation({KEY: 100}) as mock:
        quick = Plan(urlsplit(mock.url), [KEY], 1, 10, requests=2, timeout=0.1)
        async with Crew(quick, "0000000a") as crew:
            mock.faults.add(Fault("hang", Hang(), times=1))
            tally = await crew.play(asyncio.Event())
        assert tally.answers == {(Step.ACTIVATE, Verdict.FAILED): 1, (Step.DEACTIVATE, Verdict.DONE): 1}


async def test_hostile_answers_to_a_release_are_none() -> None:
    """HTML, garbage and 503 in place of a confirmation: the client tries again until it is told plainly."""
    replies = [
        Reply(200, b"<html></html>", "text/html"),
        Reply(200, b"\x00\xff"),
        Reply(503, b""),
        Reply(200, b"error: 'x'"),
    ]
    async with MockActivation({KEY: 100}) as mock, Crew(plan(mock, clients=1, churn=0), "0000000a") as crew:
        await crew.play(asyncio.Event())
        for reply in replies:
            mock.faults.add(Fault("status", reply, times=1))
        tally = await crew.give_back()
        assert tally.answers == {(Step.DEACTIVATE, Verdict.FAILED): 4, (Step.DEACTIVATE, Verdict.DONE): 1}
        assert mock.pool.view()[0].used == 0


async def test_an_activation_that_comes_late_is_no_wrong_count() -> None:
    """The server takes the seat after its client gave up and gave it back: told as late, not as counted twice."""
    async with MockActivation({KEY: 100}) as mock:
        quick = Plan(urlsplit(mock.url), [KEY], 1, 10, requests=2, timeout=0.1)
        async with Crew(quick, "0000000a") as crew:
            mock.faults.add(Fault("delay", Delay(0.6), operation=Operation.ACTIVATION, times=1))
            await crew.play(asyncio.Event())
            await until(lambda: mock.pool.view()[0].used == 1)
            state = await asyncio.to_thread(fetch_state, mock.control_url, 5)
            verdict = compare(state, crew.mark, crew.believed(), crew.in_doubt(), crew.may_come_late())
            assert (verdict.on_server, verdict.late, verdict.twice, verdict.is_right) == (1, 1, 0, True)


async def test_a_rate_is_kept() -> None:
    """No faster than asked for, whatever the server could."""
    async with MockActivation({KEY: 100}) as mock:
        async with Crew(plan(mock, requests=0, rate=100, seconds=0.3), "0000000a") as crew:
            tally = await crew.play(asyncio.Event())
        assert 10 <= tally.requests <= 31


async def test_it_stops_when_told(tmp_path: Path) -> None:
    """The plan's end is the latest, not the only one."""
    stop = asyncio.Event()
    async with MockActivation({KEY: 100}) as mock:
        async with Crew(plan(mock, requests=0, seconds=60), "0000000a") as crew:
            asyncio.get_running_loop().call_later(0.05, stop.set)
            tally = await crew.play(stop)
        assert 0 < tally.seconds < 10


@pytest.mark.parametrize(
    ("taken", "used", "lost", "twice", "miscounted"),
    [
        ([("LOAD1-a", 1), ("LOAD1-b", 1), ("LOAD1-d", 1), ("other", 1)], 4, 0, 0, 0),
        ([("LOAD1-a", 1)], 1, 1, 0, 0),
        ([("LOAD1-a", 1), ("LOAD1-b", 2)], 3, 0, 1, 0),
        ([("LOAD1-a", 1), ("LOAD1-b", 1), ("LOAD1-c", 1)], 3, 0, 1, 0),
        ([("LOAD1-a", 1), ("LOAD1-b", 1)], 3, 0, 0, 1),
        ([("LOAD1-a", 1), ("LOAD1-b", 1), ("x", 9)], 11, 0, 0, 1),
    ],
)
def test_what_is_counted_wrong_is_seen(
    taken: list[tuple[str, int]], used: int, lost: int, twice: int, miscounted: int
) -> None:
    """A seat that is missing, one too many, one counted as two, a sum that is not the sum, more than the limit."""
    seats = [{"deployment": name, "units": units} for name, units in taken]
    state = {"keys": [{"used": used, "seats": 10, "taken": seats}]}
    verdict = compare(state, "LOAD1", {"LOAD1-a", "LOAD1-b"}, {"LOAD1-d"})
    assert (verdict.lost, verdict.twice, verdict.miscounted) == (lost, twice, miscounted)
    assert verdict.is_right is not bool(lost or twice or miscounted)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[MockInThread]:
    """Start a server with a key file and a ready file, as ``serve`` leaves them."""
    with MockInThread({KEY: 100}) as mock:
        (tmp_path / "keys.yaml").write_text(f"keys: [{{key: {KEY}, seats: 100}}]\n")
        (tmp_path / "ready.json").write_text(json.dumps({"url": mock.url, "control_url": mock.control_url}))
        yield mock


def load(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a process."""
    command = (sys.executable, "-m", "mock_activation", "load", "--keys", "keys.yaml", "--ready-file", "ready.json")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.run(
        [*command, "--clients", "8", "--requests", "200", *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
    )


def test_the_command_reports(tmp_path: Path, served: MockInThread) -> None:
    """A table for a person, JSON for a program, exit 0, no bar in a pipe, no key anywhere, nothing left behind."""
    text, data = load(tmp_path), load(tmp_path, "--output", "json", "--seed", "7")
    assert (text.returncode, text.stderr, data.returncode, data.stderr) == (0, "", 0, "")
    assert text.stdout.startswith("200 requests, 8 clients, ")
    assert text.stdout.endswith("every seat was counted right\n")
    told = json.loads(data.stdout)
    assert (told["requests"], told["right"], told["checked"], told["seed"]) == (200, True, True, 7)
    assert told["operations"]["activation"]["p50"] <= told["operations"]["activation"]["max"]
    assert told["given_back"]["on_server"] == 0
    assert [used for used, _ in served.do(lambda inside: inside.pool.used()).values()] == [0]
    expect_no_key(text.stdout, data.stdout)


def test_the_command_finds_a_seat_that_counts_twice(tmp_path: Path, served: MockInThread) -> None:
    """A server that takes a seat for each repeated activation: exit 1, and the report says it in capitals."""

    def consume(inside: MockActivation) -> None:
        inside.pool.switches = Switches(same_pair=SamePair.CONSUMES)

    served.do(consume)
    done = load(tmp_path, "--churn", "0", "--requests", "40", "--keep")
    assert done.returncode == 1
    assert "8 counted twice" in done.stdout
    assert done.stdout.endswith("SEATS WERE COUNTED WRONGLY\n")


async def test_a_seat_that_vanishes_is_noticed() -> None:
    """Support takes seats away behind a client's back: its own deactivation tells it."""
    async with MockActivation({KEY: 100}) as mock, Crew(plan(mock, clients=2, churn=0), "0000000a") as crew:
        await crew.play(asyncio.Event())
        mock.pool.clear(0.0)
        assert compare({"keys": []}, crew.mark, crew.believed(), ()).lost == 2
        tally = await crew.give_back()
        assert tally.answers == {(Step.DEACTIVATE, Verdict.LOST): 2}
        report = collect(crew, tally, None, None)
        assert (report["right"], report["checked"]) == (False, False)
        assert "2 times the server knew nothing" in table(report)


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--url", "https://activation.dl.opswat.com"], 78, "--url: only addresses of this machine"),
        (["--url", "http://192.0.2.1:8480"], 78, "--url: only addresses of this machine"),
        (["--url", "http://localhost.example.com"], 78, "--url: only addresses of this machine"),
        (["--control-url", "http://192.0.2.1"], 78, "--control-url: only addresses of this machine"),
        (["--url", "ftp://127.0.0.1"], 78, "--url: a URL such as"),
        (["--url", "http://[::1"], 78, "--url: not a URL"),
        (["--url", "https://127.0.0.1", "--ca-file", "keys.yaml"], 78, "keys.yaml: "),
        (["--ready-file", "keys.yaml"], 78, "keys.yaml: not the line of JSON that serve writes"),
        (["--ready-file", "absent"], 78, "absent: No such file"),
        (["--keys", "empty.yaml"], 78, "empty.yaml: there is no key in it"),
        (["--keys", "absent"], 78, "absent: No such file"),
        (["--control-url", "http://127.0.0.1:1"], 69, "the server cannot be reached: Connection refused"),
        (["--clients", "0"], 64, "a whole number from 1 to 20000 is needed"),
        (["--clients", "20001"], 64, "a whole number from 1 to 20000 is needed"),
        (["--rate", "nan"], 64, "a number of requests a second, or max"),
        (["--duration", "inf"], 64, "a number of seconds"),
        (["--churn", "1.5"], 64, "a number from 0 to 1"),
        (["--key", "<KEY>"], 64, "unrecognized arguments: --key ***"),
    ],
)
def test_bad_input_is_one_clear_message(
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    code: int,
    says: str,
) -> None:
    """64, 69 or 78 and a sentence; nothing but this machine is ever asked; never a traceback, never a key."""
    monkeypatch.chdir(tmp_path)
    Path("keys.yaml").write_text(f"keys: [{{key: {KEY}, seats: 1}}]")
    Path("empty.yaml").write_text("keys: []")
    try:
        ended = run(["load", "--keys", "keys.yaml", *(option.replace("<KEY>", KEY) for option in options)])
    except SystemExit as end:
        ended = int(end.code or 0)
    out, err = capsys.readouterr()
    assert (ended, out) == (code, "")
    assert says in err
    assert "Traceback" not in err
    expect_no_key(err)


def test_another_server_is_not_taken_for_the_control_port(
    tmp_path: Path, served: MockInThread, capsys: pytest.CaptureFixture[str]
) -> None:
    """The addresses the wrong way round: a sentence instead of a load."""
    options = ["--url", served.control_url, "--control-url", served.url]
    assert run(["load", "--keys", str(tmp_path / "keys.yaml"), *options]) == 69
    assert capsys.readouterr().err.startswith("mock-activation load: the server cannot be reached: ")


def test_a_server_that_answers_nothing_of_use_is_not_right(tmp_path: Path, served: MockInThread) -> None:
    """Only failures: exit 69 and a sentence, although nothing was counted wrong."""
    served.do(lambda inside: inside.faults.add(Fault("cut", Cut())))
    done = load(tmp_path, "--timeout", "0.2", "--requests", "20")
    assert (done.returncode, done.stderr) == (69, "mock-activation load: there was not a single answer\n")


async def test_the_bar_is_drawn_on_a_terminal_only() -> None:
    """Share done, requests, rate, seats; removed at the end; not a byte into a pipe."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, pipe = Terminal(), io.StringIO()
    async with MockActivation({KEY: 9}) as mock, Crew(plan(mock, requests=10), "0000000a") as crew:
        for stream in (terminal, pipe):
            crew.tally = Tally(seconds=5.0)
            progress = Progress(stream)
            progress.show(crew)
            progress.end()
    assert terminal.getvalue().startswith("\r[############............]  50%  0 requests, 0/s, 0 seats")
    assert terminal.getvalue().endswith("\r\x1b[K")
    assert pipe.getvalue() == ""


async def test_several_keys_share_the_clients() -> None:
    """Each key of the file gets its part."""
    async with MockActivation({KEY: 100, OTHER_KEY: 100}) as mock:
        shared = Plan(urlsplit(mock.url), [KEY, OTHER_KEY], 8, 10, churn=0, requests=8)
        async with Crew(shared, "0000000a") as crew:
            await crew.play(asyncio.Event())
            assert [used for used, _ in mock.pool.used().values()] == [4, 4]


def test_nothing_heavy_is_loaded() -> None:
    """The load generator needs no web server and no HTTP library: it shall be the cheaper side."""
    code = "import sys, mock_activation.load.command; sys.exit('aiohttp' in sys.modules or 'httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
