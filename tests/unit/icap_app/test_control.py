"""The control port of the stand-in, route by route."""

from typing import Any

import pytest

from mock_activation.icap_app import IcapApp, Settings
from tests.unit.icap_app.conversation import API_KEY, KEY, Client, Vendor, refused, until, unverified


async def test_the_state_tells_everything_but_secrets(client: Client, vendor: Vendor) -> None:
    """What it is, what it was asked, and no key in any form but its fingerprint."""
    settings = Settings(api_key=API_KEY, activation_url=vendor.url, password="a-password")
    async with IcapApp(settings) as app:
        url = f"{app.url}/admin/license"
        await client.get(f"{url}?apikey={API_KEY}", key=API_KEY)
        await client.get(url, key="b" * 36)
        await client.post(f"{url}/activation", {"activationKey": KEY}, key=API_KEY)
        status, state = await client.get(f"{app.control_url}/state")
        shown = any(
            secret in str(state) + repr(app.settings) + repr(app.product) for secret in (KEY, API_KEY, "a-password")
        )
    assert status == 200
    assert not shown
    assert state["deployment_id"] == app.deployment_id
    assert (state["url"], state["icap_url"], state["control_url"]) == (app.url, app.icap_url, app.control_url)
    assert state["licensed"] is True
    assert len(state["key_fingerprint"]) == 12
    assert state["license"]["online_activated"] is True
    assert state["requests"] == [
        "GET /admin/license 200",
        "GET /admin/license 403",
        "POST /admin/license/activation 200",
    ]
    assert (state["starts"], state["connections"], state["answered"]) == (1, 3, 3)


async def test_the_index_lists_the_routes(client: Client) -> None:
    """``GET /`` is the help."""
    async with IcapApp() as app:
        _, body = await client.get(f"{app.control_url}/")
        assert "POST /crash" in body["routes"]
        assert len(body["routes"]) == 25


async def test_crash_and_start(client: Client) -> None:
    """In process a crash leaves the control port alive, so that the app can be started again."""
    async with IcapApp() as app:
        old = app.deployment_id
        assert (await client.post(f"{app.control_url}/start"))[0] == 409
        assert (await client.post(f"{app.control_url}/crash")) == (200, {"crashed": True})
        assert await refused(app.port.number)
        _, state = await client.get(f"{app.control_url}/state")
        assert (state["alive"], state["listening"]) == (False, False)
        assert (await client.post(f"{app.control_url}/tls"))[0] == 409
        status, state = await client.post(f"{app.control_url}/start", {"same_id": True})
        assert (status, state["deployment_id"], state["starts"]) == (200, old, 2)


async def test_crash_as_a_process_ends_it(client: Client) -> None:
    """Where the app is a process, that ends, after the answer has left."""
    ends: list[bool] = []
    async with IcapApp(on_crash=ends.append) as app:
        assert (await client.post(f"{app.control_url}/crash", {"hard": True}))[0] == 200
        assert (await client.post(f"{app.control_url}/crash"))[0] == 200
    assert ends == [True, False]


async def test_hang_and_unhang(client: Client) -> None:
    """The state says which."""
    async with IcapApp() as app:
        assert (await client.post(f"{app.control_url}/hang"))[1]["hanging"] is True
        assert app.hanging
        assert (await client.post(f"{app.control_url}/unhang"))[1]["hanging"] is False
        assert not app.hanging


async def test_restart_comes_back_with_another_id(client: Client) -> None:
    """202 at once, refused meanwhile, another ID afterwards; one restart at a time."""
    async with IcapApp() as app:
        old = app.deployment_id
        status, _ = await client.post(f"{app.control_url}/restart", {"down": 0.1, "abrupt": True})
        assert status == 202
        assert (await client.post(f"{app.control_url}/restart", {"down": 0}))[0] == 409
        assert await refused(app.port.number)
        await until(lambda: app.alive)
        assert app.deployment_id != old


async def test_licence_tls_database_and_refusal(client: Client) -> None:
    """The other switches do what they say."""
    async with IcapApp() as app:
        control = app.control_url
        assert (await client.post(f"{control}/grant-license"))[1]["licensed"] is True
        assert (await client.post(f"{control}/grant-license", {"days": -3}))[1]["licensed"] is False
        assert (await client.post(f"{control}/grant-license", {"days": 3}))[1]["licensed"] is True
        state = (await client.post(f"{control}/lose-license"))[1]
        assert (state["licensed"], state["license"]) == (False, None)
        assert (await client.post(f"{control}/database", {"status": False}))[1]["database"] is False
        assert not app.product.database
        assert (await client.post(f"{control}/forbid"))[1]["refusing"] == 403
        assert (await client.get(f"{app.url}/admin/license"))[0] == 403
        assert (await client.post(f"{control}/forbid", {"code": 500, "seconds": 60}))[1]["refusing"] == 500
        assert await client.get(f"{app.url}/admin/license") == (500, {"err": "Not ready"})
        assert (await client.post(f"{control}/forbid", {"status": False}))[1]["refusing"] is None
        assert (await client.get(f"{app.url}/admin/license"))[0] == 200
        assert (await client.post(f"{control}/tls"))[1]["url"].startswith("https:")
        assert (await client.post(f"{control}/tls"))[0] == 200
        assert (await client.get(f"{app.url}/admin/license", ssl=unverified()))[0] == 200


async def test_manners_change_while_it_runs_and_survive_a_restart(client: Client) -> None:
    """Every manner can be set; the state shows all of them."""
    wishes = {
        "numbers_as_strings": True,
        "missing": ["product_id"],
        "deployment": "",
        "unlicensed": "empty",
        "readyz": "old",
        "readyz_code": 200,
        "upload": False,
        "failure": 403,
        "user": False,
    }
    async with IcapApp() as app:
        status, state = await client.post(f"{app.control_url}/manners", wishes)
        assert (status, state["manners"]) == (200, wishes)
        await app.restart()
        assert (await client.get(f"{app.control_url}/state"))[1]["manners"] == wishes


@pytest.mark.parametrize(
    ("route", "body", "says"),
    [
        ("/restart", {"down": -1}, "down"),
        ("/restart", {"down": "1"}, "down"),
        ("/restart", {"down": True}, "down"),
        ("/restart", {"down": float("nan")}, "down"),
        ("/restart", {"abrupt": 1}, "abrupt"),
        ("/restart", {"other": 1}, "known here: down, abrupt, same_id"),
        ("/hang", {"seconds": -1}, "seconds"),
        ("/unhang", {"seconds": 1}, "known here: none"),
        ("/database", {}, "status"),
        ("/database", {"status": "yes"}, "status"),
        ("/forbid", {"code": 404}, "403 or 500"),
        ("/grant-license", {"days": 1e9}, "days"),
        ("/manners", {"unknown": 1}, "there is no such manner"),
        ("/manners", {"upload": 0}, "upload"),
        ("/manners", {"missing": "deployment"}, "missing"),
        ("/manners", {"missing": [[]]}, "missing"),
        ("/manners", {"missing": ["nothing"]}, "missing"),
        ("/manners", {"readyz": "strange"}, "readyz"),
        ("/manners", {"readyz_code": 404}, "readyz_code"),
        ("/manners", {"failure": True}, "failure"),
        ("/manners", {"deployment": 5}, "deployment"),
        ("/crash", [], "JSON object"),
        ("/crash", 5, "JSON object"),
    ],
)
async def test_a_wish_that_makes_no_sense_is_400_and_changes_nothing(
    client: Client, route: str, body: Any, says: str
) -> None:
    """The answer names the field and what is expected."""
    async with IcapApp() as app:
        before = (await client.get(f"{app.control_url}/state"))[1]
        status, answer = await client.post(f"{app.control_url}{route}", body)
        assert status == 400
        assert says in answer["err"]
        assert (await client.get(f"{app.control_url}/state"))[1] == before


async def test_unknown_routes_methods_and_no_json_are_clear(client: Client) -> None:
    """404, 405 and 400, in JSON."""
    async with IcapApp() as app:
        assert (await client.get(f"{app.control_url}/nothing"))[0] == 404
        assert (await client.get(f"{app.control_url}/crash"))[0] == 405
        assert (await client.call("POST", f"{app.control_url}/hang", data=b"{no json"))[0] == 400
        assert app.alive
