"""The console's routes: its files, where a browser is led, the history of seats, and who may press buttons."""

import re
from importlib.resources import files
from urllib.parse import urlsplit

import pytest

from mock_activation.console_api import MOST_STEPS, thin
from mock_activation.seats import Change, Move
from mock_activation.secrecy import fingerprint
from tests.unit.mock.vendor_client import KEY, A, B, RawAnswer, Vendor, exchange

FINGERPRINT = fingerprint(KEY)
FOLDER = files("mock_activation") / "console"


async def browse(vendor: Vendor, path: str, *headers: str, method: str = "GET") -> RawAnswer:
    """Ask the control port as a browser would."""
    host = urlsplit(vendor.mock.control_url).netloc
    head = "".join(
        f"{line}\r\n" for line in (f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *headers)
    )
    return await exchange(vendor.mock.control_url, f"{head}\r\n".encode())


async def test_the_root_leads_browsers_to_the_console_and_tells_programs_the_routes(vendor: Vendor) -> None:
    """Who accepts HTML is a person; everybody else gets the list."""
    person = await browse(vendor, "/", "Accept: text/html,application/xhtml+xml;q=0.9")
    assert (person.status, person.headers["location"]) == (302, "/console/")
    for accept in ("*/*", "application/json"):
        program = await browse(vendor, "/", f"Accept: {accept}")
        assert "GET /history" in program.json()["routes"]
    assert (await browse(vendor, "/console")).headers["location"] == "/console/"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("", "text/html"), ("app.js", "text/javascript"), ("style.css", "text/css"), ("icon.svg", "image/svg+xml")],
)
async def test_files_are_served_under_a_strict_policy(vendor: Vendor, name: str, kind: str) -> None:
    """Each has its type, and the page may load nothing from elsewhere and nothing inline."""
    answer = await browse(vendor, f"/console/{name}")
    assert answer.status == 200
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy.pop("default-src") == "'none'"
    assert set(policy.values()) == {"'self'", "'none'"}
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fpool.py", "%2e%2e/pool.py", "__init__.py", "app.js/", "%00"])
async def test_nothing_but_the_pages_files_can_be_asked_for(vendor: Vendor, name: str) -> None:
    """Other names are a 404 in words, whatever they try."""
    answer = await browse(vendor, f"/console/{name}")
    assert answer.status == 404
    assert "error" in answer.json()


def test_the_page_names_no_other_host() -> None:
    """No address in any file but the name space of SVG, and no script or style inside the page."""
    for file in FOLDER.iterdir():
        text = file.read_text(encoding="utf-8")
        assert set(re.findall(r"https?://[^\"'\s)]+", text)) <= {"http://www.w3.org/2000/svg"}
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page) == []


async def test_the_history_is_what_happened_since(vendor: Vendor) -> None:
    """Each key has its steps with what they were, and a key without any has its count; the last event is named."""
    await vendor.activate(A)
    await vendor.activate(B)
    await vendor.deactivate(A)
    history = (await vendor.control("GET", "/history?seconds=60")).json()
    line = history["keys"][FINGERPRINT]
    assert [step[1:] for step in line["steps"]] == [[1, "taken"], [2, "taken"], [1, "released"]]
    assert line["before"] is None
    assert history["now"] - history["since"] == pytest.approx(60)
    assert history["after_event"] == vendor.mock.backend.events.last
    vendor.mock.backend.advance(3600)
    later = (await vendor.control("GET", "/history?seconds=60")).json()
    assert later["keys"][FINGERPRINT] == {"before": 1, "steps": [], "thinned": False}
    await vendor.control("POST", "/reset")
    await vendor.activate(A)
    vendor.mock.history.clear()
    unknown = (await vendor.control("GET", "/history")).json()
    assert unknown["keys"][FINGERPRINT] == {"before": 1, "steps": [], "thinned": False}


@pytest.mark.parametrize("query", ["seconds=0", "seconds=nan", "seconds=1e9", "seconds=", "seconds=x", "minutes=1"])
async def test_a_wrong_question_about_the_history_is_explained(vendor: Vendor, query: str) -> None:
    """400, with what can be asked."""
    answer = await vendor.control("GET", f"/history?{query}")
    assert answer.status == 400
    assert "seconds only" in answer.json()["error"]


def test_thinning_keeps_peaks_and_the_end() -> None:
    """Of ten thousand steps few are told, and the highest, the lowest and the last are among them."""
    used = [50] * 10_000
    used[4_321], used[7_777], used[-1] = 99, 1, 42
    changes = [Change(index / 100, FINGERPRINT, A, Move.TAKEN, count) for index, count in enumerate(used)]
    kept = thin(changes, 0.0, 100.0)
    assert len(kept) <= MOST_STEPS
    assert {99, 1} <= {change.used for change in kept}
    assert kept[-1] == changes[-1]
    assert [change.at for change in kept] == sorted(change.at for change in kept)
    assert thin(changes[:MOST_STEPS], 0.0, 100.0) == changes[:MOST_STEPS]


async def test_a_page_of_another_origin_may_change_nothing(vendor: Vendor) -> None:
    """A browser that sends another site's request is refused; our own page, and programs without an origin, are not."""
    await vendor.activate(A)
    for origin in ("http://elsewhere.example", "null", "http://127.0.0.1:1"):
        answer = await browse(vendor, "/reset", f"Origin: {origin}", "Content-Length: 0", method="POST")
        assert answer.status == 403
    assert vendor.used() == 1
    assert (await browse(vendor, "/state", "Origin: http://elsewhere.example")).status == 200
    own = await browse(vendor, "/reset", f"Origin: {vendor.mock.control_url}", "Content-Length: 0", method="POST")
    assert own.status == 200
    assert vendor.used() == 0


async def test_the_choices_are_those_of_this_server(vendor: Vendor) -> None:
    """What the page offers is what the control API takes: each switch in each position, each state."""
    choices = (await browse(vendor, "/console/choices.json")).json()
    assert choices["defaults"] == (await vendor.control("GET", "/switches")).json()
    for name, positions in choices["switches"].items():
        for position in positions:
            assert (await vendor.control("PATCH", "/switches", {name: position})).status == 200
    for state in choices["states"]:
        assert (await vendor.control("PATCH", f"/keys/{FINGERPRINT}", {"state": state})).status == 200
