"""The rarer faults as a client meets them, and which requests a rule chooses."""

import asyncio
import json
import time
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from random import Random
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_activation.answers import Outcome
from mock_activation.chance import MOST_COUNTED, Chance
from mock_activation.fault_input import parse_fault, written
from mock_activation.faults import (
    NAMES,
    CountBy,
    Cut,
    Delay,
    Distribution,
    Fault,
    Faults,
    Garbage,
    Operation,
    Window,
)
from mock_activation.journal import Fate
from mock_activation.profiles import PROFILES, choose
from tests.unit.mock.vendor_client import KEY, A, B, Vendor, until

ACTIVATION, DEACTIVATION = Operation


async def add(vendor: Vendor, **fault: object) -> None:
    """Add a fault over the control port."""
    answer = await vendor.control("POST", "/faults", fault)
    assert (answer.status, answer.json().get("error")) == (201, None)


async def raw_end(vendor: Vendor) -> tuple[bytes, bool]:
    """Activate; return the bytes that came, and whether the end was a reset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(vendor.mock.url).port)
    writer.write(f"GET /activation?key={KEY}&deployment={A}&quantity=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    received = b""
    try:
        async with asyncio.timeout(5):
            while more := await reader.read(65_536):
                received += more
    except ConnectionResetError:
        return received, True
    finally:
        writer.close()
    return received, False


@pytest.mark.parametrize(
    ("name", "reset", "used"),
    [("cut", False, 0), ("lost-answer", False, 1), ("reset", True, 0), ("reset-after", True, 1)],
)
async def test_ends_without_an_answer(*, vendor: Vendor, name: str, reset: bool, used: int) -> None:
    """In good order or by reset, before the seat is taken or after."""
    await add(vendor, fault=name, times=1)
    assert await raw_end(vendor) == (b"", reset)
    assert vendor.used() == used
    assert vendor.mock.journal.entries()[0].fate is Fate.UNANSWERED


async def test_truncated_answer_is_announced_in_full(vendor: Vendor) -> None:
    """The head says how long the body is, and half of it comes; the seat is taken."""
    await add(vendor, fault="truncate", times=1)
    answer = await vendor.activate(A)
    assert answer.status_line == "HTTP/1.1 200 Ok"
    assert int(answer.headers["content-length"]) // 2 == len(answer.body)
    assert vendor.used() == 1
    (entry,) = vendor.mock.journal.entries()
    assert (entry.outcome, entry.fate) == ("activated", Fate.UNANSWERED)
    whole = await vendor.activate(A)
    assert whole.body.startswith(answer.body)


async def test_an_empty_body_is_truncated_in_its_head(vendor: Vendor) -> None:
    """There is nothing else to be cut short."""
    await vendor.control("PATCH", "/switches", {"release_body": "empty"})
    await vendor.activate(A)
    await add(vendor, fault="truncate", keep=0.2)
    assert (await vendor.deactivate(A)).status_line.startswith("HTTP/1.1 2")
    assert vendor.used() == 0


async def test_garbage_is_no_http_and_the_same_for_the_same_seed(vendor: Vendor) -> None:
    """Bytes that the seed chooses, or those that were asked for; no seat is taken."""
    received = []
    for _ in range(2):
        await vendor.control("PUT", "/profile", {"name": "calm", "seed": 5})
        await add(vendor, fault="garbage", size=32)
        received.append(await raw_end(vendor))
    assert received[0] == received[1]
    assert len(received[0][0]) == 32
    await vendor.control("DELETE", "/faults")
    await add(vendor, fault="garbage", body="SSH-2.0-x\r\n")
    assert await raw_end(vendor) == (b"SSH-2.0-x\r\n", False)
    assert vendor.used() == 0


async def test_drip_brings_everything_slowly(vendor: Vendor) -> None:
    """The right answer in pieces; as whole as any other at its end."""
    await add(vendor, fault="drip", seconds=0.01, size=64, times=1)
    begin = time.monotonic()
    answer = await vendor.activate(A)
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert time.monotonic() - begin >= 0.01 * (len(answer.body) // 64)
    assert vendor.mock.journal.entries()[0].fate is Fate.ANSWERED


async def test_nobody_drips_for_a_client_that_has_gone(vendor: Vendor) -> None:
    """The seat is taken; the entry tells that the answer did not arrive."""
    await add(vendor, fault="drip", seconds=0.02, size=1)
    writer = await vendor.send_and_forget(A)
    await until(lambda: vendor.used() == 1)
    writer.close()
    await writer.wait_closed()
    await until(lambda: vendor.mock.journal.entries()[0].fate is Fate.UNANSWERED)


async def test_wrong_content_type_and_stale_date(vendor: Vendor) -> None:
    """The right answer under a wrong header."""
    await add(vendor, fault="content-type", content_type="text/html", times=1)
    answer = await vendor.activate(A)
    assert (answer.headers["content-type"], answer.body[:1]) == ("text/html", b"#")
    await add(vendor, fault="stale-date", seconds=-86_400, times=1)
    stale = parsedate_to_datetime((await vendor.activate(A)).headers["date"]).timestamp()
    assert 86_390 < time.time() - stale < 86_410


async def test_retry_after_as_a_date_by_a_wrong_clock(vendor: Vendor) -> None:
    """The date is so many seconds after what ``Date`` says, right or wrong."""
    await add(vendor, fault="status", status=429, retry_after_date=30, date_offset=-3600)
    headers = (await vendor.activate(A)).headers
    date, wish = (parsedate_to_datetime(headers[name]).timestamp() for name in ("date", "retry-after"))
    assert wish - date == 30
    assert 3590 < time.time() - date < 3610


@pytest.mark.parametrize("reason", ["no_seats", "expired", "suspended", "wrong_product", "unknown_key"])
async def test_refusals_by_fault(vendor: Vendor, reason: str) -> None:
    """The pool answers as if; nothing is taken, and a deactivation is as ever."""
    await add(vendor, fault="refuse", reason=reason)
    answer = await vendor.activate(A)
    assert answer.status_line == "HTTP/1.1 200 Activation failed"
    assert vendor.mock.journal.entries()[0].outcome == reason
    assert vendor.used() == 0


async def test_a_fault_may_wait_first(vendor: Vendor) -> None:
    """``wait``: the effect comes so many seconds later; a slow 503."""
    await add(vendor, fault="status", wait=0.05)
    begin = time.monotonic()
    assert (await vendor.activate(A)).status == 503
    assert time.monotonic() - begin >= 0.05


# -- which requests --------------------------------------------------------------------------------------------------


def fired(faults: Faults, asked: Iterable[tuple[Operation, str]]) -> list[bool]:
    """Ask, and tell which requests a fault happened to."""
    return [faults.pick(operation, deployment, "") is not None for operation, deployment in asked]


@pytest.mark.parametrize(
    ("pattern", "about"),
    [("MSCL*", True), ("MSCL00*01", False), ("*0", True), ("MSCL" + "?" * 32, True), ("MSCL?", False), ("*.*", False)],
)
def test_deployments_by_pattern(*, pattern: str, about: bool) -> None:
    """``*`` is any text, ``?`` one character, everything else itself."""
    faults = Faults()
    faults.add(Fault("cut", Cut(), deployment=pattern))
    assert fired(faults, [(ACTIVATION, A)]) == [about]


def test_nth_and_every() -> None:
    """The third; every third; the second and every third after it."""
    for limits, expected in (
        ({"nth": 3}, [3]),
        ({"every": 3}, [3, 6, 9]),
        ({"nth": 2, "every": 3}, [2, 5, 8]),
    ):
        faults = Faults()
        faults.add(Fault("cut", Cut(), operation=ACTIVATION, **limits))  # type: ignore[arg-type]
        happened = fired(faults, [(ACTIVATION, A)] * 9)
        assert [number for number, it in enumerate(happened, 1) if it] == expected


def test_counting_by_deployment_does_not_depend_on_the_order() -> None:
    """``count_by: deployment``: the second request of each, whoever comes first."""
    faults = Faults()
    faults.add(Fault("cut", Cut(), nth=2, count_by=CountBy.DEPLOYMENT))
    assert fired(faults, [(ACTIVATION, A), (ACTIVATION, B), (ACTIVATION, B), (ACTIVATION, A), (ACTIVATION, A)]) == [
        False,
        False,
        True,
        True,
        False,
    ]


def test_windows_open_and_close() -> None:
    """From, to, and again each period, counted from when the rule was added."""
    now = 1000.0
    faults = Faults(now=lambda: now)
    faults.add(Fault("cut", Cut(), window=Window(10.0, 20.0, 30.0)))
    seen = []
    for elapsed in (0, 9, 10, 19, 20, 39, 40, 49, 50):
        now = 1000.0 + elapsed
        seen += fired(faults, [(ACTIVATION, A)])
    assert seen == [False, False, True, True, False, False, True, True, False]


def test_probability_is_about_right() -> None:
    """A tenth is about a tenth, for both ways of asking: many deployments, and one many times."""
    for asked in ([(ACTIVATION, f"MSCL{n:032x}") for n in range(5000)], [(ACTIVATION, A)] * 5000):
        faults = Faults(seed=1)
        faults.add(Fault("cut", Cut(), probability=0.1))
        assert 400 < sum(fired(faults, asked)) < 600


@given(st.randoms(use_true_random=False), st.integers(0, 2**32))
def test_a_run_replays_whatever_the_order_of_arrival(shuffle: Random, seed: int) -> None:
    """Profile ``hostile``: what happens to the n-th request of a kind is the same in any order of arrival."""
    asked = [(operation, f"MSCL{n:032x}") for operation in Operation for n in range(4) for _ in range(5)]
    told: list[dict[tuple[Operation, str, int], object]] = []
    for _ in range(2):
        shuffle.shuffle(asked)
        faults = Faults()
        choose(faults, "hostile", seed)
        times: dict[tuple[Operation, str], int] = {}
        happened = {}
        for operation, deployment in asked:
            times[operation, deployment] = times.get((operation, deployment), 0) + 1
            happened[operation, deployment, times[operation, deployment]] = faults.pick(operation, deployment, "")
        told.append(happened)
    assert told[0] == told[1]


def test_another_seed_is_another_run() -> None:
    """And the same seed again the same one, in the same process."""
    runs = []
    for seed in (1, 2, 1):
        faults = Faults()
        choose(faults, "hostile", seed)
        runs.append(fired(faults, [(ACTIVATION, f"MSCL{n:032x}") for n in range(200)]))
    assert runs[0] == runs[2] != runs[1]


async def test_a_run_over_the_network_replays(vendor: Vendor) -> None:
    """The same profile and seed, the same requests all at once: the same answers, although they race."""
    runs = []
    profile = [
        Fault("status", parse_fault({"fault": "status"}).effect, probability=0.3),
        Fault("cut", Cut(), processed=True, probability=0.3),
        Fault("delay", Delay(0.01, Distribution.EXPONENTIAL), probability=0.5),
    ]
    for _ in range(2):
        vendor.mock.backend.reset()
        vendor.mock.backend.reseed(11)
        for fault in profile:
            vendor.mock.faults.add(fault)
        names = [f"MSCL{n:032x}" for n in range(30)]
        await asyncio.gather(*(vendor.deactivate(name) for name in names for _ in range(2)))
        entries = vendor.mock.journal.entries()
        runs.append(sorted((entry.deployment, entry.fault, entry.status or 0) for entry in entries))
    assert runs[0] == runs[1]
    assert {fault for _, fault, _ in runs[0]} == {"", "status", "cut", "delay"}


@pytest.mark.parametrize("distribution", Distribution)
def test_delays_follow_their_distribution(distribution: Distribution) -> None:
    """Fixed, between two bounds, by mean, by median; never above ``most``."""
    faults = Faults(seed=3)
    faults.add(Fault("delay", Delay(1.0, distribution, most=4.0, sigma=0.5)))
    drawn = []
    for number in range(4000):
        fault = faults.pick(ACTIVATION, f"MSCL{number:032x}", "")
        assert fault is not None
        assert isinstance(fault.effect, Delay)
        drawn.append(fault.effect.seconds)
    drawn.sort()
    middle, mean = drawn[2000], sum(drawn) / len(drawn)
    assert drawn[0] >= 0.0
    assert drawn[-1] <= 4.0
    expected = {
        Distribution.FIXED: (1.0, 1.0),
        Distribution.UNIFORM: (2.5, 2.5),
        Distribution.EXPONENTIAL: (0.69, 0.98),
        Distribution.LOGNORMAL: (1.0, 1.13),
    }[distribution]
    assert (middle, mean) == pytest.approx(expected, abs=0.1)


def test_counts_are_bounded() -> None:
    """A million deployments do not make it grow; the one that was silent longest begins again."""
    chance = Chance(1)
    for number in range(MOST_COUNTED + 1):
        assert chance.count("activation", str(number)) == 1
    assert chance.count("activation", str(MOST_COUNTED)) == 2
    assert chance.count("activation", "0") == 1
    assert len(chance._counted) == MOST_COUNTED


@pytest.mark.parametrize("name", NAMES)
def test_each_fault_is_written_as_it_is_read(name: str) -> None:
    """JSON, fault, JSON, fault: the same again, with everything that can be said."""
    asked: dict[str, object] = {"fault": name, "times": 3, "nth": 2, "every": 4, "count_by": "deployment"}
    asked |= {"probability": 0.5, "window": {"from": 1, "to": 2, "every": 3}}
    if name != "tls-handshake":
        asked |= {"operation": "activation", "deployment": "MSCL*", "key_fingerprint": "0123456789ab", "wait": 1.5}
    if name == "delay":
        asked |= {"seconds": 1, "distribution": "uniform", "most": 5}
    if name == "status":
        asked |= {"status": 429, "body": "x", "content_type": "text/html", "retry_after_date": 5, "date_offset": -5}
    fault = parse_fault(asked)
    again = json.loads(json.dumps(written(fault)))
    assert parse_fault(again) == fault
    assert {name: again[name] for name in asked if name not in ("window", "seconds")} == {
        name: value for name, value in asked.items() if name not in ("window", "seconds")
    }


def test_garbage_that_was_asked_for_is_kept() -> None:
    """Bytes that somebody named are sent as they are."""
    fault = parse_fault({"fault": "garbage", "body": "x"})
    assert fault.effect == Garbage(b"x")
    assert parse_fault(written(fault)) == fault


def test_every_profile_says_what_it_is() -> None:
    """Summary, name, and rules that are faults of a known name."""
    assert [profile.name for profile in PROFILES.values()] == list(PROFILES)
    assert all(profile.summary for profile in PROFILES.values())
    assert {fault.name for profile in PROFILES.values() for fault in profile.faults} <= set(NAMES)
    assert {fault.effect.__class__ for fault in PROFILES["hostile"].faults} >= {Cut, Delay, Garbage}
    assert [fault.effect.outcome for fault in PROFILES["expired"].faults] == [Outcome.EXPIRED]  # type: ignore[union-attr]
