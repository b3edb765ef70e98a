"""What leaves the page, and what is in it: nothing for others, and no key anywhere."""

import json
from urllib.parse import urlsplit

import pytest
from selenium.common.exceptions import WebDriverException

from tests.browser.console import FINGERPRINT, KEY, OTHER_KEY, Mock, Page


def test_no_request_leaves_the_control_ports_origin(page: Page, mock: Mock) -> None:
    """Page, scripts, styles, icon and data all come from one place, by the browser's own account."""
    mock.activate(1)
    page.until(lambda: page.count() == "1 of 3 seats used, 2 free")
    page.driver.refresh()
    page.loaded()
    asked = [message["params"]["request"]["url"] for message in page.messages("Network.requestWillBeSent")]
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(mock.control_url))
    assert [url for url in asked if not url.startswith((f"{origin}/", "about:"))] == []
    assert {url.rpartition("/")[2] for url in asked} >= {"app.js", "style.css", "icon.svg", "events", "state"}
    entries = page.driver.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert [url for url in entries if not url.startswith(f"{origin}/")] == []


def test_the_policy_runs_no_script_but_the_pages_own(page: Page) -> None:
    """A script, a style or an image that somebody smuggled into the page does nothing."""
    page.driver.execute_script("""
        const script = document.createElement("script");
        script.textContent = "document.title = 'broken'";
        document.body.append(script);
        document.body.insertAdjacentHTML("beforeend",
          "<p id=smuggled style='position: fixed' onclick='document.title = 1'>x</p>");
        document.getElementById("smuggled").click();
    """)
    assert page.driver.title == "Mock activation server"
    assert page.one("#smuggled").value_of_css_property("position") == "static"
    complaints = [entry for entry in page.driver.get_log("browser") if "Content Security Policy" in entry["message"]]
    assert len(complaints) == 3


def test_no_key_is_in_the_page_or_on_its_wire(page: Page, mock: Mock) -> None:
    """Neither in the document, a field or the tab's memory, nor in any answer that the page was given."""
    for number in range(5):
        mock.activate(number)
        mock.activate(number, OTHER_KEY)
    mock.activate_as(KEY)  # a client that mixes up its parameters
    mock.deactivate(1)
    page.button("Export").click()
    page.until(lambda: len(page.rows()) == 12)
    page.driver.refresh()
    page.loaded()
    page.until(lambda: len(page.rows()) == 12)
    texts = page.driver.execute_script("""
        return [document.documentElement.outerHTML, JSON.stringify(sessionStorage), JSON.stringify(localStorage),
          location.href, ...[...document.querySelectorAll("input")].map((one) => one.value)]
    """)
    messages = page.messages("")
    for message in messages:
        texts.append(json.dumps(message))
        if message["method"] == "Network.loadingFinished":
            try:
                body = page.driver.execute_cdp_cmd(
                    "Network.getResponseBody", {"requestId": message["params"]["requestId"]}
                )
            except WebDriverException:
                continue  # of the page before the reload: the browser has forgotten it
            texts.append(body["body"])
    everything = "\n".join(texts).upper()
    assert FINGERPRINT.upper() in everything
    assert len(everything) > 50_000
    if any(piece in everything for key in (KEY, OTHER_KEY) for piece in (key, key[5:24], key.replace("-", "%2D"))):
        pytest.fail("a key is shown", pytrace=False)
