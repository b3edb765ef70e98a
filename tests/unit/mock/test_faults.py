"""Every fault as a client meets it, and the order of the rules."""

import asyncio
import time

import pytest

from mock_activation.faults import Cut, Delay, Fault, Faults, Hang, Operation, Reply, lost_answer
from mock_activation.journal import Fate, Journal
from mock_activation.server import MockActivation
from tests.unit.mock.vendor_client import KEY, A, B, Vendor, until


async def test_lost_answer_counts_the_seat_and_says_nothing(vendor: Vendor) -> None:
    """The connection ends without a byte, the seat is taken, and the same ID can be activated again for free."""
    vendor.mock.faults.add(lost_answer(Operation.ACTIVATION, times=1))
    assert (await vendor.activate(A)).status_line == ""
    assert vendor.used() == 1
    (entry,) = vendor.mock.journal.entries()
    assert (entry.fate, entry.outcome, entry.status, entry.fault) == (Fate.UNANSWERED, "activated", None, "lost-answer")
    assert (await vendor.activate(A)).status_line == "HTTP/1.1 200 Ok"
    assert vendor.used() == 1


async def test_lost_answer_of_a_deactivation_frees_the_seat(vendor: Vendor) -> None:
    """The client does not know, asks again, and is told 404."""
    await vendor.activate(A)
    vendor.mock.faults.add(lost_answer(Operation.DEACTIVATION, times=1))
    assert (await vendor.deactivate(A)).status_line == ""
    assert vendor.used() == 0
    assert (await vendor.deactivate(A)).status == 404


async def test_cut_before_processing_takes_no_seat(vendor: Vendor) -> None:
    """The connection ends without a byte and the pool never saw the request."""
    vendor.mock.faults.add(Fault("cut", Cut(), times=1))
    assert (await vendor.activate(A)).status_line == ""
    assert vendor.used() == 0
    assert vendor.mock.journal.entries()[0].outcome == ""


async def test_delay_happens_before_processing(vendor: Vendor) -> None:
    """The seat is not taken until the delay is over; then the right answer arrives."""
    vendor.mock.faults.add(Fault("delay", Delay(0.15)))
    begin = time.monotonic()
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(vendor.activate(A))
        await until(vendor.mock.journal.entries)
        assert vendor.used() == 0
        assert vendor.mock.journal.entries()[0].fate is Fate.PENDING
    assert time.monotonic() - begin >= 0.15
    assert answer.result().status_line == "HTTP/1.1 200 Ok"
    assert vendor.mock.journal.entries()[0].status == 200


async def test_delayed_request_takes_effect_after_the_client_has_gone(vendor: Vendor) -> None:
    """A late activation: the client gave up, the seat is taken all the same."""
    vendor.mock.faults.add(Fault("delay", Delay(0.1)))
    writer = await vendor.send_and_forget(A)
    await until(vendor.mock.journal.entries)
    writer.close()
    await writer.wait_closed()
    assert vendor.used() == 0
    await until(lambda: vendor.used() == 1)
    assert vendor.mock.journal.entries()[0].fate is Fate.UNANSWERED


async def test_delay_after_processing_holds_the_answer_back(vendor: Vendor) -> None:
    """``processed``: the seat is taken at once, the answer comes later."""
    vendor.mock.faults.add(Fault("delay", Delay(0.1), processed=True))
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(vendor.activate(A))
        await until(lambda: vendor.used() == 1)
        assert not answer.done()
    assert answer.result().status_line == "HTTP/1.1 200 Ok"


@pytest.mark.parametrize("retry_after", ["", "7", "Wed, 21 Oct 2026 07:28:00 GMT"])
async def test_status_with_and_without_retry_after(vendor: Vendor, retry_after: str) -> None:
    """Any status, with the header in either form or without it; no seat is taken."""
    vendor.mock.faults.add(Fault("status", Reply(429, b"slow down\n", retry_after=retry_after)))
    answer = await vendor.activate(A)
    assert (answer.status_line, answer.body) == ("HTTP/1.1 429 Too Many Requests", b"slow down\n")
    assert answer.headers.get("retry-after", "") == retry_after
    assert vendor.used() == 0


async def test_status_after_processing_is_a_gateway_that_gave_up(vendor: Vendor) -> None:
    """``processed`` with a status: the seat is taken and the client is told 504."""
    vendor.mock.faults.add(Fault("status", Reply(504, b""), processed=True))
    assert (await vendor.activate(A)).status == 504
    assert vendor.used() == 1


async def test_hang_answers_nothing_and_ends_with_the_server() -> None:
    """A hanging request is neither processed nor answered; stopping the server cuts it at once."""
    async with asyncio.TaskGroup() as group:
        async with MockActivation({KEY: 1}) as mock:
            mock.faults.add(Fault("hang", Hang()))
            mock.faults.add(Fault("delay", Delay(600.0)))
            answer = group.create_task(Vendor(mock).activate(A))
            await until(mock.journal.entries)
            await asyncio.sleep(0.05)
            assert not answer.done()
            begin = time.monotonic()
        assert time.monotonic() - begin < 1.5
    assert answer.result().status_line == ""
    assert mock.journal.entries()[0].fate is Fate.UNANSWERED


async def test_nobody_hangs_for_a_client_that_has_gone(vendor: Vendor) -> None:
    """Requests that hang do not pile up: the server notices that the connection ended."""
    vendor.mock.faults.add(Fault("hang", Hang()))
    writer = await vendor.send_and_forget(A)
    await until(vendor.mock.journal.entries)
    writer.close()
    await writer.wait_closed()
    await until(lambda: vendor.mock.journal.entries()[0].fate is Fate.UNANSWERED)


async def test_html_is_a_captive_portal(vendor: Vendor) -> None:
    """200 with HTML, over the control port as a person would ask for it."""
    assert (await vendor.control("POST", "/faults", {"fault": "html"})).status == 201
    answer = await vendor.activate(A)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html")
    assert answer.body.startswith(b"<!DOCTYPE html>")
    assert vendor.used() == 0


def test_rules_match_by_operation_deployment_and_key() -> None:
    """A rule that names something else lets the request pass."""
    faults = Faults()
    faults.add(Fault("cut", Cut(), operation=Operation.ACTIVATION, deployment=A, key_fingerprint="0123456789ab"))
    assert faults.pick(Operation.DEACTIVATION, A, "0123456789ab") is None
    assert faults.pick(Operation.ACTIVATION, B, "0123456789ab") is None
    assert faults.pick(Operation.ACTIVATION, None, "0123456789ab") is None
    assert faults.pick(Operation.ACTIVATION, A, "ba9876543210") is None
    assert faults.pick(Operation.ACTIVATION, A, "0123456789ab") is not None


def test_rules_are_used_up_in_order() -> None:
    """The first that matches wins, as often as it may; then the next; then the right answer."""
    faults = Faults()
    numbers = [faults.add(Fault("cut", Cut(), times=2)), faults.add(Fault("hang", Hang(), times=1))]
    picked = [faults.pick(Operation.ACTIVATION, A, "") for _ in range(4)]
    assert [fault and fault.name for fault in picked] == ["cut", "cut", "hang", None]
    assert [(rule.number, rule.fired) for rule in faults.rules()] == list(zip(numbers, (2, 1), strict=True))
    assert (faults.fired["cut"], faults.fired["hang"]) == (2, 1)


def test_removed_rules_do_nothing() -> None:
    """By number or all at once; a number is never used twice."""
    faults = Faults()
    first = faults.add(Fault("cut", Cut()))
    assert faults.remove(first)
    assert not faults.remove(first)
    second = faults.add(Fault("cut", Cut()))
    assert second > first
    faults.clear()
    assert not faults
    assert faults.pick(Operation.ACTIVATION, A, "") is None


def test_journal_is_bounded() -> None:
    """Only the last entries are kept; their numbers go on."""
    journal = Journal(length=2)
    for number in range(5):
        journal.open(float(number), Operation.ACTIVATION, "", A, "1")
    assert [entry.number for entry in journal.entries()] == [4, 5]
    journal.clear()
    journal.open(9.0, Operation.ACTIVATION, "", A, "1")
    assert [entry.number for entry in journal.entries()] == [6]
