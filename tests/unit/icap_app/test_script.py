"""Scripted faults of the REST API, the journal, and lives that differ from the last one, over the control port."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mock_activation.icap_app import IcapApp, Settings
from mock_activation.icap_app.calls import ApiKeyGiven, Calls, Route
from mock_activation.icap_app.rules import parse_rule
from tests.unit.icap_app.conversation import (
    API_KEY,
    KEY,
    Client,
    Vendor,
    converse,
    licence_file,
    refused,
    until,
    unverified,
)

ASK = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"


async def script(client: Client, app: IcapApp, **rule: Any) -> int:
    """Add a rule and return its number."""
    status, body = await client.post(f"{app.control_url}/faults", rule)
    assert status == 201
    return int(body["number"])


async def asked(client: Client, app: IcapApp, query: str = "") -> list[dict[str, Any]]:
    """Return what the journal holds."""
    calls: list[dict[str, Any]] = (await client.get(f"{app.control_url}/journal{query}"))[1]["calls"]
    return calls


@pytest.mark.parametrize(
    ("rule", "status", "body"),
    [
        ({"fault": "status", "status": 503, "body": "busy"}, 503, b"busy"),
        ({"fault": "html"}, 200, b"<!DOCTYPE html>"),
        ({"fault": "torn-json"}, 200, b'{"success": tr'),
        ({"fault": "not-json"}, 200, b"this is no JSON"),
        ({"fault": "content-type", "content_type": "text/plain"}, 200, b'{"product_id"'),
        ({"fault": "drip", "seconds": 0.001, "size": 7}, 200, b'{"product_id"'),
        ({"fault": "delay", "seconds": 0.001}, 200, b'{"product_id"'),
        ({"fault": "delay", "seconds": 0.001, "processed": True}, 200, b'{"product_id"'),
    ],
    ids=lambda value: value["fault"] if isinstance(value, dict) else None,
)
async def test_an_answer_can_be_spoilt(client: Client, rule: dict[str, Any], status: int, body: bytes) -> None:
    """What comes instead, or otherwise, and that it happens as often as it was said to."""
    async with IcapApp() as app:
        await script(client, app, **rule, times=1)
        async with client.session.get(f"{app.url}/version") as answer:
            assert answer.status == status
            assert (await answer.read()).startswith(body)
        assert (await client.get(f"{app.url}/version"))[0] == 200
        spoilt, right = await asked(client, app)
        assert (spoilt["fault"], spoilt["status"], spoilt["fate"]) == (rule["fault"], status, "answered")
        assert (right["fault"], right["status"]) == (None, 200)


@pytest.mark.parametrize("fault", ["cut", "reset", "garbage", "truncate"])
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
async def test_an_answer_can_be_missing(client: Client, fault: str, tls: bool) -> None:
    """The connection ends without a right answer; the journal says unanswered."""
    async with IcapApp(Settings(tls_after=0 if tls else None)) as app:
        await script(client, app, fault=fault, times=1)
        login = {"user": "admin", "password": "any"}  # a POST: a library may repeat what only reads
        with pytest.raises((aiohttp.ClientError, ValueError)):
            await client.post(f"{app.url}/login", login, ssl=unverified())
        assert (await client.post(f"{app.url}/login", login, ssl=unverified()))[0] == 200
        call = (await asked(client, app))[0]
        assert (call["fault"], call["status"], call["fate"]) == (fault, None, "unanswered")


async def test_a_cut_is_a_good_end_and_a_reset_is_not() -> None:
    """FIN and RST are different hazards."""
    async with IcapApp() as app:
        app.rest.faults.add(parse_rule({"fault": "cut", "times": 1}))
        assert await converse(app.port.number, ASK) == b""
        app.rest.faults.add(parse_rule({"fault": "reset", "times": 1}))
        with pytest.raises(ConnectionResetError):
            await converse(app.port.number, ASK)


async def test_a_hanging_call_ends_with_its_client_or_with_the_app(client: Client) -> None:
    """Only this call hangs; neither a client that gives up nor a crash leaves it behind."""
    async with IcapApp() as app:
        await script(client, app, fault="hang", route="version")
        with pytest.raises(TimeoutError):
            await client.get(f"{app.url}/version", timeout=aiohttp.ClientTimeout(total=0.05))
        assert (await client.get(f"{app.url}/admin/license"))[0] == 200
        await until(lambda: app.rest.calls.matching(route="version", fate="unanswered"))
        hanging = asyncio.create_task(converse(app.port.number, ASK))
        await until(lambda: app.rest.calls.matching(route="version", fate="pending"))
        app.crash()
        assert await hanging == b""


async def test_an_answer_can_be_lost_after_the_call_took_effect(client: Client) -> None:
    """The hazard that matters most: licensed, and nobody was told."""
    async with IcapApp() as app:
        await script(client, app, fault="cut", route="upload", processed=True)
        with pytest.raises(aiohttp.ClientError):
            await client.upload(app, licence_file(app.deployment_id))
        assert app.licensed
        await client.call("DELETE", f"{app.control_url}/faults")
        app.lose_licence()
        await script(client, app, fault="cut", route="upload")
        with pytest.raises(aiohttp.ClientError):
            await client.upload(app, licence_file(app.deployment_id))
        assert not app.licensed


async def test_rules_are_tried_in_order_and_counted(client: Client) -> None:
    """nth, every and times choose calls; another route is left alone; used up rules stay to be looked at."""
    async with IcapApp() as app:
        first = await script(client, app, fault="status", status=501, route="version", nth=2, times=1)
        await script(client, app, fault="status", status=502, route="version", every=3)
        url = f"{app.url}/version"
        seen = [(await client.get(url, scripted=True))[0] for _ in range(7)]
        assert (await client.get(f"{app.url}/admin/license"))[0] == 200
        assert seen == [200, 501, 200, 502, 200, 200, 502]
        _, body = await client.get(f"{app.control_url}/faults")
        assert [(rule["number"], rule["seen"], rule["fired"]) for rule in body["faults"]] == [(1, 2, 1), (2, 6, 2)]
        written = {"fault": "status", "status": 501, "route": "version", "nth": 2, "times": 1}
        assert written.items() <= body["faults"][0].items()
        status, body = await client.call("DELETE", f"{app.control_url}/faults/{first}")
        assert (status, len(body["faults"])) == (200, 1)
        assert (await client.call("DELETE", f"{app.control_url}/faults/{first}"))[0] == 404
        for number in ("x", "-1", "1" * 50, "²"):
            assert (await client.call("DELETE", f"{app.control_url}/faults/{number}"))[0] == 404


async def test_what_is_left_to_chance_depends_on_the_seed_alone(client: Client) -> None:
    """The same seed, the same calls, the same faults; the seed can be set at the start and over the control port."""

    async def run(app: IcapApp) -> list[int]:
        url = f"{app.url}/version"
        return [(await client.get(url, scripted=True))[0] for _ in range(24)]

    async with IcapApp(Settings(seed=7)) as app, IcapApp(Settings(seed=8)) as other:
        for one in (app, other):
            await script(client, one, fault="status", status=500, probability=0.5)
        once, differently = await run(app), await run(other)
        assert set(once) == {200, 500}
        assert once != differently
        assert (await client.post(f"{other.control_url}/seed", {"seed": 7}))[1]["seed"] == 7
        assert await run(other) == once
    async with IcapApp() as one, IcapApp() as two:
        assert one.seed != two.seed


async def test_rules_can_hold_for_a_time(client: Client) -> None:
    """A window counts from the moment at which the rule was added."""
    async with IcapApp() as app:
        await script(client, app, fault="status", status=500, window={"from": 60})
        assert (await client.get(f"{app.url}/version"))[0] == 200
        await script(client, app, fault="status", status=500, window={"to": 60})
        assert (await client.get(f"{app.url}/version", scripted=True))[0] == 500


async def test_rules_outlast_the_apps_lives(client: Client) -> None:
    """They belong to the stand-in, as its manners do."""
    async with IcapApp() as app:
        await script(client, app, fault="status", status=500)
        await app.restart()
        assert (await client.get(f"{app.url}/version", scripted=True))[0] == 500


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({}, "fault must be one of status, html"),
        ({"fault": "lost-answer"}, "fault must be one of"),
        ({"fault": ["hang"]}, "fault must be one of"),
        ({"fault": "hang", "route": "nowhere"}, "route must be one of license, upload"),
        ({"fault": "hang", "route": []}, "route must be one of"),
        ({"fault": "hang", "operation": "activation"}, "no field operation"),
        ({"fault": "hang", "deployment": "*"}, "no field deployment"),
        ({"fault": "torn-json", "status": 500}, "no field status"),
        ({"fault": "hang", "times": 0, "nth": "x"}, "times must be"),
        ({"fault": "hang", "times": 0, "nth": "x"}, "nth must be"),
        ({"fault": "hang", "probability": 2}, "probability must be"),
        ({"fault": "delay"}, "seconds must be"),
        ({"fault": "hang", "strange": 1}, "no field strange"),
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused_with_every_reason(
    client: Client, rule: dict[str, Any], says: str
) -> None:
    """400, and nothing is added."""
    async with IcapApp() as app:
        status, answer = await client.post(f"{app.control_url}/faults", rule)
        assert status == 400
        assert says in answer["err"]
        assert (await client.get(f"{app.control_url}/faults"))[1]["faults"] == []


async def test_the_journal_tells_each_call_without_a_secret(client: Client, vendor: Vendor) -> None:
    """Route, time, credentials, status; of the activation key its fingerprint, of the API key whether it was right."""
    async with IcapApp(Settings(api_key=API_KEY, activation_url=vendor.url)) as app:
        began = time.time()
        await client.post(f"{app.url}/admin/license/activation", {"activationKey": KEY}, key=API_KEY)
        await client.get(f"{app.url}/admin/license?apikey={API_KEY}", key="0" * 36)
        await client.get(f"{app.url}/version")
        await client.get(f"{app.url}/{KEY}")
        calls = await asked(client, app)
        state = (await client.get(f"{app.control_url}/state"))[1]
    shown = any(secret in json.dumps([calls, state]) for secret in (KEY, API_KEY))
    assert not shown
    assert [(it["number"], it["route"], it["api_key"], it["status"]) for it in calls] == [
        (1, "activation", "right", 200),
        (2, "license", "wrong", 403),
        (3, "version", "none", 200),
        (4, "other", "none", 403),
    ]
    assert calls[0]["key_fingerprint"] == state["key_fingerprint"]
    assert calls[3]["path"] == "/***"
    assert all(began <= it["at"] <= it["done_at"] for it in calls)
    assert state["requests"][1] == "GET /admin/license 403"


async def test_the_journal_can_be_searched_and_forgotten(client: Client) -> None:
    """By route, status, fate, fault and number; numbers go on after it was forgotten."""
    async with IcapApp() as app:
        await script(client, app, fault="cut", route="login")
        await client.get(f"{app.url}/version")
        await client.get(f"{app.url}/admin/license")
        with pytest.raises(aiohttp.ClientError):
            await client.post(f"{app.url}/login", {})
        for query, numbers in {
            "?route=version": [1],
            "?status=200": [1, 2],
            "?status=200&after=1": [2],
            "?fate=unanswered": [3],
            "?fault=cut": [3],
            "?route=login&status=200": [],
            "?after=3": [],
        }.items():
            assert [call["number"] for call in await asked(client, app, query)] == numbers
        assert (await client.call("DELETE", f"{app.control_url}/journal"))[1] == {"calls": []}
        await client.get(f"{app.url}/version")
        assert [call["number"] for call in await asked(client, app)] == [4]


async def test_the_journal_can_be_waited_for(client: Client) -> None:
    """It answers as soon as something matches, or with nothing after the time."""
    async with IcapApp() as app:
        assert await asked(client, app, "?wait=0.01") == []
        waiting = asyncio.create_task(asked(client, app, "?wait=5&route=version&status=200"))
        await client.get(f"{app.url}/admin/license")
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await client.get(f"{app.url}/version")
        assert [call["route"] for call in await waiting] == ["version"]


async def test_whoever_waits_does_not_hold_the_end_up(client: Client) -> None:
    """A stop does not wait for those who wait."""
    async with IcapApp() as app:
        waiting = asyncio.create_task(asked(client, app, "?wait=60"))
        await asyncio.sleep(0.02)
        async with asyncio.timeout(5):  # far less, where the machine is idle
            await app.stop()
        with pytest.raises(aiohttp.ClientError):
            await waiting


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("?wait=x", "wait: seconds"),
        ("?wait=nan", "wait: seconds"),
        ("?wait=-1", "wait: seconds"),
        ("?wait=301", "wait: seconds"),
        ("?route=nowhere", "route: one of"),
        ("?fate=sealed", "fate: one of"),
        ("?fault=mine", "fault: one of"),
        ("?status=two", "status: a whole number"),
        ("?after=-1", "after: a whole number"),
        ("?after=%C2%B2", "after: a whole number"),
        ("?strange=1", "can be asked for"),
        ("?route=login&route=login", "once is enough"),
    ],
)
async def test_a_question_to_the_journal_that_makes_no_sense_is_400(client: Client, query: str, says: str) -> None:
    """With what may be asked."""
    async with IcapApp() as app:
        status, answer = await client.get(f"{app.control_url}/journal{query}")
        assert (status, says in answer["err"]) == (400, True)


async def test_the_journal_is_bounded() -> None:
    """A stand-in that runs for weeks does not grow."""
    calls = Calls(time.time, kept=10)
    for _ in range(50):
        calls.close(calls.open(Route.OTHER, "GET" * 50, "/" + "x" * 5000, ApiKeyGiven.NONE), 404)
    assert [call.number for call in calls.matching()] == list(range(41, 51))
    assert len(calls.matching()[0].line) < 300


async def test_the_next_life_can_be_another_one(client: Client) -> None:
    """Slow start, 403 for a while, HTTPS after a while and the ID are changed from the next start on."""
    given = "MSCL" + "1" * 32
    wishes = {"start_delay": 0.05, "forbidden_for": 60, "tls_after": 0, "deployment_id": given}
    async with IcapApp() as app:
        old = app.deployment_id
        status, state = await client.post(f"{app.control_url}/life", wishes)
        assert (status, state["life"], state["deployment_id"]) == (200, wishes, old)
        assert (await client.get(f"{app.url}/admin/license"))[0] == 200
        await app.restart()
        assert await refused(app.port.number)
        await until(lambda: app.port.open)
        assert (await client.get(f"{app.url}/admin/license", ssl=unverified()))[0] == 403
        assert (app.deployment_id, app.tls) == (given, True)
        _, state = await client.post(f"{app.control_url}/life", {"tls_after": None, "deployment_id": "fresh"})
        assert state["life"] == {"start_delay": 0.05, "forbidden_for": 60, "tls_after": None, "deployment_id": "fresh"}
        status, answer = await client.post(f"{app.control_url}/life", {"deployment_id": "keep"})
        assert (status, "data folder" in answer["err"]) == (400, True)


async def test_https_can_come_after_a_while(client: Client) -> None:
    """The last wish counts, and a crash ends it: the next life begins with HTTP."""
    async with IcapApp() as app:
        status, state = await client.post(f"{app.control_url}/tls", {"after": 60})
        assert (status, state["tls"]) == (202, False)
        await client.post(f"{app.control_url}/tls", {"after": 0.01})
        await until(lambda: app.tls)
        assert (await client.get(f"{app.url}/version", ssl=unverified()))[0] == 200
        await app.restart()
        await client.post(f"{app.control_url}/tls", {"after": 0.05})
        await app.restart()
        await asyncio.sleep(0.1)
        assert not app.tls


async def test_a_hang_can_end_by_itself(client: Client) -> None:
    """The last wish counts here too."""
    async with IcapApp() as app:
        await client.post(f"{app.control_url}/hang", {"seconds": 60})
        assert (await client.post(f"{app.control_url}/hang", {"seconds": 0.02}))[1]["hanging"]
        assert (await client.get(f"{app.url}/version"))[0] == 200
        assert not app.hanging


async def test_a_start_that_fails_leaves_the_app_down_and_says_why(client: Client, tmp_path: Path) -> None:
    """Never half an app: after the reason is mended it starts."""
    async with IcapApp(Settings(deployment_id="keep", data=tmp_path)) as app:
        kept = (tmp_path / "deployment-id").read_text()
        app.crash()
        (tmp_path / "deployment-id").write_text("no ID at all")
        status, answer = await client.post(f"{app.control_url}/start")
        assert (status, "holds no deployment ID" in answer["err"]) == (409, True)
        assert not app.alive
        (tmp_path / "deployment-id").unlink()
        (tmp_path / "deployment-id").mkdir()
        status, answer = await client.post(f"{app.control_url}/start")
        assert (status, "cannot start" in answer["err"], app.alive) == (409, True, False)
        (tmp_path / "deployment-id").rmdir()
        (tmp_path / "deployment-id").write_text(kept)
        async with IcapApp(Settings(port=app.port.number)):
            status, answer = await client.post(f"{app.control_url}/start")
            assert (status, "in use" in answer["err"], app.alive, app.icap_port.open) == (409, True, False, False)
        status, state = await client.post(f"{app.control_url}/start")
        assert (status, state["deployment_id"]) == (200, kept.strip())


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01 garbage\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /crash HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        f"GET /{KEY} HTTP/1.1\r\nno header\r\n\r\n".encode(),
    ],
    ids=["bytes", "version", "long", "length", "header"],
)
async def test_what_is_no_http_is_400_and_leaves_no_trace(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """On both ports: no traceback, neither in the answer nor in the log, and the next caller is served."""
    async with IcapApp() as app:
        for port in (app.port.number, app.control_port.number):
            answer = await converse(port, sent, until=b"\r\n")
            assert answer.split()[1] in (b"400", b"431", b"414")
            assert (await converse(port, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 ")
        assert app.alive
    assert "Traceback" not in caplog.text
    assert "bug" not in caplog.text
