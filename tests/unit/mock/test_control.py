"""The control port: what it tells, what it changes, and what it says about mistakes."""

import json

import pytest

from mock_activation.secrecy import fingerprint
from mock_activation.server import MockActivation
from tests.unit.mock.vendor_client import KEY, OTHER_KEY, A, B, Vendor, expect_no_key


async def test_index_lists_the_routes_and_health_is_ok(vendor: Vendor) -> None:
    """A person who opens the control port finds what there is."""
    index = (await vendor.control("GET", "/")).json()
    assert {"GET /state", "POST /reset", "DELETE /faults/{number}"} <= set(index["routes"])
    assert (await vendor.control("GET", "/health")).json()["status"] == "ok"


async def test_state_shows_seats_with_age() -> None:
    """Each key by fingerprint with its seats, how long they are taken, and when they were last heard of."""
    now = 1000.0
    async with MockActivation({KEY: 2}, now=lambda: now) as mock:
        await Vendor(mock).activate(A)
        now = 1060.0
        (shown,) = (await Vendor(mock).control("GET", "/state")).json()["keys"]
    assert (shown["fingerprint"], shown["seats"], shown["used"]) == (fingerprint(KEY), 2, 1)
    assert shown["taken"] == [
        {"deployment": A, "taken_at": 1000.0, "age": 60.0, "last_contact": 1000.0, "units": 1},
    ]


async def test_keys_are_replaced_added_and_changed(vendor: Vendor) -> None:
    """PUT replaces all of them, POST adds or changes one, PATCH changes one by its fingerprint."""
    answer = await vendor.control("PUT", "/keys", {"keys": [{"key": OTHER_KEY, "seats": 7, "expires": "2027-01-31"}]})
    assert [(k["fingerprint"], k["seats"], k["expires"]) for k in answer.json()["keys"]] == [
        (fingerprint(OTHER_KEY), 7, "01/31/2027")
    ]
    assert (await vendor.activate(A)).status_line.endswith("Activation failed")
    added = await vendor.control("POST", "/keys", {"key": KEY, "seats": 1})
    assert (added.status, added.json()) == (201, {"fingerprint": fingerprint(KEY)})
    assert (await vendor.activate(A)).status_line.endswith("Ok")
    changed = await vendor.control("PATCH", f"/keys/{fingerprint(KEY)}", {"state": "suspended"})
    assert [(k["state"], k["seats"], k["used"]) for k in changed.json()["keys"]] == [("ok", 7, 0), ("suspended", 1, 1)]
    assert b"suspended" in (await vendor.activate(A)).body
    assert (await vendor.control("PATCH", "/keys/000000000000", {"seats": 1})).status == 404


async def test_force_release_frees_a_seat(vendor: Vendor) -> None:
    """As the vendor's support would; a seat that is not taken is told."""
    await vendor.activate(A)
    seat = {"key_fingerprint": fingerprint(KEY), "deployment": A}
    assert (await vendor.control("POST", "/force-release", seat)).json() == {"released": True}
    assert (await vendor.control("POST", "/force-release", seat)).status == 404
    assert (await vendor.deactivate(A)).status == 404


async def test_switches_are_shown_and_changed(vendor: Vendor) -> None:
    """One switch changes, the others stay."""
    before = (await vendor.control("GET", "/switches")).json()
    after = (await vendor.control("PATCH", "/switches", {"unknown_pair": "ok"})).json()
    assert after == {**before, "unknown_pair": "ok"}
    assert (await vendor.deactivate(A)).status_line == "HTTP/1.1 200 Ok"


async def test_journal_is_filtered_and_cleared(vendor: Vendor) -> None:
    """What was asked and answered, in order, by operation and deployment."""
    await vendor.activate(A)
    await vendor.activate(B)
    await vendor.deactivate(A)
    entries = (await vendor.control("GET", "/journal")).json()["entries"]
    assert [(e["number"], e["operation"], e["deployment"], e["outcome"], e["status"]) for e in entries] == [
        (1, "activation", A, "activated", 200),
        (2, "activation", B, "activated", 200),
        (3, "deactivation", A, "released", 200),
    ]
    assert {e["key_fingerprint"] for e in entries} == {fingerprint(KEY)}
    filtered = (await vendor.control("GET", f"/journal?operation=activation&deployment={A}")).json()["entries"]
    assert [e["number"] for e in filtered] == [1]
    assert (await vendor.control("GET", "/journal?operation=other")).status == 400
    assert (await vendor.control("GET", "/journal?wait=1")).status == 400
    for query, numbers in (
        ("outcome=activated&after=1", [2]),
        ("status=200&limit=1", [3]),
        ("limit=0", []),
        ("fate=unanswered", []),
        (f"key_fingerprint={fingerprint(KEY)}&operation=deactivation", [3]),
        ("fault=cut", []),
    ):
        found = (await vendor.control("GET", f"/journal?{query}")).json()["entries"]
        assert [e["number"] for e in found] == numbers
    await vendor.control("DELETE", "/journal")
    assert (await vendor.control("GET", "/journal")).json() == {"entries": []}


async def test_faults_are_added_listed_and_removed(vendor: Vendor) -> None:
    """A fault is listed as it was asked for, with how often it happened."""
    asked = {"fault": "status", "status": 503, "retry_after": 5, "operation": "activation", "times": 1}
    number = (await vendor.control("POST", "/faults", asked)).json()["number"]
    answer = await vendor.activate(A)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert (await vendor.activate(A)).status == 200
    (rule,) = (await vendor.control("GET", "/faults")).json()["faults"]
    assert rule == {
        "number": number,
        "fired": 1,
        "fault": "status",
        "operation": "activation",
        "deployment": None,
        "key_fingerprint": None,
        "times": 1,
        "processed": False,
        "status": 503,
        "retry_after": "5",
    }
    assert (await vendor.control("DELETE", f"/faults/{number}")).json() == {"removed": True}
    for absent in (number, "x", "9" * 5000):
        assert (await vendor.control("DELETE", f"/faults/{absent}")).status == 404
    for name in ("lost-answer", "cut", "hang", "html"):
        assert (await vendor.control("POST", "/faults", {"fault": name, "deployment": A})).status == 201
    await vendor.control("POST", "/faults", {"fault": "delay", "seconds": 0.5})
    shown = (await vendor.control("GET", "/faults")).json()["faults"]
    assert [(r["fault"], r["processed"]) for r in shown][:2] == [("lost-answer", True), ("cut", False)]
    assert shown[-1]["seconds"] == 0.5
    await vendor.control("DELETE", "/faults")
    assert (await vendor.control("GET", "/faults")).json() == {"faults": []}


async def test_reset_is_as_at_the_start(vendor: Vendor) -> None:
    """Keys and switches of the start, no seats, no faults, an empty journal; counters only grow."""
    await vendor.activate(A)
    await vendor.control("POST", "/faults", {"fault": "hang"})
    await vendor.control("PATCH", "/switches", {"unknown_pair": "ok"})
    await vendor.control("PUT", "/keys", {"keys": []})
    assert (await vendor.control("POST", "/reset")).json() == {"reset": True}
    (shown,) = (await vendor.control("GET", "/state")).json()["keys"]
    assert (shown["fingerprint"], shown["used"], shown["taken"]) == (fingerprint(KEY), 0, [])
    assert (await vendor.control("GET", "/faults")).json() == {"faults": []}
    assert (await vendor.control("GET", "/journal")).json() == {"entries": []}
    assert (await vendor.deactivate(A)).status == 404
    metrics = (await vendor.control("GET", "/metrics")).body.decode()
    assert 'requests_total{answer="activated",operation="activation"} 1.0' in metrics


async def test_metrics_tell_the_servers_truth(vendor: Vendor) -> None:
    """Seats used and allowed by fingerprint, requests by operation and answer, faults by name, zeros included."""
    await vendor.activate(A)
    await vendor.activate("null")
    await vendor.control("POST", "/faults", {"fault": "cut", "times": 1})
    await vendor.activate(B)
    lines = (await vendor.control("GET", "/metrics")).body.decode().splitlines()
    mine = fingerprint(KEY)
    assert {
        f'mock_activation_seats_used{{key_fingerprint="{mine}"}} 1.0',
        f'mock_activation_seats_limit{{key_fingerprint="{mine}"}} 2.0',
        'mock_activation_requests_total{answer="activated",operation="activation"} 1.0',
        'mock_activation_requests_total{answer="invalid_deployment",operation="activation"} 1.0',
        'mock_activation_requests_total{answer="cut",operation="activation"} 1.0',
        'mock_activation_requests_total{answer="released",operation="deactivation"} 0.0',
        'mock_activation_faults_fired_total{fault="cut"} 1.0',
    } <= set(lines)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("PUT", "/keys", b"{", 400, "not JSON (line 1, column 2)"),
        ("PUT", "/keys", b"\xff\xfe\xff", 400, "not JSON"),
        ("PUT", "/keys", b"[" * 100_000, 400, "not JSON"),
        ("PUT", "/keys", b'{"keys": ' + b"1" * 5000 + b"}", 400, "not JSON"),
        ("PUT", "/keys", {}, 400, 'exactly one field, "keys"'),
        ("PUT", "/keys", {"keys": {}}, 400, "must be a list"),
        ("PUT", "/keys", {"keys": ["x"]}, 400, "entry 1: must be a mapping"),
        ("PUT", "/keys", {"keys": [{"seats": 1}]}, 400, "entry 1: key is missing"),
        ("PUT", "/keys", {"keys": [{"key": "K"}]}, 400, "entry 1: seats is missing"),
        ("PUT", "/keys", {"keys": [{"key": "K", "seats": 1}] * 2}, 400, "entry 2: this key was named before"),
        ("POST", "/keys", {"key": " K", "seats": 1}, 400, "white space"),
        ("POST", "/keys", {"key": "K", "seats": -1}, 400, "seats must be a whole number"),
        ("POST", "/keys", {"key": "K", "seats": True}, 400, "seats must be a whole number"),
        ("POST", "/keys", {"key": "K", "seats": 1, "state": "gone"}, 400, "state must be one of ok, unknown"),
        ("POST", "/keys", {"key": "K", "seats": 1, "expires": "soon"}, 400, "expires must be a date"),
        ("POST", "/keys", {"key": "K", "seats": 1, "expires": 1e300}, 400, "expires must be a date"),
        ("POST", "/keys", {"key": "K", "seats": 1, "licensed_engines": [1]}, 400, "licensed_engines must be"),
        ("POST", "/keys", {"key": "K", "seats": 1, "licensed_to": "a\nb"}, 400, "licensed_to must be a printable"),
        ("POST", "/keys", {"key": "K", "seats": 1, "sets": 2}, 400, "there is no field sets"),
        ("POST", "/force-release", {"key_fingerprint": "x"}, 400, "12 hexadecimal digits"),
        ("POST", "/force-release", {"deployment": A}, 400, "must both be there"),
        ("PATCH", "/switches", {"unknown_pair": "maybe"}, 400, "unknown_pair must be one of 404, error, ok"),
        ("PATCH", "/switches", {"colour": "red"}, 400, "there is no field colour"),
        ("POST", "/faults", {}, 400, "fault must be one of lost-answer"),
        ("POST", "/faults", {"fault": "explode"}, 400, "fault must be one of lost-answer"),
        ("POST", "/faults", {"fault": ["cut"]}, 400, "fault must be one of lost-answer"),
        ("POST", "/faults", {"fault": "cut", "times": 0}, 400, "times must be a whole number"),
        ("POST", "/faults", {"fault": "cut", "operation": ["x"]}, 400, "operation must be one of"),
        ("POST", "/faults", {"fault": "cut", "processed": "yes"}, 400, "processed must be true or false"),
        ("POST", "/faults", {"fault": "cut", "status": 500}, 400, "there is no field status"),
        ("POST", "/faults", {"fault": "delay"}, 400, "seconds must be a number"),
        ("POST", "/faults", b'{"fault": "delay", "seconds": NaN}', 400, "seconds must be a number"),
        ("POST", "/faults", {"fault": "status", "status": 100}, 400, "status must be a whole number from 200"),
        ("POST", "/faults", {"fault": "status", "retry_after": "a\r\nb"}, 400, "retry_after must be"),
        ("POST", "/faults", {"fault": "html", "body": 1}, 400, "body must be a text"),
        ("POST", "/faults", {"fault": "cut", "deployment": ""}, 400, "deployment must be a printable text"),
        ("POST", "/faults", {"fault": "cut", "key_fingerprint": 7}, 400, "12 hexadecimal digits"),
        ("POST", "/faults", {"fault": "cut", "probability": 1.5}, 400, "probability must be a number from 0 to 1"),
        ("POST", "/faults", {"fault": "cut", "nth": 0}, 400, "nth must be a whole number"),
        ("POST", "/faults", {"fault": "cut", "count_by": "day"}, 400, "count_by must be one of rule, deployment"),
        ("POST", "/faults", {"fault": "cut", "window": 5}, 400, "window: must be a mapping"),
        ("POST", "/faults", {"fault": "cut", "window": {"from": 5, "to": 5}}, 400, "window: from must be less"),
        ("POST", "/faults", {"fault": "cut", "window": {"form": 5}}, 400, "window: there is no field form"),
        ("POST", "/faults", {"fault": "cut", "deployment": "*" * 5}, 400, "4 stars at most"),
        ("POST", "/faults", {"fault": "cut", "wait": -1}, 400, "wait must be a number"),
        ("POST", "/faults", {"fault": "truncate", "keep": 1}, 400, "keep must be a number from 0 to 0.999"),
        ("POST", "/faults", {"fault": "drip", "size": 0}, 400, "size must be a whole number"),
        ("POST", "/faults", {"fault": "drip", "processed": True}, 400, "processed makes no sense with drip"),
        ("POST", "/faults", {"fault": "refuse", "reason": "mood"}, 400, "reason must be one of no_seats, expired"),
        ("POST", "/faults", {"fault": "refuse", "reason": ["x"]}, 400, "reason must be one of no_seats, expired"),
        ("POST", "/faults", {"fault": "content-type", "content_type": "é"}, 400, "content_type must be ASCII"),
        ("POST", "/faults", {"fault": "status", "retry_after": 1, "retry_after_date": 1}, 400, "choose one"),
        ("POST", "/faults", {"fault": "delay", "seconds": 1, "distribution": "normal"}, 400, "must be one of fixed"),
        ("POST", "/faults", {"fault": "delay", "seconds": 1, "distribution": "uniform"}, 400, "most must be there"),
        ("POST", "/faults", {"fault": "tls-handshake"}, 409, "plain HTTP: start it with --tls"),
        ("POST", "/faults", {"fault": "tls-handshake", "operation": "activation"}, 400, "comes before the request"),
        ("PUT", "/profile", {"name": "sunny"}, 400, "name must be one of calm, hostile"),
        ("PUT", "/profile", {"name": "calm", "seed": -1}, 400, "seed must be a whole number"),
        ("PUT", "/seed", {}, 400, "seed is missing"),
        ("PUT", "/seed", {"seed": 1.5}, 400, "seed must be a whole number"),
        ("POST", "/clock", {}, 400, "advance is missing"),
        ("POST", "/clock", {"advance": -5}, 400, "advance must be a number from 0"),
        ("POST", "/clock", {"advance": 1e9}, 400, "advance must be a number from 0"),
        ("PUT", "/snapshot", [], 400, "must be a mapping"),
        ("PUT", "/snapshot", {"snapshot": 2}, 400, "snapshot must be 1"),
        ("PUT", "/snapshot", {"snapshot": 1}, 400, "keys must be a list"),
        ("DELETE", "/keys/000000000000", None, 404, "no key has this fingerprint"),
        ("GET", "/journal?fate=lost", None, 400, "fate must be one of pending"),
        ("GET", "/journal?after=x", None, 400, "after must be a whole number"),
        ("GET", "/journal/wait?timeout=soon", None, 400, "timeout must be a number of seconds"),
        ("GET", "/journal/wait?timeout=nan", None, 400, "timeout must be a number of seconds"),
        ("GET", "/journal/wait?timeout=0&outcome=activated", None, 404, "0 of 1 matching requests within 0 s"),
        ("GET", "/openapi.xml", None, 404, "no such route"),
        ("GET", "/nothing", None, 404, "no such route"),
        ("POST", "/state", None, 405, "this route knows GET"),
        ("GET", "/ca.pem", None, 404, "plain HTTP"),
    ],
)
async def test_mistakes_are_told(
    *, vendor: Vendor, method: str, path: str, body: object, status: int, says: str
) -> None:
    """Every mistake is a 4xx in JSON that says what was wrong; nothing has changed."""
    before = (await vendor.control("GET", "/keys")).json()
    answer = await vendor.control(method, path, body)
    assert answer.status == status
    assert says in answer.json()["error"]
    assert (await vendor.control("GET", "/keys")).json() == before
    assert (await vendor.control("GET", "/faults")).json() == {"faults": []}


async def test_all_faults_of_a_body_at_once(vendor: Vendor) -> None:
    """One answer lists everything, entry by entry."""
    body = {"keys": [{"key": "K", "seats": "x", "state": "y"}, {"key": "L", "seats": 1, "z": 1}]}
    faults = (await vendor.control("PUT", "/keys", body)).json()["faults"]
    assert [fault.split(" must")[0] for fault in faults] == [
        "entry 1: seats",
        "entry 1: state",
        "entry 2: there is no field z",
    ]


async def test_a_body_that_is_too_large(vendor: Vendor) -> None:
    """413, without reading it to the end."""
    assert (await vendor.control("PUT", "/keys", b" " * (4 * 2**20 + 1))).status == 413


async def test_no_key_in_anything_that_the_control_port_says(vendor: Vendor) -> None:
    """NO_SECRET: keys go in by body, as parameters in the wrong place, as field names, and never come out."""
    await vendor.activate(A)
    await vendor.activate(KEY)
    await vendor.activate(A, quantity=KEY)
    await vendor.deactivate(A, key=KEY.lower())
    said = [
        (
            await vendor.control("PUT", "/keys", {"keys": [{"key": KEY, "seats": 2}, {"key": OTHER_KEY, "seats": 1}]})
        ).body,
        (await vendor.control("POST", "/keys", {KEY: 1})).body,
        (await vendor.control("POST", "/keys", {"key": KEY, "seats": KEY, "state": KEY})).body,
        (await vendor.control("PATCH", f"/keys/{KEY}", {"seats": 1})).body,
        (await vendor.control("DELETE", f"/faults/{KEY}")).body,
        (await vendor.control("POST", "/faults", {"fault": "cut", "deployment": KEY, "times": 1})).body,
        (await vendor.control("POST", "/faults", {"fault": KEY})).body,
    ]
    for path in ("/", "/keys", "/state", "/journal", "/faults", "/metrics", "/switches", f"/{KEY}"):
        said.append((await vendor.control("GET", path)).body)  # noqa: PERF401 - it reads better
    expect_no_key(b"".join(said).decode())
    assert json.loads(said[3])["error"] == "no key has this fingerprint"
