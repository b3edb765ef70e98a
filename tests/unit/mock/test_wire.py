"""The vendor's wire format, byte for byte, and what must never be printed."""

import asyncio
import logging

import pytest

from mock_activation.fields import InputError
from mock_activation.server import ListenError, MockActivation
from mock_activation.switches import Phrases, Switches
from tests.unit.mock.vendor_client import KEY, A, B, C, Vendor, exchange, expect_no_key


async def test_status_lines_are_the_vendors(vendor: Vendor) -> None:
    """``200 Ok``, ``200 Activation failed``, ``200 Invalid parameter``, and 404 for an unknown pair."""
    lines = [(await vendor.activate(name)).status_line for name in (A, B, C, "null")]
    lines += [(await vendor.deactivate(A)).status_line for _ in range(2)]
    assert lines == [
        "HTTP/1.1 200 Ok",
        "HTTP/1.1 200 Ok",
        "HTTP/1.1 200 Activation failed",
        "HTTP/1.1 200 Invalid parameter",
        "HTTP/1.1 200 Ok",
        "HTTP/1.1 404 Not Found",
    ]


async def test_status_line_without_a_phrase() -> None:
    """By switch the status line ends after the number."""
    async with MockActivation({KEY: 1}, switches=Switches(phrases=Phrases.OFF)) as mock:
        assert (await Vendor(mock).activate(A)).status_line.rstrip() == "HTTP/1.1 200"


async def test_parameters_in_any_order_and_url_encoded(vendor: Vendor) -> None:
    """The order of parameters does not matter, nor does the encoding of harmless characters."""
    encoded = KEY.replace("-", "%2D")
    line = f"GET /activation?quantity=1&deployment={A}&key={encoded} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert (await exchange(vendor.mock.url, line.encode())).status_line == "HTTP/1.1 200 Ok"


async def test_missing_parameters_are_invalid(vendor: Vendor) -> None:
    """No query at all is answered like a malformed KEY."""
    answer = await exchange(vendor.mock.url, b"GET /activation HTTP/1.0\r\n\r\n")
    assert answer.status_line.endswith("200 Invalid parameter")
    assert b"Activation Key you provided is invalid" in answer.body


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/activation/", 404), ("GET", "/state", 404), ("POST", "/activation", 405)],
)
async def test_there_is_nothing_else_on_the_vendors_port(vendor: Vendor, method: str, path: str, status: int) -> None:
    """No other route, no other method, and nothing of the control port."""
    request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    assert (await exchange(vendor.mock.url, request.encode())).status == status


async def test_prefix_stands_before_both_routes() -> None:
    """With a prefix the URL carries it, and without it nothing answers but 404."""
    async with MockActivation({KEY: 1}, prefix="/olms/v1/") as mock:
        assert mock.url.endswith("/olms/v1")
        assert (await Vendor(mock).activate(A)).status_line == "HTTP/1.1 200 Ok"
        mock.url = mock.url.removesuffix("/olms/v1")
        assert (await Vendor(mock).activate(A)).status == 404


@pytest.mark.parametrize("prefix", ["olms", "/a b", "/a?b", "//"])
def test_impossible_prefixes_are_refused(prefix: str) -> None:
    """A prefix that no URL could carry is a clear error before anything listens."""
    if prefix == "//":
        assert MockActivation(prefix=prefix).url == ""  # slashes at the end mean nothing
        return
    with pytest.raises(InputError, match="prefix"):
        MockActivation(prefix=prefix)


async def test_many_requests_on_one_connection(vendor: Vendor) -> None:
    """Connections are kept alive, and pipelined requests are answered in order."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(vendor.mock.url.rsplit(":", 1)[1]))
    for name in (A, B, C):
        writer.write(f"GET /activation?key={KEY}&deployment={name}&quantity=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    lines = []
    for _ in range(3):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines.append(head.split("\r\n")[0])
        length = next(line for line in head.split("\r\n") if line.lower().startswith("content-length"))
        await reader.readexactly(int(length.split(":")[1]))
    writer.close()
    await writer.wait_closed()
    assert lines == ["HTTP/1.1 200 Ok", "HTTP/1.1 200 Ok", "HTTP/1.1 200 Activation failed"]


async def test_hundreds_at_once_take_exactly_the_seats_there_are() -> None:
    """However many ask at the same time, as many get a seat as there are seats."""
    async with MockActivation({KEY: 50}) as mock:
        vendor = Vendor(mock)
        answers = await asyncio.gather(*(vendor.activate(f"MSCL{number:032x}") for number in range(200)))
        lines = [answer.status_line for answer in answers]
        assert lines.count("HTTP/1.1 200 Ok") == 50
        assert lines.count("HTTP/1.1 200 Activation failed") == 150
        assert [used for used, _ in mock.pool.used().values()] == [50]


async def test_no_key_in_any_log(vendor: Vendor, caplog: pytest.LogCaptureFixture) -> None:
    """NO_SECRET: neither a request nor a malformed request line is logged with the key in it."""
    caplog.set_level(logging.DEBUG)
    await vendor.activate(A)
    await exchange(vendor.mock.url, f"GET /activation?key={KEY}\x01&deployment= HTTP/9.9\r\n\r\n".encode())
    await exchange(vendor.mock.url, f"{KEY} /activation?key={KEY} HTTP/1.1\r\n\r\n".encode())
    await exchange(
        vendor.mock.control_url, f"PATCH /keys/{KEY} HTTP/1.1\r\nHost: x\r\nContent-Length: z\r\n\r\n".encode()
    )
    assert any(record.name == "mock_activation.http" for record in caplog.records)
    expect_no_key(caplog.text)


async def test_a_bug_is_told_by_place_and_not_by_value(caplog: pytest.LogCaptureFixture) -> None:
    """A programmer error ends as 500 on either port, with a log entry that holds the place but no value."""

    def broken() -> float:
        raise KeyError(KEY)

    async with MockActivation({KEY: 1}, now=broken) as mock:
        answers = [await Vendor(mock).activate(A), await Vendor(mock).control("GET", "/state")]
    assert [answer.status for answer in answers] == [500, 500]
    assert [record.getMessage().split("\n")[0] for record in caplog.records] == ["a bug in the mock: KeyError"] * 2
    expect_no_key(caplog.text, *(answer.body.decode() for answer in answers))


async def test_a_taken_port_names_the_setting() -> None:
    """The error tells which option chose the port, for both ports, and leaves nothing listening."""
    async with MockActivation() as mock:
        taken = int(mock.url.rsplit(":", 1)[1])
        for setting, options in (("--port", {"port": taken}), ("--control-port", {"control_port": taken})):
            with pytest.raises(ListenError) as caught:
                await MockActivation(**options).__aenter__()
            assert caught.value.setting == setting
            assert str(taken) in str(caught.value)


async def test_urls_that_a_client_can_use() -> None:
    """Listening on all addresses gives a URL of this machine; IPv6 addresses stand in brackets."""
    async with MockActivation(host="0.0.0.0", control_host="127.0.0.1") as mock:
        assert mock.url.startswith("http://127.0.0.1:")
    try:
        async with MockActivation(host="::1") as mock:
            assert mock.url.startswith("http://[::1]:")
    except ListenError:
        pytest.skip("no IPv6 on this machine")


async def test_two_mocks_in_one_process() -> None:
    """Nothing is shared between them, metrics included."""
    async with MockActivation({KEY: 1}) as one, MockActivation({KEY: 1}) as two:
        await Vendor(one).activate(A)
        metrics = [(await Vendor(mock).control("GET", "/metrics")).body.decode() for mock in (one, two)]
    used = [[line for line in text.splitlines() if line.startswith("mock_activation_seats_used")] for text in metrics]
    assert [lines[0].rsplit(" ", 1)[1] for lines in used] == ["1.0", "0.0"]
