"""The control port's second half: waiting, profiles, seed, clock, snapshots, token, client certificates."""

import asyncio
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme

from mock_activation.fault_input import parse_fault, written
from mock_activation.faults import Operation, lost_answer
from mock_activation.fields import InputError
from mock_activation.profiles import PROFILES
from mock_activation.secrecy import fingerprint
from mock_activation.server import MockActivation
from mock_activation.switches import SamePair, Switches
from tests.unit.mock.vendor_client import KEY, OTHER_KEY, A, B, Vendor, ask, exchange, expect_no_key


async def test_waiting_ends_as_soon_as_the_request_is_there(vendor: Vendor) -> None:
    """``/journal/wait`` answers what matches: what was there already, or what comes within the time."""
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(
            vendor.control("GET", f"/journal/wait?operation=deactivation&deployment={A}&timeout=5")
        )
        await asyncio.sleep(0.02)
        await vendor.activate(A)
        assert not waiting.done()
        await vendor.deactivate(A)
    assert [e["outcome"] for e in waiting.result().json()["entries"]] == ["released"]
    again = await vendor.control("GET", "/journal/wait?count=2&timeout=0")
    assert [e["number"] for e in again.json()["entries"]] == [1, 2]
    assert (await vendor.control("GET", "/journal/wait?after=2&timeout=0.01")).status == 404


async def test_waiting_for_several_requests(vendor: Vendor) -> None:
    """``count`` requests have to match; a request that is held back counts once, not twice."""
    vendor.mock.faults.add(lost_answer(times=1))
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(vendor.control("GET", "/journal/wait?count=2&timeout=5"))
        await asyncio.sleep(0.02)
        await vendor.activate(A)
        await asyncio.sleep(0.02)
        assert not waiting.done()
        await vendor.activate(A)
    assert [e["fate"] for e in waiting.result().json()["entries"]] == ["unanswered", "answered"]


async def test_a_stopping_mock_lets_nobody_wait() -> None:
    """Who waits for a request is told that the mock stops, at once."""
    async with asyncio.TaskGroup() as group:  # noqa: SIM117 - the mock ends before the group does
        async with MockActivation({KEY: 1}) as mock:
            waiting = group.create_task(Vendor(mock).control("GET", "/journal/wait?timeout=60"))
            async with asyncio.timeout(5):
                while not mock.journal.listeners:
                    await asyncio.sleep(0.005)
    assert waiting.result().status == 503


async def test_profiles_are_listed_and_chosen(vendor: Vendor) -> None:
    """Each by name with what it does; choosing one replaces all rules and sets the seed."""
    listed = (await vendor.control("GET", "/profiles")).json()
    assert [profile["name"] for profile in listed["profiles"]] == [
        "calm",
        "hostile",
        "outage",
        "flapping",
        "no-seats",
        "expired",
        "captive-portal",
    ]
    assert (listed["profile"], listed["seed"]) == ("calm", 0)
    await vendor.control("POST", "/faults", {"fault": "hang"})
    chosen = await vendor.control("PUT", "/profile", {"name": "expired", "seed": 7})
    assert chosen.json() == {"name": "expired", "seed": 7}
    assert (await vendor.control("GET", "/profile")).json() == {"name": "expired", "seed": 7}
    assert b"expired" in (await vendor.activate(A)).body
    assert (await vendor.control("PUT", "/seed", {"seed": 8})).json() == {"seed": 8}
    assert [rule["fault"] for rule in (await vendor.control("GET", "/faults")).json()["faults"]] == ["refuse"]
    await vendor.control("POST", "/reset")
    assert (await vendor.control("GET", "/profile")).json() == {"name": "calm", "seed": 0}
    assert (await vendor.activate(A)).status_line == "HTTP/1.1 200 Ok"


@pytest.mark.parametrize("name", PROFILES)
def test_what_a_profile_is_can_be_written_and_read(name: str) -> None:
    """Every rule of every profile goes through JSON and comes back as it was."""
    for fault in PROFILES[name].faults:
        assert parse_fault(written(fault)) == fault


async def test_no_seats_keeps_those_that_are_active(vendor: Vendor) -> None:
    """Profile ``no-seats``: a new deployment is refused, an active one is not, and seats can be given back."""
    await vendor.activate(A)
    await vendor.control("PUT", "/profile", {"name": "no-seats"})
    assert (await vendor.activate(B)).status_line.endswith("200 Activation failed")
    assert (await vendor.activate(A)).status_line.endswith("200 Ok")
    assert (await vendor.deactivate(A)).status_line.endswith("200 Ok")


async def test_the_clock_is_advanced() -> None:
    """Ages grow, keys expire, and time windows open, by as much as the clock was advanced."""
    async with MockActivation({KEY: 2}, now=lambda: 1_000_000.0) as mock:
        vendor = Vendor(mock)
        await vendor.activate(A)
        await vendor.control("PATCH", f"/keys/{fingerprint(KEY)}", {"expires": 1_000_100})
        await vendor.control("POST", "/faults", {"fault": "cut", "deployment": B, "window": {"from": 30, "to": 60}})
        assert b"no seat" not in (await vendor.activate(B)).body
        clock = (await vendor.control("POST", "/clock", {"advance": 40})).json()
        assert clock == {"now": 1_000_040.0, "advanced": 40.0}
        assert (await vendor.activate(B)).status_line == ""
        assert (await vendor.control("GET", "/state")).json()["keys"][0]["taken"][0]["age"] == 40.0
        await vendor.control("POST", "/clock", {"advance": 60})
        assert b"expired" in (await vendor.activate(B)).body
        await vendor.control("POST", "/reset")
        assert (await vendor.control("GET", "/clock")).json() == {"now": 1_000_000.0, "advanced": 0.0}


async def test_a_snapshot_brings_everything_back(vendor: Vendor) -> None:
    """Keys, seats, switches, faults, profile, seed and clock, into a mock that knows none of them; and no key."""
    await vendor.activate(A)
    await vendor.control("POST", "/clock", {"advance": 5})
    await vendor.control("PATCH", "/switches", {"unknown_pair": "ok"})
    await vendor.control("PUT", "/profile", {"name": "flapping", "seed": 3})
    await vendor.control("POST", "/faults", {"fault": "delay", "seconds": 0.5, "deployment": "MSCL0*", "every": 3})
    taken = await vendor.control("GET", "/snapshot")
    expect_no_key(taken.body.decode())
    async with MockActivation({OTHER_KEY: 9}, now=vendor.mock.backend._real_now) as other:
        twin = Vendor(other)
        await twin.activate(B, key=OTHER_KEY)
        assert (await twin.control("PUT", "/snapshot", taken.json())).status == 200
        again = (await twin.control("GET", "/snapshot")).json()
        assert {**again, "now": 0} == {**taken.json(), "now": 0}
        await twin.control("PUT", "/profile", {"name": "calm"})
        assert (await twin.activate(A, key=OTHER_KEY)).status_line.endswith("Activation failed")
        assert (await twin.deactivate(A)).status_line.endswith("200 Ok")
        assert [used for used, _ in other.pool.used().values()] == [0]


def _spoilt(snapshot: dict[str, Any], **changes: object) -> dict[str, Any]:
    return {**snapshot, **changes}


async def test_a_broken_snapshot_changes_nothing(vendor: Vendor) -> None:
    """Everything that is wrong is told, with its place, before anything is changed."""
    await vendor.activate(A)
    good = (await vendor.control("GET", "/snapshot")).json()
    (key,) = good["keys"]
    seat = key["taken"][0]
    for spoilt, says in (
        (_spoilt(good, keys=[{**key, "digest": "x"}]), "keys, entry 1: digest must be"),
        (_spoilt(good, keys=[key, key]), "keys, entry 2: this digest was named before"),
        (_spoilt(good, keys=["x"]), "keys, entry 1: must be a mapping"),
        (_spoilt(good, keys=[{**key, "taken": None}]), "keys, entry 1: taken must be a list"),
        (_spoilt(good, keys=[{**key, "taken": [seat, seat]}]), "a deployment is there twice"),
        (_spoilt(good, keys=[{**key, "taken": [{**seat, "deployment": KEY}]}]), "looks like a key"),
        (_spoilt(good, keys=[{**key, "seats": "many"}]), "keys, entry 1: seats must be"),
        (_spoilt(good, faults=[{"fault": "x"}]), "faults, entry 1: fault must be one of"),
        (_spoilt(good, switches={"phrases": "loud"}), "switches: phrases must be one of"),
        (_spoilt(good, profile="x"), "profile must be one of"),
        (_spoilt(good, mood="x"), "there is no field mood"),
    ):
        answer = await vendor.control("PUT", "/snapshot", spoilt)
        assert answer.status == 400
        assert says in answer.json()["error"]
    assert vendor.used() == 1


async def test_a_token_guards_the_control_port() -> None:
    """401 without it, or with another one; whether the mock lives, and the console's page, is open."""
    async with MockActivation({KEY: 1}, control_token="open-sesame") as mock:
        vendor = Vendor(mock)
        assert (await vendor.activate(A)).status_line.endswith("200 Ok")
        for path, status in (("/health", 200), ("/", 200), ("/state", 401), ("/events", 401), ("/nothing", 401)):
            assert (await ask(mock.control_url, path=path)).status == status
        for header, status in (
            ("Bearer open-sesame", 200),
            ("bearer  open-sesame", 200),
            ("Bearer open", 401),
            ("Bearer ÿ", 401),
            ("Basic open-sesame", 401),
            ("open-sesame", 401),
        ):
            head = f"GET /state HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {header}\r\n\r\n"
            answer = await exchange(mock.control_url, head.encode())
            assert (header, answer.status) == (header, status)
        assert answer.headers["www-authenticate"].startswith("Bearer ")


async def _tls_status(mock: MockActivation, context: ssl.SSLContext) -> str:
    port = urlsplit(mock.url).port
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        writer.write(f"GET /deactivation?key={KEY}&deployment={A} HTTP/1.0\r\n\r\n".encode())
        line = (await reader.read()).split(b"\r\n")[0].decode()
        writer.close()
        await writer.wait_closed()
    except (ssl.SSLError, ConnectionResetError) as error:
        return type(error).__name__
    return line


async def test_clients_without_a_certificate_are_refused(tmp_path: Path) -> None:
    """``tls_client_ca``: only who has a certificate of these authorities is answered."""
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with MockActivation({KEY: 1}, tls_client_ca=tmp_path / "ca.pem") as mock:
        assert mock.ca_pem is not None
        context = ssl.create_default_context(cadata=mock.ca_pem.decode())
        assert "HTTP" not in await _tls_status(mock, context)
        other.issue_cert("client.example").configure_cert(context)
        assert "HTTP" not in await _tls_status(mock, context)
        context = ssl.create_default_context(cadata=mock.ca_pem.decode())
        authority.issue_cert("client.example").configure_cert(context)
        assert await _tls_status(mock, context) == "HTTP/1.0 404 Not Found"


def test_a_bad_file_of_authorities_stops_the_start(tmp_path: Path) -> None:
    """Absent, or no certificate in it: told with the file's name before anything listens."""
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(InputError, match=r"ca\.pem: holds no certificate"):
        MockActivation(tls_client_ca=tmp_path / "ca.pem")
    with pytest.raises(InputError, match="absent: No such file"):
        MockActivation(tls_client_ca=tmp_path / "absent")


async def test_a_handshake_can_be_broken() -> None:
    """``tls-handshake``: the client gets no session, no request is seen; afterwards all is well."""
    async with MockActivation({KEY: 1}, tls=True) as mock:
        assert mock.ca_pem is not None
        context = ssl.create_default_context(cadata=mock.ca_pem.decode())
        await Vendor(mock).control("POST", "/faults", {"fault": "tls-handshake", "times": 1})
        assert await _tls_status(mock, context) in ("SSLError", "ConnectionResetError")
        assert mock.journal.entries() == []
        assert await _tls_status(mock, context) == "HTTP/1.0 404 Not Found"
        assert mock.faults.fired["tls-handshake"] == 1


def test_an_unknown_profile_stops_the_start() -> None:
    """The names are told."""
    with pytest.raises(InputError, match="calm, hostile"):
        MockActivation(profile="sunny")


async def test_a_mock_can_start_with_a_profile() -> None:
    """Rules and seed of the start; a reset comes back to them."""
    async with MockActivation({KEY: 1}, profile="captive-portal", seed=5, switches=Switches(SamePair.FREE)) as mock:
        vendor = Vendor(mock)
        assert (await vendor.activate(A)).body.startswith(b"<!DOCTYPE")
        mock.faults.clear()
        mock.faults.add(lost_answer(Operation.ACTIVATION))
        await vendor.control("POST", "/reset")
        assert (await vendor.activate(A)).body.startswith(b"<!DOCTYPE")
        assert (await vendor.control("GET", "/profile")).json() == {"name": "captive-portal", "seed": 5}


async def test_a_key_is_removed_with_its_seats(vendor: Vendor) -> None:
    """DELETE: the key is unknown afterwards, and its seats are gone."""
    await vendor.activate(A)
    assert (await vendor.control("DELETE", f"/keys/{fingerprint(KEY)}")).json() == {"removed": True}
    assert (await vendor.control("GET", "/keys")).json() == {"keys": []}
    assert b"does not exist" in (await vendor.activate(A)).body
