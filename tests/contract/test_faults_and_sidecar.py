"""Each fault of the mock, and what the sidecar's own client makes of it: which error, perhaps sent or not, what then.

After every fault the same client asks again and gets its seat, or gives it back: no fault leaves anything behind. The
simulation (``tests/simulation/hostility.py``) stands on this table.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from mock_activation.fault_input import parse_fault
from mock_activation.faults import NAMES
from mock_activation.server import MockActivation
from sidecar.adapters.activation_server import HttpActivationServer
from sidecar.core.facts import Licence
from sidecar.core.reasons import Failure
from sidecar.errors import ActivationOutage, ActivationRefused
from sidecar.ports import Deactivation
from sidecar.secrets import Secret

KEY = Secret("FAUL-TSAN-DSID-ECAR-0000-0000-0001")
ID = f"MSCL{1:032X}"
TIMEOUT = 0.5


@dataclass(frozen=True)
class Case:
    """A fault, what a client makes of it, and whether the seat is taken although (or before) it knows."""

    fault: Mapping[str, object]
    reason: Failure | None
    taken: bool
    sent: bool = True
    retry_after: float | None = None
    refused: Failure | None = None

    def __str__(self) -> str:
        return "-".join(map(str, self.fault.values())).replace(" ", "")[:40]


CASES = (
    Case({"fault": "lost-answer"}, Failure.NETWORK, taken=True),
    Case({"fault": "cut"}, Failure.NETWORK, taken=False),
    Case({"fault": "reset"}, Failure.NETWORK, taken=False),
    Case({"fault": "reset-after"}, Failure.NETWORK, taken=True),
    Case({"fault": "delay", "seconds": 0.02}, None, taken=True),
    Case({"fault": "delay", "seconds": 30}, Failure.TIMEOUT, taken=False),
    Case({"fault": "delay", "seconds": 30, "processed": True}, Failure.TIMEOUT, taken=True),
    Case({"fault": "hang"}, Failure.TIMEOUT, taken=False),
    Case({"fault": "hang", "processed": True}, Failure.TIMEOUT, taken=True),
    Case({"fault": "status", "status": 503, "retry_after": 7}, Failure.HTTP_5XX, taken=False, retry_after=7.0),
    Case(
        {"fault": "status", "status": 429, "retry_after_date": 9, "date_offset": -3600},
        Failure.RATE_LIMITED,
        taken=False,
        retry_after=9.0,
    ),
    Case({"fault": "status", "status": 502, "processed": True}, Failure.HTTP_5XX, taken=True),
    Case({"fault": "status", "status": 404}, Failure.PROTOCOL, taken=False),
    Case({"fault": "status", "status": 200, "body": ""}, Failure.PROTOCOL, taken=False),
    Case({"fault": "status", "status": 302}, Failure.PROTOCOL, taken=False),
    Case({"fault": "html"}, Failure.PROTOCOL, taken=False),
    Case({"fault": "truncate"}, Failure.NETWORK, taken=True),
    Case({"fault": "garbage"}, Failure.PROTOCOL, taken=False),
    Case({"fault": "garbage", "body": "half a li"}, Failure.NETWORK, taken=False),
    Case({"fault": "garbage", "processed": True}, Failure.PROTOCOL, taken=True),
    Case({"fault": "drip", "seconds": 0.002, "size": 64}, None, taken=True),
    Case({"fault": "drip", "seconds": 0.2, "size": 16}, Failure.TIMEOUT, taken=True),
    Case({"fault": "content-type", "content_type": "text/html"}, None, taken=True),
    Case({"fault": "stale-date"}, None, taken=True),
    Case({"fault": "refuse", "reason": "no_seats"}, None, taken=False, refused=Failure.NO_SEATS),
    Case({"fault": "refuse", "reason": "expired"}, None, taken=False, refused=Failure.EXPIRED),
    Case({"fault": "tls-handshake"}, Failure.TLS, taken=False, sent=False),
)


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the authority of the mock of this test is written."""
    return tmp_path_factory.mktemp("authority") / "ca.pem"


@pytest.fixture
async def mock() -> AsyncIterator[MockActivation]:
    """Run a mock with one key of one seat."""
    async with MockActivation({KEY.reveal(): 1}) as mock:
        yield mock


def used(mock: MockActivation) -> int:
    """Return the seats that are taken."""
    return sum(used for used, _ in mock.pool.used().values())


async def ask(server: HttpActivationServer, case: Case) -> None:
    """Activate, and compare what comes of it with the case."""
    if case.refused is not None:
        with pytest.raises(ActivationRefused) as refused:
            await server.activate(KEY, ID)
        assert refused.value.reason is case.refused
    elif case.reason is not None:
        with pytest.raises(ActivationOutage) as outage:
            await server.activate(KEY, ID)
        assert (outage.value.reason, outage.value.sent) == (case.reason, case.sent)
        assert outage.value.retry_after == case.retry_after
    else:
        assert isinstance(await server.activate(KEY, ID), Licence)


def test_every_fault_is_in_the_table() -> None:
    """No fault of the mock without a row."""
    assert {case.fault["fault"] for case in CASES} == set(NAMES)


@pytest.mark.parametrize("case", [case for case in CASES if case.fault["fault"] != "tls-handshake"], ids=str)
async def test_an_activation_meets_a_fault(mock: MockActivation, case: Case) -> None:
    """The error is the right one, "sent" is honest, and the next attempt gets the one seat that there is."""
    server = HttpActivationServer(mock.url, timeout=TIMEOUT)
    mock.faults.add(parse_fault({**case.fault, "operation": "activation", "times": 1}))
    await ask(server, case)
    assert used(mock) == case.taken
    assert isinstance(await server.activate(KEY, ID), Licence)
    assert used(mock) == 1
    await server.aclose()


@pytest.mark.parametrize("case", [case for case in CASES if case.fault["fault"] == "tls-handshake"], ids=str)
async def test_a_handshake_fails(case: Case, ca_file: Path) -> None:
    """It is certain that nothing was sent, and the next attempt gets the seat."""
    async with MockActivation({KEY.reveal(): 1}, tls=True) as mock:
        assert mock.ca_pem is not None
        ca_file.write_bytes(mock.ca_pem)
        server = HttpActivationServer(mock.url.replace("127.0.0.1", "localhost"), timeout=5.0, ca_file=ca_file)
        mock.faults.add(parse_fault({**case.fault, "times": 1}))
        await ask(server, case)
        assert used(mock) == 0
        assert isinstance(await server.activate(KEY, ID), Licence)
        await server.aclose()


@pytest.mark.parametrize(
    ("fault", "free"),
    [
        ({"fault": "lost-answer"}, True),
        ({"fault": "reset"}, False),
        ({"fault": "reset-after"}, True),
        ({"fault": "hang", "processed": True}, True),
        ({"fault": "status", "status": 502, "processed": True}, True),
        ({"fault": "html"}, False),
        ({"fault": "html", "processed": True}, True),
        ({"fault": "garbage"}, False),
        ({"fault": "truncate"}, True),
    ],
    ids=str,
)
async def test_a_deactivation_meets_a_fault(*, mock: MockActivation, fault: dict[str, object], free: bool) -> None:
    """Never taken for done; the next attempt frees the seat, or is told that it is free already."""
    server = HttpActivationServer(mock.url, timeout=TIMEOUT)
    await server.activate(KEY, ID)
    mock.faults.add(parse_fault({**fault, "operation": "deactivation", "times": 1}))
    with pytest.raises(ActivationOutage) as outage:
        await server.deactivate(KEY, ID)
    assert outage.value.sent
    assert used(mock) == (0 if free else 1)
    assert await server.deactivate(KEY, ID) is (Deactivation.UNKNOWN if free else Deactivation.RELEASED)
    assert used(mock) == 0
    await server.aclose()


@pytest.mark.parametrize("fault", [{"fault": "content-type"}, {"fault": "stale-date"}, {"fault": "drip", "size": 4}])
async def test_a_deactivation_with_a_strange_answer_is_done(mock: MockActivation, fault: dict[str, object]) -> None:
    """A wrong header or a slow body changes nothing about what was said."""
    server = HttpActivationServer(mock.url, timeout=5.0)
    await server.activate(KEY, ID)
    mock.faults.add(parse_fault({**fault, **({"seconds": 0.001} if "size" in fault else {})}))
    assert await server.deactivate(KEY, ID) is Deactivation.RELEASED
    assert used(mock) == 0
    await server.aclose()
