"""The ICAP port of the stand-in, over a real socket (RFC 3507)."""

import asyncio
import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mock_activation.icap_app import IcapApp, Settings
from mock_activation.icap_app import icap as icap_module
from tests.unit.icap_app.conversation import converse

HTTP_REQUEST = b"POST /upload HTTP/1.1\r\nHost: www.example.org\r\nContent-Length: 5\r\n\r\n"
HTTP_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
BODY = b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nTrailer: x\r\n\r\n"


def reqmod(*headers: str, body: bytes = BODY) -> bytes:
    """Return a REQMOD request that carries an HTTP request with a body."""
    lines = ["REQMOD icap://127.0.0.1/reqmod ICAP/1.0", "Host: 127.0.0.1", *headers]
    lines += [f"Encapsulated: req-hdr=0, req-body={len(HTTP_REQUEST)}", "", ""]
    return "\r\n".join(lines).encode() + HTTP_REQUEST + body


async def test_options_are_answered_with_and_without_a_licence() -> None:
    """A client learns what there is, whatever the licence says."""
    async with IcapApp() as app:
        for path, method in (("reqmod", b"REQMOD"), ("OMSScanResp-AV", b"RESPMOD")):
            sent = f"OPTIONS icap://127.0.0.1/{path} ICAP/1.0\r\nHost: x\r\nEncapsulated: null-body=0\r\n\r\n"
            answer = await converse(app.icap_port.number, sent.encode())
            first, *headers = answer.split(b"\r\n")
            assert first == b"ICAP/1.0 200 OK"
            assert b"Methods: " + method in headers
            assert b"Allow: 204" in headers
            assert b"Encapsulated: null-body=0" in headers
            assert any(header.startswith(b'ISTag: "') for header in headers)
        app.grant_licence()
        answer = await converse(app.icap_port.number, b"OPTIONS icap://x/ ICAP/1.0\r\n\r\n")
        assert answer.startswith(b"ICAP/1.0 200 OK\r\n")


async def test_a_request_is_refused_while_unlicensed_and_passed_while_licensed() -> None:
    """503 without a licence, 204 with one, 503 again when it is lost, all on one connection."""
    async with IcapApp() as app:
        reader, writer = await asyncio.open_connection("127.0.0.1", app.icap_port.number)
        for licensed, expected in ((False, b"503 Service Unavailable"), (True, b"204 No Content"), (False, b"503 ")):
            if licensed:
                app.grant_licence()
            else:
                app.lose_licence()
            writer.write(reqmod("Allow: 204"))
            async with asyncio.timeout(5):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"ICAP/1.0 " + expected)
        writer.close()


async def test_a_preview_is_answered_without_the_rest() -> None:
    """With a preview 204 is allowed in any case."""
    async with IcapApp(Settings(licensed=True)) as app:
        answer = await converse(app.icap_port.number, reqmod("Preview: 3", body=b"3\r\nabc\r\n0\r\n\r\n"))
        assert answer.startswith(b"ICAP/1.0 204 ")
        answer = await converse(app.icap_port.number, reqmod("Preview: 0", body=b"0; ieof\r\n\r\n"))
        assert answer.startswith(b"ICAP/1.0 204 ")


async def test_a_client_without_204_gets_its_request_back() -> None:
    """Unmodified means: the same header block, the same body, offsets that fit."""
    async with IcapApp(Settings(licensed=True)) as app:
        answer = await converse(app.icap_port.number, reqmod("Connection: close"), until=b"nothing like this")
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"ICAP/1.0 200 OK\r\n")
    assert f"Encapsulated: req-hdr=0, req-body={len(HTTP_REQUEST)}".encode() in head
    assert rest == HTTP_REQUEST + b"5\r\nabcde\r\n0\r\n\r\n"


async def test_a_response_without_204_comes_back_without_its_request() -> None:
    """RESPMOD gives back the response alone, with its own offsets; without a body it says so."""
    start = b"RESPMOD icap://127.0.0.1/respmod ICAP/1.0\r\nConnection: close\r\nEncapsulated: req-hdr=0, res-hdr="
    offset, end = len(HTTP_REQUEST), len(HTTP_REQUEST) + len(HTTP_RESPONSE)
    async with IcapApp(Settings(licensed=True)) as app:
        for kind, body, place in (("res-body", BODY, b"res-body"), ("null-body", b"", b"null-body")):
            sent = b"%b%d, %b=%d\r\n\r\n%b%b%b" % (
                start, offset, kind.encode(), end, HTTP_REQUEST, HTTP_RESPONSE, body,
            )  # fmt: skip
            answer = await converse(app.icap_port.number, sent, until=b"nothing like this")
            head, _, rest = answer.partition(b"\r\n\r\n")
            assert b"Encapsulated: res-hdr=0, %b=%d" % (place, len(HTTP_RESPONSE)) in head
            assert rest == HTTP_RESPONSE + (b"5\r\nabcde\r\n0\r\n\r\n" if body else b"")


async def test_an_empty_body_comes_back_empty() -> None:
    """No chunk but the last one."""
    async with IcapApp(Settings(licensed=True)) as app:
        answer = await converse(
            app.icap_port.number, reqmod("Connection: close", body=b"0\r\n\r\n"), until=b"nothing like this"
        )
    assert answer.endswith(HTTP_REQUEST + b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 505),
        (b"OPTIONS icap://x/ ICAP/2.0\r\n\r\n", 505),
        (b"DELETE icap://x/ ICAP/1.0\r\n\r\n", 405),
        (b"options icap://x/ ICAP/1.0\r\n\r\n", 400),
        (b"OPTIONS icap://x/ ICAP/1.0\r\nno colon\r\n\r\n", 400),
        (b"OPTIONS icap://x/ ICAP/1.0\r\n folded: x\r\n\r\n", 400),
        (b"REQMOD icap://x/ ICAP/1.0\r\n\r\n", 400),
        (b"REQMOD icap://x/ ICAP/1.0\r\nEncapsulated: req-hdr=0\r\n\r\n", 400),
        (b"REQMOD icap://x/ ICAP/1.0\r\nEncapsulated: req-hdr=9, req-body=3\r\n\r\n", 400),
        (b"REQMOD icap://x/ ICAP/1.0\r\nEncapsulated: null-body=5\r\n\r\n", 400),
        (b"REQMOD icap://x/ ICAP/1.0\r\nEncapsulated: req-hdr=0, null-body=999999\r\n\r\n", 400),
        (b"REQMOD icap://x/ ICAP/1.0\r\nEncapsulated: req-body=0\r\n\r\nnonsense\r\n", 400),
        (b"REQMOD icap://x/ ICAP/1.0\r\nEncapsulated: req-body=0\r\n\r\n1\r\nabc\r\n", 400),
        (b"REQMOD icap://x/ ICAP/1.0\r\nEncapsulated: req-body=0\r\n\r\n7fffffff\r\n", 413),
        (b"x" * (icap_module.HEAD_LIMIT + 10), 400),
        (b"REQMOD icap://x/ ICAP/1.0\r\nEncapsulated: req-body=0\r\n\r\n" + b"1" * (icap_module.HEAD_LIMIT + 9), 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    ],
)
async def test_garbage_is_told_so_and_ends_its_connection(sent: bytes, status: int) -> None:
    """Each kind of nonsense has its status; the connection closes and the next one is served."""
    async with IcapApp(Settings(licensed=True)) as app:
        answer = await converse(app.icap_port.number, sent, until=b"nothing like this")
        assert answer.startswith(b"ICAP/1.0 %d " % status)
        assert b"Connection: close" in answer
        assert (await converse(app.icap_port.number, reqmod("Allow: 204"))).startswith(b"ICAP/1.0 204 ")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(garbage=st.binary(max_size=300))
def test_any_bytes_are_survived(garbage: bytes) -> None:
    """No bytes whatsoever get the ICAP port to fail or to answer anything but a status line."""

    async def send() -> bytes:
        async with IcapApp(Settings(licensed=True)) as app:
            reader, writer = await asyncio.open_connection("127.0.0.1", app.icap_port.number)
            with contextlib.suppress(ConnectionError):
                writer.write(garbage)
                writer.write_eof()
            answer = b""
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(5):
                    answer = await reader.read()
            writer.close()
            assert (await converse(app.icap_port.number, reqmod("Allow: 204"))).startswith(b"ICAP/1.0 204 ")
            assert not app.failed.is_set()
            return answer

    answer = asyncio.run(send())
    assert not answer or answer.startswith(b"ICAP/1.0 ")
