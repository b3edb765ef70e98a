"""What the app's adapter makes of real sockets: the scheme that flips, silence, cuts, certificates."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from sidecar.adapters.icap_server import IcapServer
from sidecar.core.facts import Licence
from sidecar.core.reasons import AppTrouble
from sidecar.errors import AppOutage, UploadRefused
from sidecar.secrets import Secret
from tests.unit.adapters.raw_server import RawServer, Tls, answer

KEY = Secret("ABCD-EFGH-1234-5678-IJKL-MNOP-9012-3456")
API_KEY = Secret("0a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6e7f")
LICENSED = json.dumps({"deployment": "ID1", "days_left": 3, "license": {"status": "ok"}})
DONE = answer('{"success": true}')


def app(port: int, *, scheme: str = "http", host: str = "127.0.0.1", **settings: Any) -> IcapServer:
    """Return the adapter for a port of this machine."""
    return IcapServer(
        f"{scheme}://{host}:{port}", **({"api_key": API_KEY, "timeout": 5.0, "delivery_timeout": 5.0} | settings)
    )


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class FlippingApp:
    """One port that speaks TLS or not, as it is told: it looks at the first byte and rejects what does not fit."""

    def __init__(self, tls: ssl.SSLContext, *, misfit: bytes | None) -> None:
        self.speaks_tls = False
        self.plain = RawServer(answer(LICENSED))
        self.secure = RawServer(answer(LICENSED), tls=tls)
        self.misfit = misfit

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass the connection on to the server inside, or send the misfit (None: reset)."""
        first = await reader.read(1)
        if (first == b"\x16") is not self.speaks_tls:
            if self.misfit is None:
                writer.transport.abort()
            else:
                writer.write(self.misfit)
            return
        there, away = await asyncio.open_connection("127.0.0.1", (self.secure if self.speaks_tls else self.plain).port)
        away.write(first)

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        await asyncio.gather(copy(reader, away), copy(there, writer))


ALERT = bytes.fromhex("15030100020246")
MISFITS = {
    "page 400": answer("<html>The plain HTTP request was sent to HTTPS port</html>", status="400 Bad Request"),
    "alert": ALERT,
    "nothing": b"",
    "reset": None,
    "redirect": answer(status="301 Moved", headers="Location: https://127.0.0.1/\r\n"),
}


@pytest.mark.parametrize("misfit", MISFITS)
@pytest.mark.parametrize("ca", [False, True], ids=["unverified", "verified"])
async def test_scheme_flips_both_ways(tls: Tls, misfit: str, ca: bool) -> None:
    """The app switches to TLS at run time and starts plain again: the same attempt finds it out, no call fails."""
    flipping = FlippingApp(tls.server, misfit=MISFITS[misfit])
    async with flipping.plain, flipping.secure, RawServer(flipping.relay) as front:
        server = app(front.port, ca_file=tls.ca_file if ca else None)
        for speaks_tls in (False, True, True, False):
            flipping.speaks_tls = speaks_tls
            assert (await server.report()).deployment_id == "ID1"
        flipping.speaks_tls = True
        flipping.secure.scripts = [DONE]
        await server.activate(KEY)
        await server.upload(Licence(b"a: b"))
        asked = [request.split(b" ", 2)[:2] for request in flipping.secure.requests[-2:]]
        assert asked == [[b"POST", b"/admin/license/activation"], [b"POST", b"/admin/license"]]
        before = front.connections
        await server.knock()
        await server.report()
        assert front.connections == before + 3
        await server.aclose()


async def test_own_400_is_no_wrong_scheme() -> None:
    """The app's own 400 is JSON: nothing is asked twice."""
    async with RawServer(answer('{"err": "Invalid license"}', status="400 Bad Request")) as raw:
        with pytest.raises(UploadRefused, match="Invalid license"):
            await app(raw.port).upload(Licence(b"a: b"))
        assert raw.connections == 1


async def test_400_of_a_plain_server() -> None:
    """A page with 400 from a port that speaks no TLS either way stays what it is."""
    async with RawServer(answer("<html>", status="400 Bad Request")) as raw:
        with pytest.raises(AppOutage, match="400") as outage:
            await app(raw.port).report()
    assert outage.value.trouble is AppTrouble.BROKEN


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_loopback_may_be_unverified(foreign_tls: ssl.SSLContext, scheme: str) -> None:
    """Without an authority a self-signed certificate of another name does for a loopback address."""
    async with RawServer(answer(LICENSED), tls=foreign_tls) as raw:
        assert (await app(raw.port, scheme=scheme).report()).deployment_id == "ID1"
        assert (await app(raw.port, scheme=scheme, host="localhost").report()).deployment_id == "ID1"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_authority_is_enforced(foreign_tls: ssl.SSLContext, tls: Tls, scheme: str) -> None:
    """With an authority a stranger's certificate is the trouble, and the API key is not sent to him over TLS."""
    async with RawServer(answer(LICENSED), tls=foreign_tls) as raw:
        with pytest.raises(AppOutage, match="certificate") as outage:
            await app(raw.port, scheme=scheme, ca_file=tls.ca_file).report()
        assert raw.requests == []
    assert outage.value.trouble is AppTrouble.BROKEN


async def test_names_are_not_compared_on_loopback(tmp_path: Path, foreign_tls: ssl.SSLContext) -> None:
    """The app's certificate carries its Service's name; with its authority it is believed at 127.0.0.1."""
    import trustme  # noqa: PLC0415 - only here

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("md-icapsrv.example").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with RawServer(answer(LICENSED), tls=context) as raw:
        assert (await app(raw.port, scheme="https", ca_file=tmp_path / "ca.pem").report()).deployment_id == "ID1"


async def test_elsewhere_is_verified_and_never_downgraded(
    tls: Tls, foreign_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address that is not loopback is verified with the system's authorities, and https stays https."""
    resolve = socket.getaddrinfo

    def local(host: Any, *more: Any, **named: Any) -> Any:
        return resolve("127.0.0.1" if host in {"app.example", b"app.example"} else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", local)
    async with RawServer(answer(LICENSED), tls=foreign_tls) as raw:
        for scheme in ("http", "https"):
            with pytest.raises(AppOutage, match="certificate is not trusted"):
                await app(raw.port, scheme=scheme, host="app.example").report()
        assert raw.requests == []
    async with RawServer(answer(LICENSED)) as raw:
        assert (await app(raw.port, host="app.example").report()).deployment_id == "ID1"
        asked = raw.connections
        for settings in ({"host": "app.example"}, {"ca_file": tls.ca_file}):
            with pytest.raises(AppOutage, match="TLS"):
                await app(raw.port, scheme="https", **settings).report()
        assert raw.connections == asked + 2


async def test_proxies_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app is asked directly whatever the environment says."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    async with RawServer(answer(LICENSED)) as raw:
        assert (await app(raw.port).report()).deployment_id == "ID1"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_refused(scheme: str) -> None:
    """Nobody listens: every call says so, and nothing was sent."""
    server = app(free_port(), scheme=scheme)
    for call in (server.report(), server.activate(KEY), server.upload(Licence(b"a: b")), server.knock()):
        with pytest.raises(AppOutage) as outage:
            await call
        assert (outage.value.trouble, outage.value.sent) == (AppTrouble.REFUSED, False)


@pytest.mark.parametrize("lingers", [True, False])
async def test_what_lingers_is_asked_where_the_port_refuses(lingers: bool) -> None:
    """Whether something of the app may still serve is worth a look only then."""
    with pytest.raises(AppOutage) as outage:
        await app(free_port(), lingers=lambda: lingers).report()
    assert outage.value.lingers is lingers
    async with RawServer() as raw:
        raw.scripts = [raw.cut]
        with pytest.raises(AppOutage) as outage:
            await app(raw.port, lingers=lambda: lingers).report()
    assert not outage.value.lingers


async def test_no_theft_a_port_that_closes_between_two_questions_has_told_its_licence() -> None:
    """The licence was told, so a /readyz that is refused is no end of the app: the next look will tell."""
    async with RawServer() as raw:

        async def last(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            raw._server.close()  # the port refuses from here on
            writer.write(answer(LICENSED))

        raw.scripts = [last]
        server = app(raw.port)
        assert (await server.report()).deployment_id == "ID1"
        with pytest.raises(AppOutage) as outage:
            await server.report()
    assert outage.value.trouble is AppTrouble.REFUSED


async def test_silence() -> None:
    """A request that is not answered in time: silence; an activation counts as sent, an upload asks no server."""
    async with RawServer(RawServer.hold) as raw:
        raw.scripts = [raw.hold]
        server = app(raw.port, timeout=0.1, delivery_timeout=0.1)
        for call, sent in (
            (server.report(), False),
            (server.activate(KEY), True),
            (server.upload(Licence(b"a")), False),
        ):
            with pytest.raises(AppOutage) as outage:
                await call
            assert (outage.value.trouble, outage.value.sent) == (AppTrouble.SILENT, sent)
        await server.knock()


async def test_cuts() -> None:
    """A connection that ends in the middle makes no sense; an activation counts as sent."""
    for script in (answer(LICENSED, length=500), b"nonsense\r\n\r\n"):
        async with RawServer(script) as raw:
            server = app(raw.port)
            for call, sent in ((server.report(), False), (server.activate(KEY), True)):
                with pytest.raises(AppOutage) as outage:
                    await call
                assert (outage.value.trouble, outage.value.sent) == (AppTrouble.BROKEN, sent)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_forwarder_without_an_app_is_silent(scheme: str) -> None:
    """A connection that is taken and closed without a byte proves no app behind it; an activation counts as sent."""
    async with RawServer(b"") as raw:
        raw.scripts = [raw.cut]
        server = app(raw.port, scheme=scheme)
        with pytest.raises(AppOutage) as outage:
            await server.report()
        assert outage.value.trouble is AppTrouble.SILENT
        with pytest.raises(AppOutage) as outage:
            await server.activate(KEY)
        assert (outage.value.trouble, outage.value.sent) == (AppTrouble.SILENT, True)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_no_theft_a_word_in_either_scheme_is_a_sign_of_life(scheme: str) -> None:
    """A port that hangs up at plain requests and answers TLS with an alert belongs to an app that lives."""

    async def alert(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.read(1)) == b"\x16":
            writer.write(bytes.fromhex("15030100020228"))

    async with RawServer(alert) as raw:
        with pytest.raises(AppOutage) as outage:
            await app(raw.port, scheme=scheme).report()
    assert outage.value.trouble is AppTrouble.BROKEN


async def test_plain_port_that_waits_for_the_rest() -> None:
    """A plain port that takes a TLS greeting for half a request is found out within the attempt."""

    async def patient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(LICENSED))

    async with RawServer(patient) as raw:
        server = app(raw.port, scheme="https", timeout=2.0)
        assert (await server.report()).deployment_id == "ID1"
        assert raw.connections == 3


async def test_knock_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that does not answer in time, or has no address, is silent."""
    loop = asyncio.get_running_loop()

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(loop, "sock_connect", never)
    with pytest.raises(AppOutage) as outage:
        await app(free_port(), knock_timeout=0.05).knock()
    assert outage.value.trouble is AppTrouble.SILENT

    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(loop, "getaddrinfo", unknown)
    with pytest.raises(AppOutage) as outage:
        await app(80, host="app.example").knock()
    assert outage.value.trouble is AppTrouble.SILENT


async def test_ipv6_loopback() -> None:
    """An IPv6 address is asked like any other."""
    if not socket.has_ipv6:
        pytest.skip("needs IPv6: sysctl net.ipv6.conf.lo.disable_ipv6=0")
    with pytest.raises(AppOutage) as outage:
        await IcapServer(f"http://[::1]:{free_port()}", api_key=API_KEY).report()
    assert outage.value.trouble in {AppTrouble.REFUSED, AppTrouble.SILENT}


async def test_one_script_reads_the_request_first() -> None:
    """The API key travels as the header ``apikey`` and nowhere else."""
    async with RawServer(answer(LICENSED)) as raw:
        await app(raw.port).report()
        first, second = raw.requests
    lines = first.decode().split("\r\n")
    assert lines[0] == "GET /admin/license HTTP/1.1"
    assert [Secret(line.partition(": ")[2]) for line in lines if line.lower().startswith("apikey:")] == [API_KEY]
    assert second.startswith(b"GET /readyz?verbose=true HTTP/1.1\r\n")
    assert b"apikey" not in second.lower()


async def test_no_scheme_fits(tls: Tls) -> None:
    """A port that turns both schemes away is told as what it said first."""
    flipping = FlippingApp(tls.server, misfit=MISFITS["page 400"])
    flipping.speaks_tls = True
    flipping.secure.scripts = [answer("<html>", status="400 No")]
    async with flipping.plain, flipping.secure, RawServer(flipping.relay) as front:
        with pytest.raises(AppOutage, match="400") as outage:
            await app(front.port).report()
        assert (front.connections, outage.value.trouble) == (2, AppTrouble.BROKEN)


async def test_every_address_of_a_name_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """If one address of the name refuses, the port refuses, whatever the others do."""
    resolve = socket.getaddrinfo

    def two(host: Any, port: Any, *more: Any, **named: Any) -> Any:
        if host not in {"localhost", b"localhost"}:
            return resolve(host, port, *more, **named)
        return [*resolve("127.0.0.1", port, *more, **named), *resolve("127.0.0.2", port, *more, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    server = app(free_port(), host="localhost")
    for call in (server.report(), server.knock()):
        with pytest.raises(AppOutage) as outage:
            await call
        assert outage.value.trouble is AppTrouble.REFUSED
