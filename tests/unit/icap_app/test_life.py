"""The life of the stand-in inside a test: crash, hang, restart, HTTPS, the vendor's own automation."""

import asyncio
import contextlib
import os
import re
import ssl
import time
from pathlib import Path

import aiohttp
import pytest

from mock_activation.icap_app import IcapApp, Settings
from tests.unit.icap_app.conversation import (
    KEY,
    Client,
    Vendor,
    converse,
    licence_file,
    refused,
    until,
    unverified,
)


async def test_a_restart_changes_the_id_and_forgets_the_licence(client: Client) -> None:
    """The port stays, the deployment ID is another, and a file for the old one is refused."""
    async with IcapApp(Settings(licensed=False)) as app:
        old, port = app.deployment_id, app.port.number
        await client.upload(app, licence_file(old))
        assert app.licensed
        new = await app.restart()
        assert new != old
        assert app.port.number == port
        assert (await client.get(f"{app.url}/admin/license"))[1] == {"deployment": new}
        assert (await client.upload(app, licence_file(old)))[0] == 400
        assert app.starts == 2


async def test_during_a_restart_the_ports_refuse() -> None:
    """What a container restart looks like from the sidecar: refused connections, then another ID."""
    async with IcapApp() as app:
        old = app.deployment_id
        assert app.begin_restart(down=0.1)
        assert not app.begin_restart(down=0.1)
        await until(lambda: not app.alive)
        assert await refused(app.port.number)
        assert await refused(app.icap_port.number)
        await until(lambda: app.alive and app.port.open)
        assert not await refused(app.port.number)
        assert app.deployment_id != old


async def test_a_crash_cuts_what_is_open_and_refuses_what_comes(client: Client, vendor: Vendor) -> None:
    """A crashed app answers nobody, not even those who had asked before, and does not deactivate."""
    vendor.silent = True
    async with IcapApp(Settings(activation_url=vendor.url)) as app:
        asked = asyncio.create_task(client.post(f"{app.url}/admin/license/activation", {"activationKey": KEY}))
        await until(lambda: vendor.calls)
        app.crash()
        with pytest.raises(aiohttp.ClientError):
            await asked
        assert await refused(app.port.number)
        assert await refused(app.icap_port.number)
        old = app.deployment_id
        await app.start()
        assert app.deployment_id != old
        assert (await client.get(f"{app.url}/admin/license"))[0] == 200
        with pytest.raises(RuntimeError):
            await app.start()
    assert [call for call, _, _ in vendor.calls] == ["/some/prefix/activation"]


async def test_a_crash_ends_a_restart_that_is_under_way() -> None:
    """Who crashes does not come back by himself."""
    async with IcapApp() as app:
        app.begin_restart(down=0.05)
        await until(lambda: not app.alive)
        app.crash()
        await asyncio.sleep(0.1)
        assert not app.alive
        assert await refused(app.port.number)
        assert app.begin_restart(down=0)
        await until(lambda: app.alive)


async def test_while_it_hangs_connections_are_accepted_and_nothing_is_answered(client: Client) -> None:
    """Requests wait, and take effect late, when it goes on: a hazard that the sidecar must live with."""
    async with IcapApp() as app:
        app.hang()
        assert app.hanging
        asked = asyncio.create_task(client.upload(app, licence_file(app.deployment_id)))
        done, _ = await asyncio.wait([asked], timeout=0.1)
        assert not done
        assert not app.licensed
        assert not await refused(app.port.number)
        app.unhang()
        assert await asked == (200, {"success": True})
        assert app.licensed


async def test_a_request_whose_client_went_away_takes_effect_after_a_hang(client: Client) -> None:
    """The client gave up, the app did not."""
    async with IcapApp() as app:
        app.hang()
        with pytest.raises(TimeoutError):
            await client.upload(app, licence_file(app.deployment_id), timeout=aiohttp.ClientTimeout(total=0.1))
        app.unhang()
        await until(lambda: app.licensed)


async def test_a_hanging_app_can_crash_and_stop() -> None:
    """Neither waits for those who wait."""
    async with IcapApp() as app:
        app.hang()
        asked = asyncio.create_task(converse(app.port.number, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"))
        await until(lambda: app.connections == 1)
        app.crash()
        assert await asked == b""
        await app.start()
        assert not app.hanging
        app.hang()
        async with asyncio.timeout(5):  # far less, where the machine is idle
            await app.stop()


async def test_turns_from_http_to_https_on_the_same_port(client: Client) -> None:
    """As the product does: plain requests fail, HTTPS answers, with the same ID and the same licence."""
    async with IcapApp(Settings(licensed=True)) as app:
        plain = app.url
        assert (await client.get(f"{plain}/admin/license"))[0] == 200
        await app.enable_tls()
        assert app.url == plain.replace("http:", "https:")
        assert await converse(app.port.number, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n") == b""
        status, body = await client.get(f"{app.url}/admin/license", ssl=unverified())
        assert (status, body["deployment"]) == (200, app.deployment_id)
        assert app.licensed
        trusting = ssl.create_default_context(cadata=app.ca_pem.decode())
        assert (await client.get(f"{app.url}/readyz", ssl=trusting))[0] == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await client.get(f"{app.url}/readyz")


async def test_a_kept_connection_from_before_https_is_cut() -> None:
    """Nobody goes on in plain text over an old connection."""
    async with IcapApp() as app:
        reader, writer = await asyncio.open_connection("127.0.0.1", app.port.number)
        writer.write(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await app.enable_tls()
        async with asyncio.timeout(5):
            assert b"HTTP/1.1" not in await reader.read()
        writer.close()


async def test_https_comes_after_a_while_or_from_the_start(client: Client) -> None:
    """``tls_after`` counts from each start: a restarted container begins with HTTP again."""
    async with IcapApp(Settings(tls_after=0.02)) as app:
        assert app.url.startswith("http:")
        await until(lambda: app.tls)
        await app.restart()
        assert not app.tls
    async with IcapApp(Settings(tls_after=0)) as app:
        assert app.url.startswith("https:")
        assert (await client.get(f"{app.url}/version", ssl=unverified()))[0] == 200


async def test_a_crash_cuts_connections_in_every_state() -> None:
    """Those that never began their TLS handshake too, on both ports: a killed process keeps no connection."""
    async with IcapApp(Settings(tls_after=0)) as app:
        streams = [
            await asyncio.open_connection("127.0.0.1", app.port.number),
            await asyncio.open_connection("127.0.0.1", app.port.number, ssl=unverified()),
            await asyncio.open_connection("127.0.0.1", app.icap_port.number),
        ]
        await until(lambda: app.connections == 2)
        app.crash()
        for reader, writer in streams:
            async with asyncio.timeout(5):
                assert await reader.read() == b""
            writer.close()


async def test_stops_while_somebody_is_connected_without_a_word() -> None:
    """A connection that never begins its TLS handshake, or its request, is no reason to stay."""
    for settings in (Settings(tls_after=0), Settings()):
        app = await IcapApp(settings).__aenter__()
        conversations = [
            await asyncio.open_connection("127.0.0.1", number) for number in (app.port.number, app.icap_port.number)
        ]
        await until(lambda app=app: app.connections == 1)
        await app.stop()
        for _, writer in conversations:
            writer.close()


async def test_the_first_seconds_are_forbidden(client: Client) -> None:
    """403 for a while after each start, but not for ``/readyz``."""
    async with IcapApp(Settings(forbidden_for=0.05)) as app:
        assert (await client.get(f"{app.url}/admin/license")) == (403, {"err": "Access denied"})
        assert (await client.get(f"{app.url}/readyz"))[0] == 503
        await until(lambda: app.refusal() is None)
        assert (await client.get(f"{app.url}/admin/license"))[0] == 200
        await app.restart()
        assert app.refusal() == 403


async def test_a_late_start_refuses_first() -> None:
    """The port is reserved and refuses until the delay is over, so its number is known before."""
    async with IcapApp(Settings(start_delay=0.05)) as app:
        assert app.alive
        assert await refused(app.port.number)
        await until(lambda: app.port.open)
        assert not await refused(app.port.number)


async def test_a_stop_during_the_start_delay_is_clean() -> None:
    """Nothing is left behind by an app that never listened."""
    async with IcapApp(Settings(start_delay=60)) as app:
        await app.enable_tls()
        assert not app.port.open


async def test_the_deployment_id_can_be_given_or_kept(tmp_path: Path) -> None:
    """``keep`` survives restarts and processes; a given one is shown as it is; ``fresh`` is never seen again."""
    given = "MSCL" + "1" * 32
    async with IcapApp(Settings(deployment_id=given)) as app:
        assert app.deployment_id == given
        assert await app.restart() == given
    kept = Settings(deployment_id="keep", data=tmp_path / "data", id_prefix="ABC")
    async with IcapApp(kept) as app:
        first = app.deployment_id
        assert re.fullmatch(r"ABC[0-9a-f]{32}", first)
        assert await app.restart() == first
    async with IcapApp(kept) as app:
        assert app.deployment_id == first
    async with IcapApp() as app:
        seen = {app.deployment_id} | {await app.restart() for _ in range(5)}
        last = app.deployment_id
        assert await app.restart(same_id=True) == last
    assert len(seen) == 6


@pytest.mark.parametrize("content", ["", "with space", "x" * 200])
async def test_a_kept_id_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    """A torn file is told, not taken for an ID."""
    (tmp_path / "deployment-id").write_text(content)
    with pytest.raises(ValueError, match="holds no deployment ID"):
        async with IcapApp(Settings(deployment_id="keep", data=tmp_path)):
            pass
    with pytest.raises(ValueError, match="data folder is needed"):
        async with IcapApp(Settings(deployment_id="keep")):
            pass


async def test_a_young_restart_file_restarts_the_app(tmp_path: Path) -> None:
    """As the chart's liveness probe: younger than two minutes restarts, older does not, and each look counts anew."""
    path = tmp_path / "restart-app"
    settings = Settings(restart_file=path, probe_period=0.02, probe_down=0.01)
    async with IcapApp(settings) as app:
        first = app.deployment_id
        path.touch()
        os.utime(path, (time.time() - 130, time.time() - 130))
        await asyncio.sleep(0.06)
        assert app.deployment_id == first
        path.touch()
        await until(lambda: app.starts == 3)
        path.unlink()
        await until(lambda: app.alive)
        assert app.deployment_id != first


async def test_the_vendors_own_automation_activates_once_and_deactivates_at_the_end(vendor: Vendor) -> None:
    """With LICENSE_KEY the container takes a seat at start and gives it back when it is told to end."""
    async with IcapApp(Settings(license_key=KEY, activation_url=vendor.url)) as app:
        await until(lambda: app.licensed)
        first = app.deployment_id
        await app.restart()
        second = app.deployment_id
        await until(lambda: app.licensed)
        await app.restart(abrupt=True)
        third = app.deployment_id
        await until(lambda: app.licensed)
    told = [(call.rpartition("/")[2], one) for call, one, _ in vendor.calls]
    assert told == [
        ("activation", first),
        ("deactivation", first),
        ("activation", second),
        ("activation", third),
        ("deactivation", third),
    ]
    assert vendor.key_was_right


async def test_the_vendors_own_automation_does_not_try_again(vendor: Vendor, caplog: pytest.LogCaptureFixture) -> None:
    """One attempt at start, one at the end, whatever the server says; both are told without the key."""
    caplog.set_level("INFO")
    vendor.status = 503
    async with IcapApp(Settings(license_key=KEY, activation_url=vendor.url)) as app:
        await until(lambda: "did not activate" in caplog.text)
        assert not app.licensed
        vendor.status = 200
        await app.restart()
        await until(lambda: app.licensed)
        vendor.status = 500
    assert [call.rpartition("/")[2] for call, _, _ in vendor.calls] == ["activation", "activation", "deactivation"]
    assert "not deactivated" in caplog.text
    shown = KEY in caplog.text
    assert not shown


async def test_a_taken_port_is_told_and_nothing_stays_open() -> None:
    """Who cannot have his port does not start."""
    async with IcapApp() as app:
        with pytest.raises(OSError, match=f"in use.*{app.port.number}"):
            async with IcapApp(Settings(icap_port=app.port.number)):
                pass


async def test_two_that_reserved_the_same_port_do_not_both_listen() -> None:
    """A reserved port does not listen; the second to listen is told."""
    async with IcapApp(Settings(start_delay=60)) as app:
        other = IcapApp(Settings(port=app.port.number))
        async with other:
            assert not await refused(app.port.number)
            app.crash()
            with pytest.raises(OSError, match="in use"):
                await app._open()


async def test_a_bug_in_the_background_comes_out(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Nothing that fails behind the scenes goes unseen: it is told at once and raised at the end."""
    folder = tmp_path / "data"
    app = IcapApp(Settings(deployment_id="keep", data=folder))
    async with contextlib.AsyncExitStack() as stack:
        await app.__aenter__()
        stack.push_async_callback(app._close)
        (folder / "deployment-id").write_text("no ID at all")
        app.begin_restart(down=0)
        await app.failed.wait()
        with pytest.raises(BaseExceptionGroup) as raised:
            await app.stop()
    assert raised.group_contains(ValueError)
    assert "task restart of the stand-in failed" in caplog.text


async def test_a_licence_can_be_granted_and_lost() -> None:
    """For tests of the heartbeat: the ID stays, the licence goes, or is an expired one."""
    async with IcapApp() as app:
        one = app.deployment_id
        app.grant_licence()
        assert app.licensed
        app.grant_licence(days=-2)
        assert not app.licensed
        app.grant_licence()
        app.lose_licence()
        assert not app.licensed
        assert app.deployment_id == one


async def test_speaks_ipv6_where_there_is_one(client: Client) -> None:
    """The address may be one of IPv6."""
    try:
        app = await IcapApp(Settings(host="::1")).__aenter__()
    except OSError:
        pytest.skip("this machine has no IPv6 on loopback")
    try:
        assert app.url.startswith("http://[::1]:")
        assert (await client.get(f"{app.url}/version"))[0] == 200
    finally:
        await app.stop()
