"""``serve --state`` is killed again and again while clients take seats and give them back: no answer was a lie."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

from mock_activation.load.client import Step, Verdict
from mock_activation.load.crew import Crew, Plan
from mock_activation.load.verdict import compare, fetch_state
from mock_activation.state_file import StateFile
from tests.process.mock_server import MortalMock
from tests.process.scene import made_up_key

KILLS = 20
CLIENTS = 24
SEATS = 16


@contextmanager
def running(folder: Path, key: str) -> Iterator[MortalMock]:
    """Start a mock with a state file; at the end it is dead."""
    keys = folder / "keys.yaml"
    keys.write_text(f"keys: [{{key: {key}, seats: {SEATS}}}]\n")
    mock = MortalMock(folder, "--keys", str(keys), "--state", str(folder / "state"))
    try:
        yield mock
    finally:
        mock.kill()


async def test_no_answered_seat_is_lost_in_twenty_kills(tmp_path: Path) -> None:
    """After each SIGKILL under load: every seat that was granted is there, every one that was given back is not."""
    random = Random(4)
    key = made_up_key("kills of the mock")
    answers: Counter[tuple[Step, Verdict]] = Counter()
    doubts = beliefs = 0
    with running(tmp_path, key) as mock:
        plan = Plan(urlsplit(mock.told["url"]), [key], clients=CLIENTS, seconds=60, timeout=5)
        async with Crew(plan, "00000004") as crew:
            for kill in range(KILLS):
                enough, stop = random.randrange(20, 400), asyncio.Event()
                playing = asyncio.ensure_future(crew.play(stop))
                while crew.tally.requests < enough and not playing.done():
                    await asyncio.sleep(0.001)
                mock.kill()
                stop.set()
                answers += (await playing).answers
                doubts += len(crew.in_doubt())
                beliefs += len(crew.believed())
                mock.start()
                state = fetch_state(mock.told["control_url"], 5)
                verdict = compare(state, crew.mark, crew.believed(), crew.in_doubt())
                assert verdict.is_right, f"kill {kill + 1}: {verdict}"
            await crew.give_back()
            assert compare(fetch_state(mock.told["control_url"], 5), crew.mark, (), ()).on_server == 0
    assert answers[Step.ACTIVATE, Verdict.LOST] + answers[Step.DEACTIVATE, Verdict.LOST] == 0
    assert answers[Step.ACTIVATE, Verdict.DONE] > 1000
    assert answers[Step.DEACTIVATE, Verdict.DONE] > 500
    assert doubts > KILLS  # the kills met requests on their way
    assert beliefs > KILLS  # and seats that had been granted
    with closing(StateFile(tmp_path / "state")) as file:
        assert [len(kept.seats) for kept in file.read().keys] == [0]
