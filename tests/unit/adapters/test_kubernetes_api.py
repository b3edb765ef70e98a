"""One call to the API server: every status told apart, every hazard bounded, and the token kept to us."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from sidecar.adapters.kubernetes_api import (
    MANAGER,
    SIZE_LIMIT,
    ApiError,
    KubernetesApi,
    Trouble,
    collection,
    single,
)
from sidecar.errors import Misconfigured
from tests.unit.adapters.api_server import TOKEN, ApiServer, account, api, fingerprint, shown_token, status
from tests.unit.adapters.raw_server import RawServer, Tls, answer

POD = "/api/v1/namespaces/icap/pods/icap-0"
FOUND = {"kind": "Pod", "metadata": {"name": "icap-0"}}


def says(code: int, content: Any = None, **headers: str) -> Callable[[web.Request], Any]:
    """Return a story of one answer."""

    async def story(_request: web.Request) -> web.StreamResponse:
        told = status(code, "the server's own words") if content is None else content
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(told, status=code, headers=named)

    return story


@asynccontextmanager
async def server(story: Any, tls: Tls, folder: Path, **more: Any) -> AsyncIterator[tuple[ApiServer, KubernetesApi]]:
    """Run a server with this story, and a client of it."""
    async with ApiServer(story, tls.server) as running:
        client = api(folder, running.url, tls, **more)
        try:
            yield running, client
        finally:
            await client.aclose()


async def refused(client: KubernetesApi) -> ApiError:
    """Return how a GET fails."""
    with pytest.raises(ApiError) as caught:
        await client.get(POD)
    assert TOKEN not in str(caught.value)
    return caught.value


async def test_an_answer_is_an_object_with_the_servers_clock(tls: Tls, tmp_path: Path) -> None:
    """Its ``Date`` is the only clock by which a deletion is judged."""
    async with server(says(200, FOUND, Date="Fri, 27 Nov 2026 15:00:00 GMT"), tls, tmp_path) as (running, client):
        reply = await client.get(POD)
    assert reply.body == FOUND
    assert reply.date == 1795791600.0
    (asked,) = running.asked
    assert (asked.method, asked.path, asked.query) == ("GET", POD, {})
    assert shown_token(asked) == fingerprint()
    assert asked.headers["User-Agent"].startswith("license-sidecar/")


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "0"])
async def test_a_date_that_is_none_is_no_clock(date: str, tls: Tls, tmp_path: Path) -> None:
    """It is better to know no time than a wrong one."""
    async with server(says(200, FOUND, Date=date), tls, tmp_path) as (_, client):
        assert (await client.get(POD)).date is None


@pytest.mark.parametrize(
    ("code", "trouble", "lasting"),
    [
        (401, Trouble.UNAUTHORIZED, False),
        (403, Trouble.FORBIDDEN, True),
        (404, Trouble.NOT_FOUND, False),
        (409, Trouble.CONFLICT, False),
        (410, Trouble.GONE, False),
        (418, Trouble.PROTOCOL, True),
        (422, Trouble.INVALID, True),
        (429, Trouble.BUSY, False),
        (499, Trouble.PROTOCOL, True),
        (500, Trouble.FAILED, False),
        (599, Trouble.FAILED, False),
    ],
)
async def test_every_status_is_told_apart(code: int, trouble: Trouble, lasting: bool, tls: Tls, tmp_path: Path) -> None:
    """What passes by itself is tried again, what somebody must change first is not."""
    async with server(says(code), tls, tmp_path) as (_, client):
        error = await refused(client)
    assert error.trouble is trouble
    assert error.outage().lasting is lasting
    assert str(code) in str(error)
    assert "the server's own words" in str(error)


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize(("text", "wish"), [("7", 7.0), ("0", 0.0), ("soon", None), ("-1", None), ("9" * 9, None)])
async def test_a_servers_wish_is_passed_on(code: int, text: str, wish: float | None, tls: Tls, tmp_path: Path) -> None:
    """Priority and fairness: ``Retry-After`` in seconds; anything else is no wish."""
    async with server(says(code, Retry_After=text), tls, tmp_path) as (_, client):
        error = await refused(client)
    assert error.retry_after == wish
    assert error.outage().retry_after == wish


@pytest.mark.parametrize("code", [200, 404, 409])
@pytest.mark.parametrize("body", ["<html>Sign in</html>", "", "[]", '"text"', '{"no": "kind"}', "{", "[" * 100_000])
async def test_what_is_no_api_server_says_nothing_about_our_objects(
    code: int, body: str, tls: Tls, tmp_path: Path
) -> None:
    """A portal's 404 does not mean that a pod is gone, and its 409 not that a record was changed."""

    async def story(_request: web.Request) -> web.StreamResponse:
        return web.Response(text=body, status=code, content_type="text/html")

    async with server(story, tls, tmp_path) as (_, client):
        error = await refused(client)
    assert error.trouble is Trouble.PROTOCOL
    assert "no Kubernetes API server: it sent text/html" in str(error)


@pytest.mark.parametrize("code", [500, 502, 503, 429])
async def test_a_balancers_page_is_an_outage_that_passes(code: int, tls: Tls, tmp_path: Path) -> None:
    """In front of an API server that restarts."""

    async def story(_request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>Bad Gateway</html>", status=code, content_type="text/html")

    async with server(story, tls, tmp_path) as (_, client):
        error = await refused(client)
    assert not error.outage().lasting
    assert "Bad Gateway" not in str(error)


@pytest.mark.parametrize("code", [301, 303, 307])
async def test_no_redirect_is_followed(code: int, tls: Tls, tmp_path: Path) -> None:
    """The token must not travel, not even to another path of the same host."""
    async with server(says(200, FOUND), tls, tmp_path / "other") as (elsewhere, _):

        async def story(request: web.Request) -> web.StreamResponse:
            there = f"{elsewhere.url}{POD}" if request.path == POD else "/here"
            return web.json_response(status(code), status=code, headers={"Location": there})

        async with server(story, tls, tmp_path / "own") as (running, client):
            error = await refused(client)
            with pytest.raises(ApiError):
                await client.create("/api/v1/namespaces/icap/events", {"kind": "Event"})
            with pytest.raises(ApiError):
                await client.open_stream("/api/v1/namespaces/icap/pods", {"watch": "1"}, silence=1.0)
    assert error.trouble is Trouble.PROTOCOL
    assert elsewhere.asked == []
    assert [it.path for it in running.asked] == [POD, "/api/v1/namespaces/icap/events", "/api/v1/namespaces/icap/pods"]


async def test_no_proxy_is_used(tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the environment are for the activation server only."""
    async with RawServer(answer("{}")) as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.upper(), proxy.url)
        async with server(says(200, FOUND), tls, tmp_path) as (_, client):
            assert (await client.get(POD)).body == FOUND
        assert proxy.connections == 0


async def test_the_token_is_read_anew_for_each_call(tls: Tls, tmp_path: Path) -> None:
    """It rotates; when its file vanishes or is emptied, the last one goes on."""
    async with server(says(200, FOUND), tls, tmp_path) as (running, client):
        await client.get(POD)
        (tmp_path / "token").write_text("eyJ-token-of-the-tests-0002\n")
        await client.get(POD)
        (tmp_path / "token").write_text("")
        await client.get(POD)
        (tmp_path / "token").unlink()
        await client.get(POD)
    second = fingerprint("eyJ-token-of-the-tests-0002")
    assert [shown_token(it) for it in running.asked] == [fingerprint(), second, second, second]


async def test_connections_are_kept(tls: Tls, tmp_path: Path) -> None:
    """A handshake of TLS for each renewal would cost more than the renewal."""
    seen = set()

    async def story(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        seen.add(request.transport.get_extra_info("peername"))
        return web.json_response(FOUND)

    async with server(story, tls, tmp_path) as (_, client):
        for _ in range(5):
            await client.get(POD)
    assert len(seen) == 1


async def test_a_foreign_authority_is_not_trusted(tls: Tls, tmp_path: Path) -> None:
    """Nor is the token shown to it; a replaced authority is read again with the next call."""
    stranger, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    stranger.issue_cert("127.0.0.1").configure_cert(context)
    async with server(says(200, FOUND), Tls(context, tls.ca_file), tmp_path) as (running, client):
        error = await refused(client)
        assert error.trouble is Trouble.UNTRUSTED
        assert error.outage().lasting
        assert running.asked == []
        stranger.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
        assert (await client.get(POD)).body == FOUND


async def test_a_watch_too_reads_a_replaced_authority(tls: Tls, tmp_path: Path) -> None:
    """Whichever call comes first."""
    stranger, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    stranger.issue_cert("127.0.0.1").configure_cert(context)
    async with server(says(200, FOUND), Tls(context, tls.ca_file), tmp_path) as (_, client):
        with pytest.raises(ApiError) as caught:
            await client.open_stream(POD, {}, silence=1.0)
        assert caught.value.trouble is Trouble.UNTRUSTED
        stranger.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
        async with await client.open_stream(POD, {}, silence=1.0) as stream:
            assert stream.status == HTTPStatus.OK


async def test_a_certificate_for_another_name_is_not_trusted(
    foreign_tls: ssl.SSLContext, tls: Tls, tmp_path: Path
) -> None:
    """Whoever signed it."""
    async with server(says(200, FOUND), Tls(foreign_tls, tls.ca_file), tmp_path) as (running, client):
        assert (await refused(client)).trouble is Trouble.UNTRUSTED
        assert running.asked == []


@pytest.mark.parametrize("content", [b"no certificate", b""])
async def test_an_unusable_authority_is_named(content: bytes, tls: Tls, tmp_path: Path) -> None:
    """The file, not what is in it."""
    async with server(says(200, FOUND), tls, tmp_path) as (running, client):
        (tmp_path / "ca.crt").write_bytes(content)
        error = await refused(client)
        assert error.trouble is Trouble.UNTRUSTED
        assert "ca.crt is no usable CA certificate" in str(error)
        assert running.asked == []


async def test_nobody_listens(tls: Tls, tmp_path: Path) -> None:
    """The API server restarts: the network, and it passes."""
    async with server(says(200, FOUND), tls, tmp_path) as (_, client):
        pass
    error = await refused(client)
    assert error.trouble is Trouble.NETWORK
    assert not error.outage().lasting
    await client.aclose()


async def test_plain_http_is_no_tls_session(tls: Tls, tmp_path: Path) -> None:
    """The token is sent over TLS or not at all."""
    async with RawServer(answer("{}")) as plain:
        client = api(tmp_path, plain.url.replace("http:", "https:"), tls)
        error = await refused(client)
        assert error.trouble is Trouble.NETWORK
        assert plain.requests == []
        await client.aclose()


async def test_silence_is_bounded_in_total(tls: Tls, tmp_path: Path) -> None:
    """No answer, or one that drips, byte by byte, for ever."""
    body = json.dumps(FOUND).encode()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.cut(reader, writer)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
        while not silent.release.is_set():
            writer.write(body[:1])
            await writer.drain()
            await asyncio.sleep(0.02)

    async with RawServer(tls=tls.server) as silent:
        silent.scripts = [silent.hold, silent.mute, drip, silent.hold]
        clock = asyncio.get_running_loop().time
        client = api(tmp_path, silent.url, tls, timeout=0.3)
        try:
            for _ in range(3):
                began = clock()
                assert (await refused(client)).trouble is Trouble.TIMEOUT
                assert clock() - began < 5.0
            with pytest.raises(ApiError) as caught:
                await client.open_stream(POD, {}, silence=60.0)
            assert caught.value.trouble is Trouble.TIMEOUT
        finally:
            await client.aclose()


@pytest.mark.parametrize(
    "script",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        answer(json.dumps(FOUND), length=len(json.dumps(FOUND)) + 10),
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"ki',
    ],
    ids=["before the answer", "in its head", "in its body", "in a chunk"],
)
async def test_a_connection_that_is_cut(script: bytes, tls: Tls, tmp_path: Path) -> None:
    """Before or after processing, nobody can tell: the network, and it passes."""
    async with RawServer(script, tls=tls.server) as raw:
        client = api(tmp_path, raw.url, tls)
        error = await refused(client)
        assert error.trouble is Trouble.NETWORK
        assert not error.outage().lasting
        await client.aclose()


@pytest.mark.parametrize("script", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 banana\r\n\r\n"])
async def test_what_speaks_no_http(script: bytes, tls: Tls, tmp_path: Path) -> None:
    """Another service under the address of the API server."""
    async with RawServer(script, tls=tls.server) as raw:
        client = api(tmp_path, raw.url, tls)
        assert (await refused(client)).trouble in {Trouble.PROTOCOL, Trouble.NETWORK}
        await client.aclose()


async def test_an_endless_answer_is_not_read(tls: Tls, tmp_path: Path) -> None:
    """Bounded in size: memory is limited in a sidecar."""

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await raw.cut(reader, writer)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for _ in range(2 * (SIZE_LIMIT >> 20)):
            writer.write(b" " * (1 << 20))
            await writer.drain()

    async with RawServer(tls=tls.server) as raw:
        raw.scripts = [flood]
        client = api(tmp_path, raw.url, tls, timeout=20.0)
        error = await refused(client)
        assert error.trouble is Trouble.PROTOCOL
        assert "32 MiB" in str(error)
        await client.aclose()


async def test_writes_name_their_manager_and_their_version(tls: Tls, tmp_path: Path) -> None:
    """The field manager of everything we write; a deletion carries its preconditions."""
    lease = "/apis/coordination.k8s.io/v1/namespaces/icap/leases"
    async with server(says(200, FOUND), tls, tmp_path) as (running, client):
        await client.create(lease, {"kind": "Lease"})
        await client.replace(f"{lease}/one", {"kind": "Lease"})
        await client.patch(f"{lease}/one", {"kind": "Lease"})
        await client.delete(f"{lease}/one", uid="u1", version="7")
    assert [it.method for it in running.asked] == ["POST", "PUT", "PATCH", "DELETE"]
    assert [it.query for it in running.asked] == [{"fieldManager": MANAGER}] * 3 + [{}]
    assert running.asked[2].headers["Content-Type"] == "application/merge-patch+json"
    assert running.asked[3].body["preconditions"] == {"uid": "u1", "resourceVersion": "7"}


async def test_nothing_secret_is_said_or_logged(tls: Tls, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """NO_SECRET: a server that repeats our token in its refusal, and libraries that log what they send."""
    caplog.set_level(logging.DEBUG)
    async with server(says(403, status(403, f"token {TOKEN} of system:x may not")), tls, tmp_path) as (_, client):
        error = await refused(client)
    assert "may not" in str(error)
    assert TOKEN not in caplog.text


async def test_long_words_of_the_server_are_cut(tls: Tls, tmp_path: Path) -> None:
    """A message is one line of a log."""
    async with server(says(500, status(500, "x" * 100_000)), tls, tmp_path) as (_, client):
        assert len(str(await refused(client))) < 500


async def test_cancelling_a_call_is_safe(tls: Tls, tmp_path: Path) -> None:
    """At any await: the next call works."""
    gate = asyncio.Event()

    async def story(_request: web.Request) -> web.StreamResponse:
        gate.set()
        await asyncio.sleep(0 if len(running.asked) > 1 else 60)
        return web.json_response(FOUND)

    async with server(story, tls, tmp_path) as (running, client):
        call = asyncio.ensure_future(client.get(POD))
        await gate.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await client.get(POD)).body == FOUND


async def test_a_bug_is_not_translated(tls: Tls, tmp_path: Path) -> None:
    """What the transport does not raise is not an outage of the API server."""
    client = KubernetesApi(account(tmp_path, "https://127.0.0.1:1", tls.ca_file))
    with pytest.raises(ZeroDivisionError):
        client.translated(ZeroDivisionError())


def test_paths_are_quoted_and_complete() -> None:
    """An object without a name would be the whole collection; a name cannot climb out of its namespace."""
    assert collection("api/v1", "icap", "pods") == "/api/v1/namespaces/icap/pods"
    assert single("api/v1", "icap", "pods", "../x") == "/api/v1/namespaces/icap/pods/..%2Fx"
    for namespace, name in (("", "a"), ("a", "")):
        with pytest.raises(Misconfigured):
            single("api/v1", namespace, "pods", name)
