"""The OpenAPI files of the stand-in against its code, in both directions.

Besides what is here, ``Client`` holds every answer of every test in this folder against the files.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from mock_activation.icap_app import IcapApp, Manners, Readyz, Settings, Unlicensed
from mock_activation.icap_app.calls import ROUTES, ApiKeyGiven, Fate, Route
from mock_activation.icap_app.lives import LIFE
from mock_activation.icap_app.rules import NAMES
from mock_activation.icap_app.settings import LICENCE_FIELDS
from tests.openapi_file import Mismatch, Operation
from tests.unit.icap_app.conversation import API_KEY, CONTROL, KEY, REST, Client, Vendor, licence_file

VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 403, 2**40, 0.5, 86400.5, "", "x", "with space", "é\n", "x" * 300),
    *("keep", "environment", "license", "old", [], ["deployment"], [[]], {}),
    *({"from": 1}, {"from": 2, "to": 1}, {"every": 0}, {"strange": 1}),
)
"""What each field is tried with."""
CROSS_FIELD = (
    ("window", {"from": 2, "to": 1}),  # no schema can say that one number is less than another
    ("distribution", "uniform"),  # needs most
    ("deployment_id", "keep"),  # needs --data
)


def test_every_route_is_in_its_file_and_every_path_of_a_file_is_a_route() -> None:
    """Neither knows more than the other."""
    assert {(it.method, it.path) for it in REST.operations} == set(ROUTES)


async def test_the_control_ports_routes_are_those_of_its_file(client: Client) -> None:
    """``GET /`` tells what the code knows."""
    async with IcapApp() as app:
        _, body = await client.get(f"{app.control_url}/")
    assert set(body["routes"]) == {f"{it.method} {it.path}" for it in CONTROL.operations}


async def test_the_files_are_served_as_they_are(client: Client) -> None:
    """YAML and JSON say the same, and it is what the tests judge by."""
    async with IcapApp() as app:
        for place, file in (("", CONTROL), ("/rest", REST)):
            assert (await client.get(f"{app.control_url}{place}/openapi.json"))[1] == file.content
            async with client.session.get(f"{app.control_url}{place}/openapi.yaml") as answer:
                assert yaml.safe_load(await answer.text()) == file.content


@pytest.mark.parametrize("file", [REST, CONTROL], ids=["rest", "control"])
def test_every_operation_has_a_name_and_a_summary(file: Any) -> None:
    """Names are unique, as generators of clients need them."""
    names = [it.content["operationId"] for it in file.operations]
    assert len(set(names)) == len(names)
    assert all(it.content["summary"] for it in file.operations)


def test_every_answer_of_the_product_has_its_mark_of_evidence() -> None:
    """Documented, observed or assumed, as protocol.md says; what is assumed and has a switch names it."""
    switches = set(asdict(Manners()))
    for operation in REST.operations:
        marked = [operation.content, *(response for _, response in REST.responses(operation))]
        assert {it["x-evidence"] for it in marked} <= {"documented", "observed", "assumed"}
        assert {name for it in marked for name in it.get("x-switch", [])} <= switches


def test_the_closed_sets_of_words_are_those_of_the_code() -> None:
    """A word that is added to the one must be added to the other."""
    assert CONTROL.schema("Route")["enum"] == list(Route)
    assert CONTROL.schema("Fate")["enum"] == list(Fate)
    assert CONTROL.schema("FaultName")["enum"] == list(NAMES)
    assert CONTROL.schema("LicenseField")["enum"] == list(LICENCE_FIELDS)
    assert CONTROL.schema("Call")["properties"]["api_key"]["enum"] == list(ApiKeyGiven)
    manners = CONTROL.schema("MannerWishes")["properties"]
    assert list(manners) == list(asdict(Manners()))
    assert manners["readyz"]["enum"] == list(Readyz)
    assert manners["unlicensed"]["enum"] == list(Unlicensed)
    assert list(CONTROL.schema("LifeWishes")["properties"]) == list(LIFE)
    assert [it.content["operationId"] for it in REST.operations] == [*Route][:-1]


def test_the_page_for_people_names_every_route_fault_and_switch() -> None:
    """docs/icap-app.md is complete."""
    page = (Path(__file__).parents[3] / "docs" / "icap-app.md").read_text("utf-8")
    words = [it.path.split("{")[0] for it in CONTROL.operations] + [*NAMES, *Route, *LIFE, *asdict(Manners())]
    assert [word for word in words if word not in page] == []


POSTS = [it for it in CONTROL.operations if it.method == "POST"]


@pytest.mark.parametrize("operation", POSTS, ids=[it.content["operationId"] for it in POSTS])
async def test_the_control_port_takes_what_its_file_allows_and_nothing_else(
    client: Client, operation: Operation
) -> None:
    """Each field with values of every kind: refused with 400 exactly where the file forbids them."""
    least = {"seed": {"seed": 1}, "addFault": {"fault": "hang"}, "database": {"status": True}}
    begin = least.get(operation.content["operationId"], {})
    async with IcapApp() as app:
        disagreed = []
        for name in [*CONTROL.properties(operation), "strange"]:
            for value in VALUES:
                body = begin | {name: value}
                if operation.content["operationId"] == "addFault" and name not in ("fault", "strange"):
                    body = {"fault": fault_with(name)} | ({"seconds": 1} if fault_with(name) == "delay" else {}) | body
                    body["fault"] = fault_with(name)
                status, _ = await client.call("POST", f"{app.control_url}{operation.path}", body)
                allowed = CONTROL.accepts(operation, body)
                if allowed != (status != 400) and (name, value) not in CROSS_FIELD:
                    disagreed.append((name, value, status))
        assert disagreed == []


def fault_with(field: str) -> str:
    """Return the name of a fault that has this field."""
    own = {"seconds": "delay", "distribution": "delay", "most": "delay", "sigma": "delay", "keep": "truncate"}
    own |= dict.fromkeys(("status", "body", "content_type", "retry_after", "retry_after_date", "date_offset"), "status")
    return own.get(field, "garbage" if field == "size" else "hang")


@pytest.mark.parametrize("name", ["activation", "login"])
async def test_the_product_takes_what_its_file_allows(client: Client, name: str) -> None:
    """The same for the bodies of the REST API."""
    operation = next(it for it in REST.operations if it.content["operationId"] == name)
    begin = {"activation": {"activationKey": KEY}, "login": {"user": "admin", "password": "x"}}[name]
    async with IcapApp() as app:
        disagreed = []
        for field in REST.properties(operation):
            for value in VALUES:
                status, _ = await client.post(f"{app.url}{operation.path}", begin | {field: value})
                if REST.accepts(operation, begin | {field: value}) != (status != 400):
                    disagreed.append((field, value, status))
        assert disagreed == []


async def test_no_bad_body_on_any_route_ends_in_a_500(client: Client) -> None:
    """Garbage, wrong types, deep nesting, half a surrogate, far too much: always a 4xx with a reason."""
    bodies = (
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'"x"',
        b"[" * 1200,
        b'{"a":' * 1200,
        b'{"activationKey": "\\ud800"}',
        b'{"user": "\\ud800", "password": 5}',
        b'{"quantity": ' + b"9" * 5000 + b"}",
        b"x" * (2**20 + 1),
    )
    async with IcapApp() as app:
        for base, file in ((app.url, REST), (app.control_url, CONTROL)):
            for operation in file.operations:
                if operation.method != "POST" or operation.path == "/admin/license/deactivation":  # has no body
                    continue
                for body in bodies:
                    status, answer = await client.call("POST", f"{base}{operation.path}", data=body)
                    assert 400 <= status < 500, (operation.path, body[:20])
                    assert answer["err"]
        assert app.alive


async def test_every_documented_answer_of_the_product_can_be_had(vendor: Vendor) -> None:
    """No status stands in the file that the stand-in never gives."""
    settings = Settings(api_key=API_KEY, activation_url=vendor.url)
    async with IcapApp(settings) as app, watched() as (client, seen):
        await all_of_rest(client, app, vendor)
    expected = {(it.method, it.path, int(status)) for it in REST.operations for status in it.content["responses"]}
    assert expected - seen == set()


async def all_of_rest(client: Client, app: IcapApp, vendor: Vendor) -> None:
    """Get every answer at least once."""
    admin = f"{app.url}/admin/license"
    known = {"activationKey": KEY}

    async def everything(key: str | None) -> None:
        await client.get(admin, key=key)
        await client.upload(app, licence_file(app.deployment_id), key=key)
        await client.post(f"{admin}/activation", known, key=key)
        await client.post(f"{admin}/deactivation", key=key)
        await client.get(f"{app.url}/version")
        await client.post(f"{app.url}/login", {"user": "admin", "password": "x"})
        await client.get(f"{app.url}/readyz?verbose=true")

    await everything(API_KEY)
    await everything(None)
    app.refuse(500)
    await everything(API_KEY)
    app.permit()
    await client.upload(app, b"no licence", key=API_KEY)
    await client.upload(app, b"x" * 2**17, key=API_KEY)
    await client.upload(app, b"x", key=API_KEY, headers={"Content-Type": "text/yaml"})
    for path in ("/admin/license/activation", "/login"):
        await client.call("POST", f"{app.url}{path}", data=b"{", key=API_KEY)
        await client.call("POST", f"{app.url}{path}", data=b"x" * 2**17, key=API_KEY)
    app.grant_licence()
    await client.get(f"{app.url}/readyz")
    app.change_manners({"upload": False, "user": False, "readyz": "absent"})
    await everything(API_KEY)
    assert vendor.key_was_right


async def test_every_documented_answer_of_the_control_port_can_be_had() -> None:
    """The same for the control port: each call right, wrong, too large, and at the wrong time."""
    async with IcapApp() as app, watched() as (client, seen):
        url = app.control_url
        asked = app.rest.calls.open(Route.READYZ, "GET", "/readyz", ApiKeyGiven.NONE)
        right: dict[str, Any] = {"/seed": {"seed": 1}, "/database": {"status": True}, "/faults": {"fault": "hang"}}
        for operation in CONTROL.operations:
            place = f"{url}{operation.path.replace('{number}', '1')}"
            if operation.method != "POST":
                if not operation.path.endswith(".yaml"):
                    await client.call(operation.method, place)
                continue
            await client.post(place, {"strange": 1})
            await client.call("POST", place, data=b"x" * (2**20 + 1))
            await client.post(place, right.get(operation.path, {}))
            if not app.alive:
                await client.post(f"{url}/hang")
                await client.post(f"{url}/tls")
                await client.post(f"{url}/start")
                await client.post(f"{url}/start")
        await client.post(f"{url}/restart", {"down": 60})
        await client.post(f"{url}/restart", {"down": 60})
        await client.post(f"{url}/start")
        await client.post(f"{url}/tls", {"after": 60})
        number = (await client.post(f"{url}/faults", {"fault": "hang"}))[1]["number"]
        await client.call("DELETE", f"{url}/faults/{number}")
        await client.call("DELETE", f"{url}/faults/{number}")
        await client.get(f"{url}/journal?strange=1")
        for name in ("/openapi.yaml", "/rest/openapi.yaml"):
            async with client.session.get(f"{url}{name}") as answer:
                assert answer.content_type == "application/yaml"
        assert asked.number == 1
    templates = {
        (it.method, it.path, status) for method, path, status in seen if (it := CONTROL.find(method, path)) is not None
    }
    expected = {(it.method, it.path, int(status)) for it in CONTROL.operations for status in it.content["responses"]}
    assert expected - templates == set()


class watched:  # noqa: N801 - reads as what it is
    """A client, and every (method, path, status) that it saw."""

    async def __aenter__(self) -> tuple[Client, set[tuple[str, str, int]]]:
        seen: set[tuple[str, str, int]] = set()

        async def note(_session: object, _context: object, end: aiohttp.TraceRequestEndParams) -> None:
            seen.add((end.method, end.url.path, end.response.status))

        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(note)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True), trace_configs=[trace], timeout=aiohttp.ClientTimeout(5)
        )
        return Client(self._session), seen

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()


@pytest.mark.parametrize(
    ("method", "path", "status", "content_type", "body"),
    [
        ("GET", "/nowhere", 200, "application/json", b"{}"),
        ("GET", "/version", 418, "application/json", b"{}"),
        ("GET", "/version", 200, "text/html", b"<html>"),
        ("GET", "/version", 200, "application/json", b'{"version": 5}'),
    ],
)
def test_the_judge_sees_what_is_wrong(method: str, path: str, status: int, content_type: str, body: bytes) -> None:
    """A judge that never says no would make all of this worthless."""
    with pytest.raises(Mismatch):
        REST.check_answer(method, path, status, content_type, body)


async def test_the_client_of_these_tests_does_judge(client: Client) -> None:
    """A scripted answer that no file knows does not pass, unless it is expected."""
    async with IcapApp() as app:
        await client.post(f"{app.control_url}/faults", {"fault": "status", "status": 418})
        with pytest.raises(Mismatch):
            await client.get(f"{app.url}/version")
        assert (await client.get(f"{app.url}/version", scripted=True))[0] == 418
