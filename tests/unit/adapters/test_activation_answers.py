"""The table of statuses and bodies of the activation server (protocol.md section 1), with respx in between."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import respx

from sidecar.adapters.activation_server import HttpActivationServer
from sidecar.core.reasons import Failure
from sidecar.errors import ActivationOutage, ActivationRefused, Misconfigured
from sidecar.ports import Deactivation
from sidecar.secrets import Secret

URL = "http://activation.example/prefix"
KEY = Secret("ABCD-EFGH-1234-5678-IJKL-MNOP-9012-3456")
ID = "MSCL00000000000000000000000000000000"
LICENCE = "product_id: MDICAP\nproduct_name: MetaDefender ICAP Server\nexpiration: 09/30/2026\nsignature: |\n  abc\n"
MALFORMED = (
    "error: 'Could not activate your product because the {} you provided is invalid. Check if you typed it correctly "
    "or open a support ticket if problem persist.'"
)
TEXT = {"content-type": "text/plain"}
HTML = {"content-type": "text/html; charset=utf-8"}


async def activate(*, quantity: int = 1, **answer: Any) -> Any:
    """Ask for a seat and let the server answer like that."""
    server = HttpActivationServer(URL, quantity=quantity, now=lambda: 1_000_000.0)
    with respx.mock:
        respx.get(f"{URL}/activation").mock(return_value=httpx.Response(**answer))
        return await server.activate(KEY, ID)


async def deactivate(**answer: Any) -> Deactivation:
    """Give a seat back and let the server answer like that."""
    server = HttpActivationServer(URL)
    with respx.mock:
        respx.get(f"{URL}/deactivation").mock(return_value=httpx.Response(**answer))
        return await server.deactivate(KEY, ID)


async def test_parameters() -> None:
    """Key, deployment and quantity go into the query, encoded; the prefix of the address is kept; no body."""
    server = HttpActivationServer(f"{URL}/", quantity=3)
    with respx.mock:
        route = respx.route().mock(return_value=httpx.Response(200, text=LICENCE))
        await server.activate(Secret("A B&C"), "ID/+ä")
        await server.deactivate(Secret("A B&C"), "ID/+ä")
    first, second = (call.request for call in route.calls)
    assert first.method == "GET"
    assert first.url.raw_path == b"/prefix/activation?key=A%20B%26C&deployment=ID%2F%2B%C3%A4&quantity=3"
    assert second.url.raw_path == b"/prefix/deactivation?key=A%20B%26C&deployment=ID%2F%2B%C3%A4"
    assert first.content == b""


@pytest.mark.parametrize(
    "body",
    [
        LICENCE,
        LICENCE.replace("\n", "\r\n"),
        "\ufeff" + LICENCE,
        "%YAML 1.1\n---\n" + LICENCE,
        '{"product_name": "MetaDefender ICAP Server", "expiration": "2026-09-30T12:00:00Z"}',
        "license:\n  product_name: MetaDefender ICAP Server\n  expiration: '2026-09-30'\n",
        "engines: &id001 [a, b]\nmore: *id001\nproduct_name: MetaDefender ICAP Server\nexpiration: 1790726400\n",
        "nested:\n  error: not at the top\n" + LICENCE,
        "- ? {a: b}\n  : c\n".replace("- ", "", 1).replace("\n  :", "\n:") + LICENCE,
        "license: {product_name: inner}\nproduct_name: MetaDefender ICAP Server\nexpiration: 09/30/2026\n",
    ],
)
async def test_activated(body: str) -> None:
    """A YAML mapping without a top-level error is a licence; its bytes are kept as they came."""
    licence = await activate(status_code=200, content=body.encode(), headers=TEXT)
    assert licence.body == body.encode()
    assert licence.product == "MetaDefender ICAP Server"
    assert licence.expires_at == 1790726400.0


async def test_activated_without_known_fields() -> None:
    """The fields are not published: a licence without any that we know is a licence, even as text/html."""
    licence = await activate(status_code=200, text="serial: 7\nsignature: a<b\n", headers=HTML)
    assert (licence.product, licence.expires_at) == ("", 0.0)


@pytest.mark.parametrize("expiration", ["never", "13/45/2026", "2026-02-31", "''", "[1, 2]"])
async def test_strange_expirations(expiration: str) -> None:
    """An expiration that is no date is no reason to doubt the licence."""
    assert (await activate(status_code=200, text=f"a: b\nexpiration: {expiration}")).expires_at == 0.0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (MALFORMED.format("Activation Key"), Failure.INVALID_KEY),
        (MALFORMED.format("Deployment ID"), Failure.INVALID_DEPLOYMENT),
        (MALFORMED.format("quantity"), Failure.INVALID_REQUEST),
        ('{"error": "No free seat left"}', Failure.NO_SEATS),
        ("error:\n  code: 17\n  message: All licenses are in use\n", Failure.NO_SEATS),
        ("error: [Something, else]", Failure.REFUSED),
        ("product_name: x\nerror: Your license has expired", Failure.EXPIRED),
        ("error: 17", Failure.REFUSED),
    ],
    ids=lambda case: repr(case)[:40],
)
@pytest.mark.parametrize("phrase", [b"Activation failed", b"OK", b""])
async def test_refused(body: str, reason: Failure, phrase: bytes) -> None:
    """A top-level error is a refusal whatever the reason phrase says."""
    with pytest.raises(ActivationRefused) as refusal:
        await activate(status_code=200, text=body, extensions={"reason_phrase": phrase})
    assert refusal.value.reason is reason
    assert refusal.value.sentence
    assert refusal.value.sentence in body.replace("code: 17\n  message: ", "17 ").replace(
        "[Something, else]", "Something else"
    )


@pytest.mark.parametrize(
    ("body", "said", "reason"),
    [
        ("error: Key 'abc' is invalid: try again", "Key 'abc' is invalid: try again", Failure.INVALID_KEY),
        ("error: 'The key doesn't exist'\n", "The key doesn't exist", Failure.INVALID_KEY),
        ('error: "No seat for "this": all are in use"', 'No seat for "this": all are in use', Failure.NO_SEATS),
        ("# a note\r\n---\r\n\r\nerror: Denied: no\r\nhint: ask\r\n", "Denied: no", Failure.REFUSED),
        ("error: [E17] denied: no", "[E17] denied: no", Failure.REFUSED),
        ("error:Denied", "Denied", Failure.REFUSED),
        ("error: @denied", "@denied", Failure.REFUSED),
    ],
    ids=lambda case: repr(case)[:40],
)
async def test_refused_in_words_that_are_no_yaml(body: str, said: str, reason: Failure) -> None:
    """A sentence with a colon in it is no YAML unless it is quoted; its reason is told all the same."""
    with pytest.raises(ActivationRefused) as refusal:
        await activate(status_code=200, text=body)
    assert refusal.value.sentence == said
    assert refusal.value.reason is reason


async def test_NO_SECRET_a_refusal_that_is_no_yaml_is_masked_too() -> None:  # noqa: N802 - the invariant's name
    """The server may repeat our key."""
    with pytest.raises(ActivationRefused) as refusal:
        await activate(status_code=200, text=f"error: Key {KEY.reveal()}: unknown: try again")
    assert refusal.value.sentence == "Key ***: unknown: try again"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("product_name: Müller\n".encode("latin-1"), "text/yaml; charset=ISO-8859-1"),
        ("product_name: Müller\n".encode("latin-1"), "text/yaml"),
        ("product_name: Müller\n".encode(), "text/yaml; charset=ISO-8859-1"),
        ("product_name: Müller\n".encode("utf-16"), "text/yaml"),
        ("\ufeffproduct_name: Müller\n".encode("utf-16-be"), "text/yaml; charset=utf-8"),
        ("product_name: Müller\n".encode("utf-16-le"), 'text/yaml; charset="UTF-16"'),
        ("product_name: Müller\n".encode("iso-8859-15"), "text/yaml; Charset=iso-8859-15"),
    ],
)
async def test_texts_of_other_charsets(body: bytes, content_type: str) -> None:
    """A mark at the beginning or the declaration tells the charset; the licence's bytes stay as they are."""
    licence = await activate(status_code=200, content=body, headers={"content-type": content_type})
    assert (licence.body, licence.product) == (body, "Müller")


async def test_refusal_in_another_charset() -> None:
    """Its sentence is told."""
    body = "error: 'Clé inconnue : réessayez'".encode("utf-16")
    with pytest.raises(ActivationRefused, match="Clé inconnue"):
        await activate(status_code=200, content=body)


async def test_refusal_is_shown_safely() -> None:
    """The server's sentence is one trimmed line without keys, even if it echoes ours in another spelling."""
    echo = KEY.reveal().lower().replace("-", "%2d")
    body = f'error: "Key {echo} and {KEY.reveal()}\\n\\e[31m is bad {"x" * 9000} {KEY.reveal()}"'
    with pytest.raises(ActivationRefused) as refusal:
        await activate(status_code=200, text=body)
    shown = refusal.value.sentence
    assert shown.startswith("Key *** and *** [31m is bad xxx")
    assert len(shown) == 300
    assert "ABCD" not in str(refusal.value).upper()


@pytest.mark.parametrize(
    "answer",
    [
        {"text": ""},
        {"text": " \n"},
        {"text": "OK"},
        {"text": "- product_name: x"},
        {"text": "17"},
        {"text": "error: 'cut in the mid"},
        {"text": "error:"},
        {"text": "error: ''"},
        {"text": "Error: from some gateway"},
        {"text": '{"err": "Bad gateway"}'},
        {"text": '{"success": false}'},
        {"text": '{"success": true, "Error": null}'},
        {"text": "product_name: 'cut"},
        {"text": "a: [1, 2"},
        {"text": "a: b\n\tc: d"},
        {"text": "%TAG ! x\n---\na: b"},
        {"content": b"a: \x81\x8d\n"},
        {"content": b"a: \xff\n", "headers": {"content-type": "text/plain; charset=utf-8"}},
        {"content": b"a: \x00\n"},
        {"text": "<!DOCTYPE html><html>", "headers": TEXT},
        {"text": "\n <HTML><body>error: no</body></HTML>"},
        {"text": "Welcome: hello <html><body>portal</body></html>", "headers": TEXT},
        {"text": "error: <html><body>denied: proxy</body></html>", "headers": TEXT},
        {"text": "error: 'denied <iframe src=x>'", "headers": HTML},
        {"text": 'Welcome: please <a href="/in">log in</a>', "headers": HTML},
        {"text": '{"page": "\\u003chtml>\\u003cbody>"}', "headers": TEXT},
        {"content": "Welcome: <html>".encode("utf-16"), "headers": TEXT},
        {"content": "a: b".encode("utf-16-le")},
        {"content": b"a: \xff\n", "headers": {"content-type": "text/plain; charset=iso-8859-99"}},
        {"text": "error: 'doesn't end"},
        {"text": "error: |"},
        {"text": "Sorry: yes\nbody: <div>Maintenance</div>", "headers": HTML},
        {"text": "a: b\n" * 20_000},
        {"text": "a: " + "[" * 1000},
    ],
    ids=lambda answer: repr(answer)[:40],
)
async def test_200_that_is_no_answer(answer: dict[str, Any]) -> None:
    """Everything with 200 that is neither a licence nor a refusal is an outage that may have taken the seat."""
    with pytest.raises(ActivationOutage) as outage:
        await activate(status_code=200, **answer)
    assert (outage.value.reason, outage.value.sent) == (Failure.PROTOCOL, True)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (201, Failure.PROTOCOL),
        (204, Failure.PROTOCOL),
        (301, Failure.PROTOCOL),
        (307, Failure.PROTOCOL),
        (400, Failure.PROTOCOL),
        (403, Failure.PROTOCOL),
        (404, Failure.PROTOCOL),
        (429, Failure.RATE_LIMITED),
        (500, Failure.HTTP_5XX),
        (502, Failure.HTTP_5XX),
        (503, Failure.HTTP_5XX),
        (599, Failure.HTTP_5XX),
    ],
)
@pytest.mark.parametrize("body", [LICENCE, "error: no free seat"])
async def test_other_statuses(status: int, reason: Failure, body: str) -> None:
    """Only 200 is an answer: with another status neither a licence nor an error in the body counts."""
    with pytest.raises(ActivationOutage, match=str(status)) as outage:
        await activate(status_code=status, text=body, headers={"location": "http://elsewhere.example/"})
    assert (outage.value.reason, outage.value.sent, outage.value.retry_after) == (reason, True, None)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": "9" * 30}, 86_400.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
        # The injected clock shows 1,000,000 s, which is 13:46:40 on 12 January 1970.
        ({"retry-after": "Mon, 12 Jan 1970 13:47:40 GMT"}, 60.0),
        ({"retry-after": "Mon, 12 Jan 1970 13:00:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT", "date": "Wed, 21 Oct 2026 07:27:30 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT", "date": "yesterday"}, 86_400.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after(status: int, headers: dict[str, str], seconds: float | None) -> None:
    """Retry-After is understood as seconds and as a date, the latter by the server's own clock if it tells it."""
    with pytest.raises(ActivationOutage) as outage:
        await activate(status_code=status, headers=headers)
    assert outage.value.retry_after == seconds


@pytest.mark.parametrize(
    "answer",
    [
        {"text": ""},
        {"text": "OK"},
        {"text": "Deployment removed. Errors: none"},
        {"text": '{"success": true}'},
        {"text": '{"success": true, "error": null}'},
        {"text": '{"success": true, "error": false}'},
        {"text": '{"success": true, "error": ""}'},
        {"text": '{"errors": [], "success": true, "message": "no error"}'},
        {"text": '{"error_count": 0}'},
        {"text": '{"status": "cut'},
        {"text": "status: deactivated\n"},
        {"text": "[]"},
        {"text": '{"text": "as html"}', "headers": HTML},
        {"text": '{"message": "<b>removed</b>, no error"}', "headers": {"content-type": "application/json"}},
        {"text": "\ufeff{}"},
        {"text": "Removed MSCL0 -> free, 1 < 2, no error"},
        {"content": "désactivé".encode("latin-1"), "headers": TEXT},
        {"content": '{"success": true}'.encode("utf-16")},
    ],
    ids=lambda answer: repr(answer)[:40],
)
async def test_released(answer: dict[str, Any]) -> None:
    """Any 200 whose body is no error and no web page confirms the release."""
    assert await deactivate(status_code=200, **answer) is Deactivation.RELEASED


@pytest.mark.parametrize("body", ["", "error: unknown", "<html>no backend</html>"])
async def test_unknown(body: str) -> None:
    """404 says that the seat is unknown, whatever its body."""
    assert await deactivate(status_code=404, text=body) is Deactivation.UNKNOWN


@pytest.mark.parametrize(
    "answer",
    [
        {"text": "error: 'Could not deactivate'"},
        {"text": '{"error": null}'},
        {"text": "success: true\nerror:"},
        {"text": '{"success": "true", "error": "x"}'},
        {"text": '{"success": true, "error": null, "errors": ["x"]}'},
        {"text": '{"success": true, "error": null, "error": "x"}'},
        {"text": '{"success": true, "success": false, "error": null}'},
        {"text": '{"success": false, "error": null}'},
        {"text": '{"success": true, "status": "failed", "error": null}'},
        {"text": '{"success": true, "error": {"code": 17}}'},
        {"text": '{"Errors": ["x"]}'},
        {"text": '{"success": false}'},
        {"text": "error: 'cut in the mid"},
        {"text": "Error while talking to the database"},
        {"text": "<html></html>"},
        {"text": "Login <table>", "headers": HTML},
        {"content": b"\xff\xfe"},
        {"text": "hello <html><body>portal</body></html>", "headers": TEXT},
        {"text": "hello <html><body>portal</body></html>"},
        {"text": "Please <b>log in</b>", "headers": HTML},
        {"text": "Please <b>log in</b>", "headers": TEXT},
        {"text": "Please <app-login/>", "headers": {"content-type": "application/xhtml+xml"}},
        {"text": "Welcome <a href=x>here</a>", "headers": HTML},
        {"text": "\ufeff\n<p>Welcome", "headers": TEXT},
        {"text": "Welcome <!-- portal -->", "headers": TEXT},
        {"text": "message: <br/>", "headers": TEXT},
        {"text": '{"message": "<b>removed</b>"}', "headers": HTML},
        {"text": '{"body": "<!DOCTYPE html>"}', "headers": {"content-type": "application/json"}},
        {"text": '{"body": "\\u003chtml\\u003e"}', "headers": {"content-type": "application/json"}},
        {"content": "hello <html>".encode("utf-16"), "headers": TEXT},
        {"content": "hello <html>".encode("utf-16-be"), "headers": TEXT},
        {"content": b"\x1f\x8b\x08\x00", "headers": TEXT},
        {"content": bytes(range(192, 256)), "headers": TEXT},
        {"text": "---\nerror: Could not: retry"},
        {"text": '[{"error": "x"}]'},
        {"text": '{"deployment": "x", "error": "could not'},
        {"text": "Internal Server Error"},
        {"text": "Error 17: not found"},
        {"text": '{"status": "failed"}'},
    ],
    ids=lambda answer: repr(answer)[:60],
)
async def test_not_released(answer: dict[str, Any]) -> None:
    """A 200 with an error or a web page is not a release: ask again."""
    with pytest.raises(ActivationOutage) as outage:
        await deactivate(status_code=200, **answer)
    assert (outage.value.reason, outage.value.sent) == (Failure.PROTOCOL, True)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(202, Failure.PROTOCOL), (302, Failure.PROTOCOL), (429, Failure.RATE_LIMITED), (500, Failure.HTTP_5XX)],
)
async def test_deactivation_with_other_statuses(status: int, reason: Failure) -> None:
    """Every status but 200 and 404 leaves the release open."""
    with pytest.raises(ActivationOutage) as outage:
        await deactivate(status_code=status)
    assert outage.value.reason is reason


@pytest.mark.parametrize(
    ("error", "reason", "sent"),
    [
        (httpx.ConnectError("x"), Failure.NETWORK, False),
        (httpx.ConnectTimeout("x"), Failure.TIMEOUT, False),
        (httpx.ReadTimeout("x"), Failure.TIMEOUT, True),
        (httpx.ReadError("x"), Failure.NETWORK, True),
        (httpx.RemoteProtocolError("x"), Failure.PROTOCOL, True),
        (httpx.ProxyError("407 x"), Failure.NETWORK, False),
    ],
)
async def test_library_errors_without_a_trace(error: httpx.HTTPError, reason: Failure, sent: bool) -> None:
    """Where no trace tells whether the request was sent, the kind of the error does, in doubt as sent."""
    server = HttpActivationServer(URL)
    with respx.mock:
        respx.get(f"{URL}/activation").mock(side_effect=error)
        with pytest.raises(ActivationOutage) as outage:
            await server.activate(KEY, ID)
    assert (outage.value.reason, outage.value.sent) == (reason, sent)


@pytest.mark.parametrize("url", ["http://[::1", "http://a\u2100b", "https://" + "a" * 70_000])
def test_addresses_that_no_library_takes(url: str) -> None:
    """An address that only looks like one is a fault of the settings too."""
    with pytest.raises(Misconfigured, match=r"activation\.url|malformed"):
        HttpActivationServer(url)
