"""What the activation server adapter makes of real sockets: cuts, silence, TLS, proxies; and whether it was sent."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import traceback
from pathlib import Path

import pytest

from sidecar.adapters.activation_server import HttpActivationServer
from sidecar.core.reasons import Failure
from sidecar.errors import ActivationOutage, ActivationRefused, Misconfigured
from sidecar.ports import Deactivation
from sidecar.secrets import Secret
from tests.unit.adapters.raw_server import RawServer, Script, Tls, answer, read_request

KEY = Secret("ABCD-EFGH-1234-5678-IJKL-MNOP-9012-3456")
ID = "MSCL00000000000000000000000000000000"
LICENCE = "product_name: x\n"


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def outage(url: str, *, within: float = 5.0, ca_file: Path | None = None) -> ActivationOutage:
    """Ask for a seat and return the outage; no link of its chain may print the key."""
    server = HttpActivationServer(url, timeout=within, ca_file=ca_file)
    with pytest.raises(ActivationOutage) as caught:
        await server.activate(KEY, ID)
    await server.aclose()
    printed = "".join(traceback.format_exception(caught.value))
    assert "ABCD" not in printed.upper()
    return caught.value


@pytest.mark.parametrize("status", ["200", "200 ", "200 Ok", "200 Activation failed"])
async def test_reason_phrases_do_not_matter(status: str) -> None:
    """The body decides, with any reason phrase or none."""
    async with RawServer(answer(LICENCE, status=status), answer("error: sorry", status=status)) as raw:
        server = HttpActivationServer(raw.url)
        assert (await server.activate(KEY, ID)).body == LICENCE.encode()
        with pytest.raises(ActivationRefused, match=r"^sorry$"):
            await server.activate(KEY, ID)


async def test_request_on_the_wire() -> None:
    """One request per connection, HTTP/1.1, nothing compressed, no cookie that an earlier answer set."""
    async with RawServer(answer(LICENCE, headers="Set-Cookie: a=b\r\n")) as raw:
        server = HttpActivationServer(f"{raw.url}/p/")
        await server.activate(KEY, ID)
        await server.deactivate(KEY, ID)
        assert raw.connections == 2
    head = raw.requests[0].decode()
    assert head.startswith(
        f"GET /p/activation?key={KEY.reveal()}&deployment={ID}&quantity=1 HTTP/1.1\r\n".replace("\n", "\n")
    )
    assert f"Host: 127.0.0.1:{raw.port}\r\n" in head
    assert "Accept-Encoding: identity\r\n" in head
    assert "Connection: close\r\n" in head
    assert "cookie" not in raw.requests[1].decode().lower()


async def test_answer_without_length_is_read_to_its_end() -> None:
    """An answer that ends with the connection is complete."""
    async with RawServer(b"HTTP/1.0 200\r\n\r\n" + LICENCE.encode()) as raw:
        assert (await HttpActivationServer(raw.url).activate(KEY, ID)).product == "x"


async def test_chunked_answer() -> None:
    """Chunks are put together; the bytes are those of the body."""
    chunks = b"HTTP/1.1 200 Ok\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nproduct_\r\n8\r\nname: x\n\r\n0\r\n\r\n"
    async with RawServer(chunks) as raw:
        assert (await HttpActivationServer(raw.url).activate(KEY, ID)).body == LICENCE.encode()


BROKEN: list[tuple[str, bytes, Failure]] = [
    ("truncated", answer(LICENCE, length=500), Failure.NETWORK),
    ("chunk cut", b"HTTP/1.1 200 Ok\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nproduct_", Failure.NETWORK),
    ("cut after processing", b"", Failure.NETWORK),
    ("cut in the headers", b"HTTP/1.1 200 Ok\r\nContent-", Failure.NETWORK),
    ("not HTTP", b"220 smtp.example ESMTP\r\n\r\n", Failure.PROTOCOL),
    ("compressed", answer(LICENCE, headers="Content-Encoding: gzip\r\n"), Failure.PROTOCOL),
    ("oversized", answer("a: " + "x" * (1 << 20)), Failure.PROTOCOL),
    ("endless headers", b"HTTP/1.1 200 Ok\r\n" + b"a: b\r\n" * 40_000, Failure.PROTOCOL),
    ("redirect", answer(status="302 Found", headers="Location: http://127.0.0.1:1/\r\n"), Failure.PROTOCOL),
]


@pytest.mark.parametrize(("what", "sent_back", "reason"), BROKEN, ids=[what for what, _, _ in BROKEN])
async def test_broken_answers(what: str, sent_back: bytes, reason: Failure) -> None:
    """Whatever breaks after the request went out leaves it open whether the seat was taken."""
    async with RawServer(sent_back) as raw:
        error = await outage(raw.url)
        assert raw.connections == 1
    assert (error.reason, error.sent) == (reason, True)


async def test_cut_before_the_request_was_read() -> None:
    """A connection that is reset after it was accepted counts as perhaps sent."""

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with RawServer(reset) as raw:
        error = await outage(raw.url)
    assert (error.reason, error.sent) == (Failure.NETWORK, True)


async def test_a_server_that_echoes_the_request() -> None:
    """Neither our text nor the library's, chained below it, prints a key that the server sends back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await read_request(reader))

    async with RawServer(echo) as raw:
        error = await outage(raw.url)
    assert error.reason is Failure.PROTOCOL
    assert error.__cause__ is not None


async def test_oversized_is_not_read_to_its_end() -> None:
    """Reading stops at the limit: a server that never ends cannot hold us until the time-out."""

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 Ok\r\n\r\na: ")
        while not writer.is_closing():
            writer.write(b"x" * 65536)
            await writer.drain()

    async with RawServer(endless) as raw:
        error = await outage(raw.url, within=60.0)
    assert (error.reason, error.sent) == (Failure.PROTOCOL, True)


async def test_total_time_out_after_sending() -> None:
    """A server that takes the request and says nothing: a time-out that leaves the request open."""
    async with RawServer(RawServer.hold) as raw:
        raw.scripts = [raw.hold]
        error = await outage(raw.url, within=0.1)
        assert len(raw.requests) == 1
    assert (error.reason, error.sent) == (Failure.TIMEOUT, True)


async def test_time_out_is_total() -> None:
    """A server that sends a byte now and then does not prolong the time-out."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 Ok\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"a")
            await asyncio.sleep(0.02)

    loop = asyncio.get_running_loop()
    async with RawServer(drip) as raw:
        begin = loop.time()
        error = await outage(raw.url, within=0.15)
        took = loop.time() - begin
    assert error.reason is Failure.TIMEOUT
    assert took < 2.0


async def test_time_out_in_the_handshake() -> None:
    """A port that accepts and never speaks TLS: certainly not sent."""
    async with RawServer(RawServer.mute) as raw:
        raw.scripts = [raw.mute]
        error = await outage(f"https://127.0.0.1:{raw.port}", within=0.1)
    assert (error.reason, error.sent) == (Failure.TIMEOUT, False)


async def test_refused_connection() -> None:
    """Nobody listens: certainly not sent."""
    error = await outage(f"http://127.0.0.1:{free_port()}")
    assert (error.reason, error.sent) == (Failure.NETWORK, False)
    assert "refused" in str(error)


async def test_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that does not exist: certainly not sent."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = await outage("http://activation.invalid")
    assert (error.reason, error.sent) == (Failure.NETWORK, False)


async def test_cancelling_leaves_nothing_behind() -> None:
    """A call that is cancelled in flight closes its connection; the next call works."""
    async with RawServer(RawServer.hold) as raw:
        raw.scripts = [raw.hold, answer(LICENCE)]
        server = HttpActivationServer(raw.url)
        async with asyncio.TaskGroup() as group:
            flight = group.create_task(server.activate(KEY, ID))
            await raw.asked.wait()
            flight.cancel()
        assert flight.cancelled()
        assert (await server.activate(KEY, ID)).product == "x"


async def test_tls_with_an_own_authority(tls: Tls) -> None:
    """The authority of ``ca_file`` is believed, besides the system's; one server object, several calls."""
    async with RawServer(answer(LICENCE), answer("gone", status="404 Not Found"), tls=tls.server) as raw:
        server = HttpActivationServer(raw.url, ca_file=tls.ca_file)
        assert (await server.activate(KEY, ID)).product == "x"
        assert await server.deactivate(KEY, ID) is Deactivation.UNKNOWN


async def test_tls_without_that_authority(tls: Tls) -> None:
    """A stranger's certificate ends it before the key is sent, loopback or not."""
    async with RawServer(answer(LICENCE), tls=tls.server) as raw:
        error = await outage(raw.url)
        assert raw.requests == []
    assert (error.reason, error.sent) == (Failure.TLS, False)


async def test_tls_with_another_name(foreign_tls: ssl.SSLContext, tls: Tls) -> None:
    """A certificate of another name, or of another authority, is not believed."""
    async with RawServer(answer(LICENCE), tls=foreign_tls) as raw:
        error = await outage(raw.url, ca_file=tls.ca_file)
    assert (error.reason, error.sent) == (Failure.TLS, False)


async def test_unusable_ca_file(tmp_path: Path) -> None:
    """A missing or senseless authority file is an outage that says so; a later call looks again."""
    for content in (None, b"no certificate"):
        path = tmp_path / "ca.pem"
        if content is not None:
            path.write_bytes(content)
        error = await outage("https://127.0.0.1:1", ca_file=path)
        assert (error.reason, error.sent) == (Failure.TLS, False)
        assert "authorities" in str(error)


@pytest.mark.parametrize("script", ["plain", "close", "reset"])
async def test_tls_to_a_port_that_speaks_none(script: str) -> None:
    """A plain port cannot establish a session: certainly not sent."""

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer(status="400 Bad Request"))

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    scripts: dict[str, Script] = {"plain": plain, "close": close, "reset": reset}
    async with RawServer(scripts[script]) as raw:
        error = await outage(f"https://127.0.0.1:{raw.port}")
    assert (error.reason, error.sent) == (Failure.TLS, False)


async def test_forward_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """For http the proxy of the environment gets the whole request, with its credentials."""
    async with RawServer(answer(LICENCE)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://user:pass@127.0.0.1:{proxy.port}")
        assert (await HttpActivationServer("http://activation.invalid").activate(KEY, ID)).product == "x"
    head = proxy.requests[0].decode()
    assert head.startswith("GET http://activation.invalid/activation?key=")
    assert "proxy-authorization: basic dXNlcjpwYXNz".lower() in head.lower()


@pytest.mark.parametrize(
    "refusal", [answer(status="407 Proxy Authentication Required"), answer(status="502 Bad Gateway")]
)
async def test_tunnel_that_is_refused(monkeypatch: pytest.MonkeyPatch, refusal: bytes) -> None:
    """For https the proxy sees CONNECT only; if it says no, the request was certainly not sent."""
    async with RawServer(refusal) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}")
        error = await outage("https://activation.invalid")
    assert proxy.requests[0].startswith(b"CONNECT activation.invalid:443 HTTP/1.1\r\n")
    assert (error.reason, error.sent) == (Failure.NETWORK, False)


async def test_tunnel_that_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that closes, hangs or lets no TLS through: certainly not sent."""
    async with RawServer(RawServer.cut) as proxy:
        proxy.scripts = [proxy.cut, proxy.hold, answer(status="200 Connected")]
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
        reasons = []
        for within in (5.0, 0.2, 5.0):
            error = await outage("https://activation.invalid", within=within)
            assert error.sent is False
            reasons.append(error.reason)
    assert reasons == [Failure.NETWORK, Failure.TIMEOUT, Failure.TLS]


async def test_tunnel(monkeypatch: pytest.MonkeyPatch, tls: Tls) -> None:
    """Through a working tunnel the server is asked over TLS, and the proxy never sees the key."""
    async with RawServer(answer(LICENCE), tls=tls.server) as raw:

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            proxy.requests.append(await read_request(reader))
            there, away = await asyncio.open_connection("127.0.0.1", raw.port)
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")

            async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
                while data := await source.read(65536):
                    seen.append(data)
                    sink.write(data)
                sink.close()

            await asyncio.gather(copy(reader, away), copy(there, writer))

        seen: list[bytes] = []
        async with RawServer(relay) as proxy:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
            server = HttpActivationServer(f"https://localhost:{raw.port}", ca_file=tls.ca_file)
            assert (await server.activate(KEY, ID)).product == "x"
            await server.aclose()
    assert not any(b"ABCD-" in data for data in [*seen, *proxy.requests])


async def test_unusable_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses and proxies that cannot be used are faults of the settings, told without passwords."""
    with pytest.raises(Misconfigured, match=r"activation\.url"):
        HttpActivationServer("activation.example")
    monkeypatch.setenv("https_proxy", "socks5://user:secret-word@proxy.example")
    with pytest.raises(Misconfigured, match="proxy") as fault:
        HttpActivationServer("https://activation.example")
    assert "secret-word" not in str(fault.value)


async def test_libraries_log_no_url(caplog: pytest.LogCaptureFixture) -> None:
    """With everything logged, neither httpx nor httpcore prints the key."""
    caplog.set_level(logging.DEBUG)
    location = f"Location: http://127.0.0.1/?key={KEY.reveal()}\r\n"
    async with RawServer(answer(status="302 Found", headers=location)) as raw:
        await outage(raw.url)
    assert "ABCD" not in caplog.text


async def test_context_is_made_only_for_tls() -> None:
    """For http the authorities are not even looked for: they cost 20 ms and 1 MiB."""
    async with RawServer(answer(LICENCE)) as raw:
        server = HttpActivationServer(raw.url, ca_file=Path("does-not-exist"))
        assert (await server.activate(KEY, ID)).product == "x"
