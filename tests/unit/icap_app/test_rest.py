"""The REST API of the stand-in, route by route, over a real socket (protocol.md section 2)."""

import re
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from mock_activation.icap_app import IcapApp, Manners, Readyz, Settings, Unlicensed
from mock_activation.icap_app.product import Product
from mock_activation.icap_app.rest import RestApi
from tests.unit.icap_app.conversation import API_KEY, KEY, Client, Vendor, converse, licence_file, refused, until


async def test_shows_its_deployment_id_before_it_has_a_licence(client: Client) -> None:
    """The sidecar needs the ID to take a seat: it is there at once, and nothing else is."""
    async with IcapApp() as app:
        status, body = await client.get(f"{app.url}/admin/license")
        assert (status, body) == (200, {"deployment": app.deployment_id})
        assert re.fullmatch(r"MSIC[0-9a-f]{32}", app.deployment_id)


async def test_can_show_empty_fields_instead_of_none(client: Client) -> None:
    """Releases may show all fields, empty, before there is a licence."""
    async with IcapApp(Settings(manners=Manners(unlicensed=Unlicensed.EMPTY))) as app:
        _, body = await client.get(f"{app.url}/admin/license")
    assert body["days_left"] == 0
    assert body["online_activated"] is False
    assert body["product_name"] == ""


async def test_an_uploaded_licence_is_shown_with_the_documented_fields(client: Client) -> None:
    """A file for this deployment ID is taken and shown as the product shows it."""
    async with IcapApp() as app:
        assert await client.upload(app, licence_file(app.deployment_id)) == (200, {"success": True})
        _, body = await client.get(f"{app.url}/admin/license")
        assert app.licensed
    assert re.fullmatch(r"\d\d/\d\d/\d{4}", body.pop("expiration"))
    assert body.pop("days_left") in (364, 365)
    assert body == {
        "deployment": app.deployment_id,
        "licensed_engines": ["one", "two"],
        "licensed_to": "Tests",
        "max_node_count": "1",
        "online_activated": False,
        "product_id": "MSIC",
        "product_name": "MetaDefender ICAP Server",
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"just a text",
        b"- a\n- list\n",
        b"error: 'all seats are in use'\n",
        b"<html><body>Welcome</body></html>",
        b"a: [unclosed",
        b"\xff\xfe\x00\x01",
        b"[" * 1_200,
        b"expiration: 2026-99-99\n",
        licence_file("MSIC" + "0" * 32),
        b"product_id: no deployment ID at all\n",
    ],
    ids=["empty", "text", "list", "refusal", "html", "torn", "bytes", "deep", "impossible-date", "other-id", "no-id"],
)
async def test_refuses_a_file_that_is_no_licence_for_this_deployment(client: Client, body: bytes) -> None:
    """Whatever is not a licence for this very ID is "Invalid license", and changes nothing."""
    async with IcapApp() as app:
        assert await client.upload(app, body) == (400, {"err": "Invalid license"})
        assert not app.licensed


@pytest.mark.parametrize("expiration", ["soon", "true", "1e300", "31/31/2026"])
async def test_refuses_a_licence_whose_expiration_is_no_date(client: Client, expiration: str) -> None:
    """An expiration that cannot be read is not taken for "for ever"."""
    async with IcapApp() as app:
        body = f"deployment: {app.deployment_id}\nexpiration: {expiration}\n".encode()
        assert await client.upload(app, body) == (400, {"err": "Invalid license"})


@pytest.mark.parametrize(
    "expiration", ["12/31/2999", "2999-12-31", "'2999-12-31T10:00:00'", "2999-12-31 10:00:00", "32503593600", ""]
)
async def test_reads_an_expiration_in_any_form(client: Client, expiration: str) -> None:
    """The fields of the file are not published, so dates are read in every usual form; none means no end."""
    async with IcapApp() as app:
        body = f"deployment: {app.deployment_id}\nexpiration: {expiration}\n".encode()
        assert await client.upload(app, body) == (200, {"success": True})
        _, fields = await client.get(f"{app.url}/admin/license")
        assert app.licensed
    assert fields["expiration"] == ("12/31/2999" if expiration else "")


async def test_an_expired_licence_is_taken_and_told_as_expired(client: Client) -> None:
    """The product keeps such a licence and says so in ``/readyz``."""
    async with IcapApp() as app:
        await client.upload(app, licence_file(app.deployment_id, lasts=-3 * 86400))
        assert not app.licensed
        status, body = await client.get(f"{app.url}/readyz?verbose=true")
    assert (status, body["license"]) == (503, {"status": "expired"})


async def test_an_upload_that_is_no_octet_stream_or_too_large_is_refused(client: Client) -> None:
    """The documented content type is insisted on, and nobody fills the memory."""
    async with IcapApp() as app:
        status, _ = await client.upload(app, b"a: 1", headers={"Content-Type": "text/yaml"})
        assert status == 415
        status, _ = await client.upload(app, b"#" * (64 * 1024 + 1))
        assert status == 413
        assert not app.licensed


async def test_can_be_a_release_without_upload(client: Client) -> None:
    """The upload is documented for Core only: 404 makes the sidecar choose another route."""
    async with IcapApp(Settings(manners=Manners(upload=False))) as app:
        status, body = await client.upload(app, licence_file(app.deployment_id))
    assert (status, body) == (404, {"err": "Not found"})


async def test_activates_by_itself_and_deactivates(client: Client, vendor: Vendor) -> None:
    """The product asks the activation server itself, once, with its own ID and the given quantity."""
    async with IcapApp(Settings(activation_url=vendor.url)) as app:
        body = {"activationKey": KEY, "comment": "test", "quantity": 2}
        assert await client.post(f"{app.url}/admin/license/activation", body) == (200, {"success": True})
        assert app.licensed
        _, fields = await client.get(f"{app.url}/admin/license")
        assert fields["online_activated"] is True
        assert await client.post(f"{app.url}/admin/license/deactivation") == (200, {"success": True})
        assert not app.licensed
        one = app.deployment_id
    assert vendor.calls == [("/some/prefix/activation", one, "2"), ("/some/prefix/deactivation", one, "")]
    assert vendor.key_was_right


@pytest.mark.parametrize("trouble", ["refuse", "status", "other-id", "absent", "none"])
@pytest.mark.parametrize("failure", [500, 403, 200])
async def test_a_failed_activation_does_not_tell_the_reason(
    client: Client, vendor: Vendor, trouble: str, failure: int
) -> None:
    """Refusal and outage look the same: the reason is not in the answer, and the seat, if any, is not used."""
    settings = Settings(activation_url=vendor.url, manners=Manners(failure=failure), deployment_id="MSIC" + "a" * 32)
    match trouble:
        case "refuse":
            vendor.refuse = True
        case "status":
            vendor.status = 503
        case "other-id":
            vendor.wrong_id = True
        case "absent":
            settings = Settings(activation_url="http://127.0.0.1:1", manners=Manners(failure=failure))
        case "none":
            settings = Settings(manners=Manners(failure=failure))
    async with IcapApp(settings) as app:
        answer = await client.post(f"{app.url}/admin/license/activation", {"activationKey": KEY})
        assert not app.licensed
    assert answer == (failure, {"success": False} if failure == 200 else {"err": "Activation failed"})


async def test_a_failed_deactivation_keeps_the_licence(client: Client, vendor: Vendor) -> None:
    """What the activation server did not confirm has not happened."""
    async with IcapApp(Settings(activation_url=vendor.url)) as app:
        await client.post(f"{app.url}/admin/license/activation", {"activationKey": KEY})
        vendor.status = 500
        assert await client.post(f"{app.url}/admin/license/deactivation") == (500, {"err": "Deactivation failed"})
        assert app.licensed


async def test_trusts_the_given_authority_of_the_activation_server_only(
    client: Client, vendor: Vendor, tmp_path: Path
) -> None:
    """Over TLS a seat is taken with the right CA file and not without it."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = TestServer(web.Application(), host="127.0.0.1")
    server.app.router.add_get("/{call}", vendor.answer)
    await server.start_server(access_log=None, ssl=context)
    url = str(server.make_url("")).replace("http:", "https:")
    for ca_file, status in ((tmp_path / "ca.pem", 200), (None, 500)):
        async with IcapApp(Settings(activation_url=url, activation_ca=ca_file)) as app:
            answer = await client.post(f"{app.url}/admin/license/activation", {"activationKey": KEY})
        assert answer[0] == status
    await server.close()
    assert [call for call, _, _ in vendor.calls] == ["/activation"]


class Broken:
    """An app with a bug."""

    settings = Settings()
    product = Product("MSIC" + "0" * 32, Manners())

    async def not_hanging(self) -> None: ...

    def refusal(self) -> int | None: ...

    async def activate(self, key: str, quantity: int) -> None:
        raise KeyError(key, quantity)

    async def deactivate(self) -> None: ...


async def test_a_bug_is_a_500_and_its_log_holds_no_key(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """Type and place are logged; the message, which may quote the request, is not."""
    server = TestServer(RestApi(Broken()).web, host="127.0.0.1")
    await server.start_server(access_log=None)
    answer = await client.post(str(server.make_url("/admin/license/activation")), {"activationKey": KEY})
    await server.close()
    assert answer == (500, {"err": "Internal error"})
    assert "KeyError" in caplog.text
    shown = KEY in caplog.text
    assert not shown


async def test_waits_no_longer_than_its_time_out(client: Client, vendor: Vendor) -> None:
    """A silent activation server ends as a failed activation."""
    vendor.silent = True
    async with IcapApp(Settings(activation_url=vendor.url, activation_timeout=1.0)) as app:
        status, _ = await client.post(f"{app.url}/admin/license/activation", {"activationKey": KEY})
    assert status == 500
    assert len(vendor.calls) == 1


@pytest.mark.parametrize(
    "body",
    [{}, {"activationKey": ""}, {"activationKey": 5}, {"activationKey": "x", "quantity": 0}]
    + [{"activationKey": "x", "quantity": wrong} for wrong in ("1", True, 1.5, None)]
    + [{"activationKey": "x", "comment": 1}, [], "text", 5, None],
)
async def test_an_activation_request_that_makes_no_sense_is_400(client: Client, vendor: Vendor, body: Any) -> None:
    """Wrong fields end here and never reach the activation server."""
    async with IcapApp(Settings(activation_url=vendor.url)) as app:
        status, answer = await client.post(f"{app.url}/admin/license/activation", body)
    assert status == 400
    assert list(answer) == ["err"]
    assert vendor.calls == []


@pytest.mark.parametrize("key", [None, "", "wrong", "é" * 36])
async def test_the_api_key_is_demanded_where_one_is_set(client: Client, vendor: Vendor, key: str | None) -> None:
    """403 without or with a wrong API key, on every route of the administration."""
    async with IcapApp(Settings(api_key=API_KEY, activation_url=vendor.url)) as app:
        for method, path in (
            ("GET", ""),
            ("POST", ""),
            ("POST", "/activation"),
            ("POST", "/deactivation"),
        ):
            answer = await client.call(method, f"{app.url}/admin/license{path}", {"activationKey": KEY}, key=key)
            assert answer == (403, {"err": "Access denied"})
        assert (await client.get(f"{app.url}/readyz"))[0] == 503
        assert (await client.get(f"{app.url}/admin/license", key=API_KEY))[0] == 200
    assert vendor.calls == []


async def test_a_session_of_login_serves_as_api_key(client: Client) -> None:
    """``POST /login`` gives a ``session_id`` that is as good as the API key; it ends with the life of the app."""
    async with IcapApp(Settings(api_key=API_KEY, password="right")) as app:
        for user, password in (("admin", "wrong"), ("nobody", "right")):
            assert (await client.post(f"{app.url}/login", {"user": user, "password": password}))[0] == 403
        assert (await client.post(f"{app.url}/login", {"user": "admin"}))[0] == 400
        status, body = await client.post(f"{app.url}/login", {"user": "admin", "password": "right"})
        assert status == 200
        session = body["session_id"]
        assert (await client.get(f"{app.url}/admin/license", key=session))[0] == 200
        await app.restart()
        assert (await client.get(f"{app.url}/admin/license", key=session))[0] == 403


async def test_version_is_403_until_there_is_a_user(client: Client) -> None:
    """As seen in the vendor's scripts; nobody can log in then either."""
    async with IcapApp() as app:
        status, body = await client.get(f"{app.url}/version")
        assert status == 200
        assert set(body) == {"product_id", "version"}
        app.change_manners({"user": False})
        assert (await client.get(f"{app.url}/version"))[0] == 403
        assert (await client.post(f"{app.url}/login", {"user": "admin", "password": "any"}))[0] == 403


async def test_readyz_tells_licence_and_database(client: Client) -> None:
    """The verbose body names the parts; the status follows licence and database; without ``verbose`` no body."""
    async with IcapApp() as app:
        url = f"{app.url}/readyz?verbose=true"
        status, body = await client.get(url)
        assert (status, body["license"], body["database"]) == (503, {"status": "invalid"}, {"status": True})
        app.grant_licence()
        status, body = await client.get(url)
        assert (status, body["license"]) == (200, {"status": "ok"})
        assert body["server_profiles"] == {"required": False, "status": True}
        assert body["engines"] == {"filetype": {"required": False, "status": True}}
        app.product.database = False
        status, body = await client.get(url)
        assert (status, body["database"]) == (503, {"status": False})
        assert await client.get(f"{app.url}/readyz") == (503, None)


async def test_readyz_of_older_releases(client: Client) -> None:
    """5.1.1 has ``core_rules``; before that there is no such route."""
    async with IcapApp(Settings(manners=Manners(readyz=Readyz.OLD), licensed=True)) as app:
        status, body = await client.get(f"{app.url}/readyz?verbose=true")
        assert (status, set(body)) == (200, {"database", "license", "core_rules"})
        app.change_manners({"readyz": "absent"})
        assert (await client.get(f"{app.url}/readyz?verbose=true"))[0] == 404


async def test_the_code_of_readyz_may_contradict_its_body(client: Client) -> None:
    """The code follows a policy that users configure, so it can be anything."""
    async with IcapApp(Settings(manners=Manners(readyz_code=200))) as app:
        status, body = await client.get(f"{app.url}/readyz?verbose=true")
    assert (status, body["license"]) == (200, {"status": "invalid"})


async def test_fields_may_be_missing_and_numbers_may_be_strings(client: Client) -> None:
    """Every field may be missing, also the ID, and numbers come as texts; a strange ID can be shown."""
    async with IcapApp(
        Settings(licensed=True, manners=Manners(numbers_as_strings=True, missing=("product_id",)))
    ) as app:
        _, body = await client.get(f"{app.url}/admin/license")
        assert body["days_left"] in ("364", "365")
        assert "product_id" not in body
        app.change_manners({"missing": ["deployment", "days_left"]})
        _, body = await client.get(f"{app.url}/admin/license")
        assert not {"deployment", "days_left"} & set(body)
        app.change_manners({"missing": [], "deployment": "null"})
        _, body = await client.get(f"{app.url}/admin/license")
        assert body["deployment"] == "null"


async def test_unknown_routes_and_methods_are_errors_in_json(client: Client) -> None:
    """Errors are ``{"err": ...}`` whatever goes wrong."""
    async with IcapApp() as app:
        assert await client.get(f"{app.url}/nothing") == (404, {"err": "Not Found"})
        assert await client.call("DELETE", f"{app.url}/admin/license") == (405, {"err": "Method Not Allowed"})


async def test_garbage_on_the_rest_port_is_survived(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """Nonsense, a TLS handshake in plain HTTP, and connections without a request harm nobody, and are not logged."""
    async with IcapApp() as app:
        for garbage in (
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"GET /?activationKey=" + KEY.encode() + b" nonsense\r\n\r\n",
            b"\0\r\n\r\n",
        ):
            assert b" 400 Bad Request" in await converse(app.port.number, garbage)
        for _ in range(50):
            assert not await refused(app.port.number)
        await until(lambda: app.connections == 53)
        assert (await client.get(f"{app.url}/admin/license"))[0] == 200
    shown = KEY in caplog.text
    assert not shown
