"""The table of answers of the app's REST API (protocol.md section 2), with respx in between."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import respx
from hypothesis import given
from hypothesis import strategies as st

from sidecar.adapters.icap_report import json_object, read_report
from sidecar.adapters.icap_server import READYZ_ABSENT_FOR, IcapServer
from sidecar.core.facts import AppReport, Licence
from sidecar.core.reasons import AppTrouble
from sidecar.errors import AppOutage, Misconfigured, UploadRefused
from sidecar.secrets import Secret

URL = "http://127.0.0.1:8048"
KEY = Secret("ABCD-EFGH-1234-5678-IJKL-MNOP-9012-3456")
API_KEY = Secret("0a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6e7f")
ID = "MSCL00000000000000000000000000000000"
NOW = 1_790_000_000.0
EXPIRES = 1790726400.0
FULL = {
    "deployment": ID,
    "days_left": 10,
    "expiration": "09/30/2026",
    "licensed_engines": "*",
    "licensed_to": "somebody",
    "max_node_count": "10",
    "online_activated": True,
    "product_id": "MDICAP",
    "product_name": "MetaDefender ICAP Server",
}
READY = {
    "database": {"status": True},
    "license": {"status": "ok"},
    "server_profiles": {"required": True, "status": True},
    "engines": {"status": False},
}


def app(**settings: Any) -> IcapServer:
    """Return the adapter with an API key and a fixed clock, unless the test says otherwise."""
    return IcapServer(URL, **({"api_key": API_KEY, "now": lambda: NOW, "clock": lambda: 0.0} | settings))


async def report(licence: Any, readyz: Any = None, **settings: Any) -> AppReport:
    """Let the app answer 200 with these values; without ``readyz`` it is a version that has none."""
    with respx.mock:
        respx.get(f"{URL}/admin/license").respond(json=licence)
        respx.get(f"{URL}/readyz").respond(**({"status_code": 404} if readyz is None else {"json": readyz}))
        return await app(**settings).report()


async def test_report() -> None:
    """Deployment ID, licence and parts come from two requests; only the first carries the API key."""
    with respx.mock:
        first = respx.get(f"{URL}/admin/license").respond(json=FULL)
        second = respx.get(f"{URL}/readyz", params={"verbose": "true"}).respond(503, json=READY)
        told = await app().report()
    assert told == AppReport(
        deployment_id=ID,
        licensed=True,
        parts=(("database", True), ("engines", False), ("server_profiles", True)),
        product="MetaDefender ICAP Server",
        expires_at=EXPIRES,
    )
    assert Secret(first.calls.last.request.headers["apikey"]) == API_KEY
    assert "apikey" not in second.calls.last.request.headers


@pytest.mark.parametrize("deployment", [None, "", " ", "null", "NULL", "None", [], {}])
async def test_no_deployment_id_yet(deployment: Any) -> None:
    """Whatever is no ID is "not yet", and so is a missing field."""
    assert (await report({"deployment": deployment})).deployment_id is None
    assert (await report({})).deployment_id is None


@pytest.mark.parametrize(("deployment", "read"), [(ID, ID), (f" {ID}\n", ID), (17, "17")])
async def test_deployment_id(deployment: Any, read: str) -> None:
    """An ID is taken as it is, without white space; a number is a text."""
    assert (await report({"deployment": deployment})).deployment_id == read


@pytest.mark.parametrize(
    ("licence", "status", "licensed"),
    [
        # row 1: /readyz decides
        ({"days_left": 0}, "ok", True),
        ({"days_left": 0}, True, True),
        (FULL, "expired", False),
        (FULL, "invalid", False),
        (FULL, "Invalid", False),
        (FULL, False, False),
        # row 2: days left
        (FULL, "something new", True),
        (FULL, None, True),
        ({"days_left": "3731", "expiration": "01/01/2020"}, None, True),
        ({"days_left": 0.5}, None, True),
        ({"days_left": 0, "online_activated": True, "product_id": "MDICAP"}, None, False),
        ({"days_left": "-3", "expiration": "01/01/2099"}, None, False),
        # row 3: expiration
        ({"days_left": "unlimited", "expiration": "01/01/2099", "online_activated": False}, None, True),
        ({"days_left": None, "expiration": "01/01/2020", "online_activated": True}, None, False),
        ({"days_left": "NaN", "expiration": "2099-01-01"}, None, True),
        ({"days_left": 10**400, "expiration": "2020-01-01"}, None, False),
        # row 4: activated online
        ({"online_activated": True}, None, True),
        ({"online_activated": "true", "expiration": "never"}, None, True),
        ({"online_activated": False, "product_id": "MDICAP"}, None, False),
        ({"online_activated": "False"}, None, False),
        # row 5: a product
        ({"online_activated": None, "product_id": "MDICAP"}, None, True),
        # row 6: nothing is told
        ({"product_id": ""}, None, None),
        ({"product_id": "null"}, None, None),
        ({"deployment": ID, "licensed_to": "somebody"}, None, None),
        ({}, None, None),
    ],
)
async def test_licensed(licence: dict[str, Any], status: Any, licensed: bool | None) -> None:
    """The first row of the table that says something decides, with numbers and truths as texts too."""
    readyz = None if status is None else {"license": {"status": status}}
    assert (await report(licence, readyz)).licensed is licensed


@pytest.mark.parametrize(
    ("readyz", "parts"),
    [
        ({"license": {"status": "ok"}}, ()),
        ({"database": {"status": "ok"}, "engines": {"status": "TRUE"}}, (("database", True), ("engines", True))),
        ({"database": {"status": "down"}, "engines": {"status": 0}}, (("database", False), ("engines", False))),
        ({"database": {"status": None}, "engines": {}, "license": {"status": "ok"}}, ()),
        ({"database": True, "license": {"status": "ok"}}, ()),
        ({"core_rules": {"status": True}}, (("server_profiles", True),)),
        ({"core_rules": {"status": True}, "server_profiles": {"status": False}}, (("server_profiles", False),)),
    ],
)
async def test_parts(readyz: Any, parts: tuple[tuple[str, bool], ...]) -> None:
    """A part that is not reported is absent; an unknown word is not fit; the older name is known."""
    assert (await report(FULL, readyz)).parts == parts


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
        max_leaves=6,
    ),
    st.sampled_from([*FULL, "license", "database"]),
)
def test_no_json_value_is_too_strange(value: Any, field: str) -> None:
    """Whatever JSON stands in a field, a report comes out of it."""
    for readyz in ({field: value}, {field: {"status": value}}):
        told = read_report({**FULL, field: value}, readyz, NOW)
        assert told.licensed in {True, False, None}
        assert told.deployment_id is None or told.deployment_id.strip()


@pytest.mark.parametrize("body", [b"", b"[]", b"17", b"{", b"\xff", b"[" * 200_000, b"<html>"])
def test_no_json_object(body: bytes) -> None:
    """What is no JSON object is none, however deep it is nested."""
    assert json_object(body) is None


@pytest.mark.parametrize(
    "answer", [{"status_code": 404}, {"status_code": 403, "json": {"err": "no"}}, {"html": "<p>"}, {"json": {}}]
)
async def test_version_without_readyz(answer: dict[str, Any]) -> None:
    """An older version is not asked for /readyz again for a while; it may be upgraded."""
    times = [0.0]
    with respx.mock:
        respx.get(f"{URL}/admin/license").respond(json=FULL)
        readyz = respx.get(f"{URL}/readyz").respond(**answer)
        server = app(clock=lambda: times[-1])
        assert (await server.report()).parts == ()
        times.append(READYZ_ABSENT_FOR - 1)
        assert (await server.report()).licensed is True
        assert readyz.call_count == 1
        times.append(READYZ_ABSENT_FOR)
        readyz.respond(json=READY)
        assert (await server.report()).parts != ()


async def test_readyz_with_an_error() -> None:
    """500 without a body does not hide the licence, unless the app has shown before that it knows the call."""
    with respx.mock:
        respx.get(f"{URL}/admin/license").respond(json=FULL)
        readyz = respx.get(f"{URL}/readyz").respond(500)
        server = app()
        assert (await server.report()).parts == ()
        readyz.respond(json=READY)
        assert (await server.report()).parts != ()
        readyz.respond(500)
        with pytest.raises(AppOutage) as outage:
            await server.report()
    assert outage.value.trouble is AppTrouble.BROKEN


NO_READYZ: dict[str, dict[str, Any]] = {
    "silent": {"side_effect": httpx.ReadTimeout("")},
    "unreachable": {"side_effect": httpx.ConnectError("")},
    "500": {"return_value": httpx.Response(500)},
}


@pytest.mark.parametrize("how", NO_READYZ.values(), ids=NO_READYZ)
async def test_no_theft_an_app_that_tells_its_licence_lives_whatever_becomes_of_readyz(how: dict[str, Any]) -> None:
    """Outside Kubernetes silence would release its seat: it is no silence, and the last report stands."""
    with respx.mock:
        respx.get(f"{URL}/admin/license").respond(json=FULL)
        readyz = respx.get(f"{URL}/readyz").mock(**how)
        server = app()
        assert await server.report() == AppReport(
            ID, licensed=True, product="MetaDefender ICAP Server", expires_at=EXPIRES
        )
        readyz.mock(return_value=httpx.Response(200, json=READY))
        assert (await server.report()).parts != ()
        readyz.mock(**how)
        with pytest.raises(AppOutage, match="/admin/license answers") as outage:
            await server.report()
    assert outage.value.trouble is AppTrouble.BROKEN


@pytest.mark.parametrize("news", [{"days_left": 0}, {"deployment": "ANOTHER"}], ids=["not licensed", "another ID"])
async def test_what_is_new_is_told_without_a_readyz(news: dict[str, Any]) -> None:
    """A lost licence and another deployment ID do not wait for a /readyz that hangs."""
    with respx.mock:
        licence = respx.get(f"{URL}/admin/license").respond(json=FULL)
        readyz = respx.get(f"{URL}/readyz").respond(json=READY)
        server = app()
        await server.report()
        licence.respond(json=FULL | news)
        readyz.mock(side_effect=httpx.ReadTimeout(""))
        told = await server.report()
    assert (told.deployment_id, told.licensed) == (news.get("deployment", ID), "deployment" in news)
    assert told.parts == ()


async def test_without_a_question_for_the_licence_a_silent_readyz_is_silence() -> None:
    """Nothing has answered then."""
    with respx.mock:
        respx.get(f"{URL}/readyz").mock(side_effect=httpx.ReadTimeout(""))
        with pytest.raises(AppOutage) as outage:
            await app(api_key=None, needs_deployment_id=False).report()
    assert outage.value.trouble is AppTrouble.SILENT


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        ({"status_code": 403, "json": {"err": "Access denied"}}, AppTrouble.FORBIDDEN),
        ({"status_code": 401}, AppTrouble.FORBIDDEN),
        ({"status_code": 404}, AppTrouble.BROKEN),
        ({"status_code": 500, "json": {"err": "Internal"}}, AppTrouble.BROKEN),
        ({"status_code": 503}, AppTrouble.BROKEN),
        ({"status_code": 302, "headers": {"location": "/login"}}, AppTrouble.BROKEN),
        ({"html": "<html>starting</html>"}, AppTrouble.BROKEN),
        ({"json": ["no object"]}, AppTrouble.BROKEN),
    ],
)
async def test_no_report(answer: dict[str, Any], trouble: AppTrouble) -> None:
    """Without a JSON object and 200 there is no report; 403 is told apart."""
    with respx.mock:
        respx.get(f"{URL}/admin/license").respond(**answer)
        with pytest.raises(AppOutage, match=str(answer.get("status_code", 200))) as outage:
            await app().report()
    assert (outage.value.trouble, outage.value.sent) == (trouble, False)


async def test_wrong_and_missing_api_key() -> None:
    """403 says plainly whether the key is wrong or none is configured."""
    with respx.mock:
        respx.get(f"{URL}/admin/license").respond(403, json={"err": "no"})
        with pytest.raises(AppOutage, match=r"does not accept the API key.*app\.api_key_file"):
            await app().report()
        with pytest.raises(AppOutage, match=r"app\.api_key_file"):
            await app(api_key=None).report()
        with pytest.raises(AppOutage, match=r"app\.api_key_file"):
            await app(api_key=lambda: None).report()


async def test_api_key_is_fetched_each_time() -> None:
    """A key that is fetched by a call is used as it is at that moment: it may be rotated."""
    keys = [API_KEY, Secret(API_KEY.reveal()[::-1])]
    current = list(keys)
    with respx.mock:
        route = respx.get(f"{URL}/admin/license").respond(json=FULL)
        respx.get(f"{URL}/readyz").respond(404)
        server = app(api_key=lambda: current.pop(0))
        for key in keys:
            await server.report()
            assert Secret(route.calls.last.request.headers["apikey"]) == key


@pytest.mark.parametrize("text", ["", " ", "two\nlines", "schlüssel", "schl\x00"])
async def test_unusable_api_key(text: str) -> None:
    """A key that no header can carry is told without showing it, and nothing is asked."""
    with respx.mock, pytest.raises(AppOutage, match="API key") as outage:
        await app(api_key=Secret(text)).report()
    assert outage.value.trouble is AppTrouble.FORBIDDEN
    assert "schl" not in str(outage.value)
    assert "lines" not in str(outage.value)


async def test_report_without_api_key() -> None:
    """Where the ID comes from elsewhere, /readyz alone makes a report; without it there is nothing."""
    with respx.mock:
        readyz = respx.get(f"{URL}/readyz").respond(json=READY)
        told = await app(api_key=None, needs_deployment_id=False).report()
        assert (told.deployment_id, told.licensed) == (None, True)
        readyz.respond(404)
        with pytest.raises(AppOutage, match="readyz") as outage:
            await app(api_key=None, needs_deployment_id=False).report()
    assert outage.value.trouble is AppTrouble.BROKEN


async def upload(**answer: Any) -> httpx.Request:
    """Deliver a licence and let the app answer like that; return what it got."""
    with respx.mock:
        route = respx.post(f"{URL}/admin/license").respond(**answer)
        await app().upload(Licence(b"a: b\r\n\xc3\xa4"))
    request: httpx.Request = route.calls.last.request
    return request


@pytest.mark.parametrize("success", [True, "true"])
async def test_upload(success: Any) -> None:
    """The licence's bytes are delivered unchanged, as octets."""
    request = await upload(json={"success": success})
    assert request.content == b"a: b\r\n\xc3\xa4"
    assert request.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    "answer",
    [
        {"status_code": 400, "json": {"err": "Invalid license"}},
        {"status_code": 400, "json": {}},
        {"status_code": 404},
        {"status_code": 405},
        {"status_code": 413},
        {"status_code": 501},
        {"json": {"success": False}},
        {"html": "<html>the console of an older version</html>"},
        {"status_code": 204},
    ],
)
async def test_upload_refused(answer: dict[str, Any]) -> None:
    """What looks like "I do not know this call" is a refusal: the other route is taken."""
    with pytest.raises(UploadRefused, match="licence file"):
        await upload(**answer)


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        (401, AppTrouble.FORBIDDEN),
        (403, AppTrouble.FORBIDDEN),
        (302, AppTrouble.BROKEN),
        (408, AppTrouble.BROKEN),
        (429, AppTrouble.BROKEN),
        (500, AppTrouble.BROKEN),
        (503, AppTrouble.BROKEN),
    ],
)
async def test_upload_outage(status: int, trouble: AppTrouble) -> None:
    """403 and 5xx happen for a while at start: ask again; the activation server is not asked by an upload."""
    with pytest.raises(AppOutage) as outage:
        await upload(status_code=status)
    assert (outage.value.trouble, outage.value.sent) == (trouble, False)


async def activate(**answer: Any) -> httpx.Request:
    """Tell the product to activate itself and let it answer like that; return what it got."""
    with respx.mock:
        route = respx.post(f"{URL}/admin/license/activation").respond(**answer)
        await app(quantity=2, comment="pod web-0").activate(KEY)
    request: httpx.Request = route.calls.last.request
    return request


async def test_activate() -> None:
    """Key, comment and quantity go into a JSON body."""
    request = await activate(json={"success": True})
    body = json.loads(request.content)
    assert Secret(body.pop("activationKey")) == KEY
    assert body == {"comment": "pod web-0", "quantity": 2}
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("answer", "trouble", "sent"),
    [
        ({"status_code": 403}, AppTrouble.FORBIDDEN, False),
        ({"status_code": 401}, AppTrouble.FORBIDDEN, False),
        ({"status_code": 404}, AppTrouble.BROKEN, False),
        ({"status_code": 405}, AppTrouble.BROKEN, False),
        ({"status_code": 400, "json": {"err": "failed"}}, AppTrouble.BROKEN, True),
        ({"status_code": 500, "json": {"err": "Activation failed"}}, AppTrouble.BROKEN, True),
        ({"status_code": 502}, AppTrouble.BROKEN, True),
        ({"json": {"success": False}}, AppTrouble.BROKEN, True),
        ({"text": "OK"}, AppTrouble.BROKEN, True),
        ({"status_code": 302}, AppTrouble.BROKEN, True),
    ],
)
async def test_activate_outage(answer: dict[str, Any], trouble: AppTrouble, sent: bool) -> None:
    """The app may have asked the activation server unless it turned the request away at its door."""
    with pytest.raises(AppOutage) as outage:
        await activate(**answer)
    assert (outage.value.trouble, outage.value.sent) == (trouble, sent)


async def test_echo_is_masked() -> None:
    """What the app says in its error is shown without keys."""
    with pytest.raises(AppOutage) as outage:
        await activate(status_code=500, json={"err": f"bad {KEY.reveal()}\nand {API_KEY.reveal()}"})
    assert str(outage.value) == "app: HTTP status 500, bad *** and ***"


def test_unusable_address() -> None:
    """An address that is none is a fault of the settings."""
    with pytest.raises(Misconfigured, match=r"app\.url"):
        IcapServer("127.0.0.1:8048")
