"""What can be done from the console, looked at on the mock itself."""

import json
import socket
import time
from pathlib import Path

from selenium.webdriver import Chrome

from tests.browser.console import FINGERPRINT, KEY, Mock, Page, deployment


def test_a_seat_can_be_taken_away(page: Page, mock: Mock) -> None:
    """It asks first; no leaves the seat, yes frees it on the server, and the next client can have it."""
    mock.activate(1)
    page.until(lambda: page.all(".seats .action button"))
    name = f"Release the seat of {deployment(1)}"
    page.button(name).click()
    page.answer("Leave it")
    assert mock.used()[FINGERPRINT] == 1
    page.button(name).click()
    page.answer("Release the seat")
    page.until(lambda: page.count() == "0 of 3 seats used, 3 free")
    assert mock.used()[FINGERPRINT] == 0
    assert page.notices() == []


def test_a_request_that_fails_is_told_in_the_servers_words(page: Page, mock: Mock) -> None:
    """A seat that was given back while the question was open: the sentence stays until it is dismissed."""
    page.failures_expected = True
    mock.activate(1)
    page.until(lambda: page.all(".seats .action button"))
    page.button(f"Release the seat of {deployment(1)}").click()
    page.until(lambda: page.all("dialog[open]"))
    mock.deactivate(1)
    page.answer("Release the seat")
    page.until(lambda: page.notices() == ["The seat was not released: this seat is not taken"])
    page.button("Dismiss this message").click()
    assert page.notices() == []


def test_a_key_can_be_changed_without_being_said(page: Page, mock: Mock) -> None:
    """Seats and state are set by fingerprint, and count for the next client; what is being written stays as it is."""
    page.one(f"{page.card()} summary").click()
    page.write(f"{page.card()} [name=seats]", "1")
    page.choose(f"{page.card()} [name=state]", "ok")
    mock.activate(1)
    page.until(lambda: page.count() == "1 of 3 seats used, 2 free")
    assert page.one(f"{page.card()} [name=seats]").get_attribute("value") == "1"
    page.one(f"{page.card()} details [type=submit]").click()
    page.until(lambda: page.count() == "1 of 1 seat used, none free")
    mock.activate(2)
    assert mock.control("GET", "/journal")["entries"][-1]["outcome"] == "no_seats"


def test_a_fault_button_makes_the_next_activation_fail(page: Page, mock: Mock) -> None:
    """One press is one request that goes wrong, once; the rule is then shown as used up and can be removed."""
    page.button("503", "#fault-quick").click()
    page.until(lambda: "0 of 1 time" in page.one("#fault-list").text)
    assert mock.activate(1) == 503
    page.until(lambda: "used up" in page.one("#fault-list").text)
    page.until(lambda: "fault: status" in page.newest())
    assert mock.activate(1) == 200
    page.button("Remove fault 1, status").click()
    page.until(lambda: page.all("#no-faults"))
    assert mock.control("GET", "/faults") == {"faults": []}


def test_an_answer_can_be_lost(page: Page, mock: Mock) -> None:
    """The seat is taken, nobody was told, and the journal says both."""
    page.button("Lose the answer").click()
    page.until(lambda: page.all("#fault-list li"))
    assert mock.activate(1) == 0
    page.until(lambda: page.count() == "1 of 3 seats used, 2 free")
    page.until(lambda: "no answer" in page.newest())
    assert "fault: lost answer" in page.newest()


def test_any_fault_can_be_written(page: Page, mock: Mock) -> None:
    """The form has each kind's own fields, leaves out what is empty, and is answered with the server's sentence."""
    page.failures_expected = True
    page.one("#faults summary").click()
    page.choose("#fault-form [name=fault]", "refuse")
    page.choose("#fault-form [name=reason]", "expired")
    page.choose("#fault-form [name=operation]", "activation")
    page.write("#fault-form [name=deployment]", "MSCL*")
    page.write("#fault-form [name=probability]", "0.5")
    page.button("Add this fault").click()
    page.until(lambda: page.all("#fault-list li"))
    [rule] = mock.control("GET", "/faults")["faults"]
    chosen = ("fault", "reason", "operation", "deployment", "probability", "times")
    assert [rule[name] for name in chosen] == ["refuse", "expired", "activation", "MSCL*", 0.5, None]
    assert "deployment: MSCL*" in page.one("#fault-list").text
    page.choose("#fault-form [name=fault]", "tls handshake")
    page.button("Add this fault").click()
    page.until(lambda: any("plain HTTP" in notice for notice in page.notices()))
    page.button("Remove all…").click()
    page.answer("Remove all")
    page.until(lambda: page.all("#no-faults"))


def test_every_quick_fault_is_one_that_the_server_takes(page: Page, mock: Mock) -> None:
    """No button offers what this server does not know."""
    buttons = page.all("#fault-quick button")
    for count, button in enumerate(buttons, 1):
        button.click()
        page.until(lambda count=count: len(page.all("#fault-list li")) == count)
    assert page.notices() == []
    assert len(mock.control("GET", "/faults")["faults"]) == len(buttons) > 5


def test_a_profile_is_used_with_its_seed(page: Page, mock: Mock) -> None:
    """The choice counts when it is used, is shown with its rules, and decides what the next client gets."""
    page.one("input[value=no-seats]").click()
    assert mock.control("GET", "/profile")["name"] == "calm"
    page.write("#profile-seed", "4711")
    page.button("Use this profile").click()
    page.until(lambda: page.one("#profile-now").text == "no-seats, seed 4711")
    assert mock.control("GET", "/profile") == {"name": "no-seats", "seed": 4711}
    page.until(lambda: len(page.all("#fault-list li")) == 1)
    mock.activate(1)
    page.until(lambda: "no seats" in page.newest())
    mock.control("PUT", "/profile", {"name": "hostile", "seed": 1})
    page.until(lambda: page.one("#profile-now").text == "hostile, seed 1")
    assert page.one("input[value=hostile]").is_selected()


def test_switches_are_flipped_together(page: Page, mock: Mock) -> None:
    """Nothing changes before Apply; what somebody else flips meanwhile is shown, too."""
    page.one("#switches summary").click()
    page.choose("#switch-form [name=unknown_pair]", "error")
    assert mock.control("GET", "/switches")["unknown_pair"] == "404"
    mock.control("PATCH", "/switches", {"release_body": "empty"})
    page.until(lambda: page.one("#switch-form [name=release_body]").get_attribute("value") == "empty")
    page.button("Apply 1").click()
    page.until(lambda: "2 of" in page.one("#switch-summary").text)
    assert mock.control("GET", "/switches")["unknown_pair"] == "error"
    assert mock.deactivate(1) == 200


def test_the_clock_can_be_advanced(page: Page, mock: Mock) -> None:
    """Two days are two days."""
    page.write("#clock-amount", "2")
    page.choose("#clock-unit", "days")
    page.button("Advance").click()
    page.until(lambda: "(+2 d 0 h)" in page.one("#clock-now").text)
    assert mock.control("GET", "/clock")["advanced"] == 172_800


def test_reset_asks_and_then_forgets_everything(page: Page, mock: Mock) -> None:
    """Escape means no."""
    mock.activate(1)
    mock.control("POST", "/faults", {"fault": "hang", "times": 1})
    page.until(lambda: page.all("#fault-list li"))
    page.button("Reset…").click()
    page.until(lambda: page.all("dialog[open]"))
    page.press("\ue00c")
    page.until(lambda: not page.all("dialog[open]"))
    assert mock.used()[FINGERPRINT] == 1
    page.button("Reset…").click()
    page.answer("Reset it")
    page.until(lambda: page.count() == "0 of 3 seats used, 3 free")
    page.until(lambda: page.all("#no-faults"))
    page.until(lambda: not page.rows())
    assert mock.used()[FINGERPRINT] == 0


def test_a_snapshot_goes_out_and_comes_back(page: Page, mock: Mock, tmp_path: Path) -> None:
    """The file holds no key; importing it brings back the seats, and a file that is none is refused in words."""
    page.failures_expected = True
    folder = tmp_path / "downloads"
    page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    mock.activate(1)
    mock.activate(2)
    page.button("Export").click()
    page.until(lambda: list(folder.glob("*.json")))
    [file] = folder.glob("mock-activation-*.json")
    text = file.read_text()
    assert json.loads(text)
    assert text.find(KEY[5:24]) == -1
    mock.control("POST", "/reset")
    page.until(lambda: page.count() == "0 of 3 seats used, 3 free")
    page.one("#snapshot-file").send_keys(str(file))
    page.answer("Import it")
    page.until(lambda: page.count() == "2 of 3 seats used, 1 free")
    assert mock.used()[FINGERPRINT] == 2
    broken = tmp_path / "broken.json"
    broken.write_text("{]")
    page.one("#snapshot-file").send_keys(str(broken))
    page.answer("Import it")
    page.until(lambda: any("not imported: the body is not JSON" in notice for notice in page.notices()))


def test_a_server_that_goes_away_is_seen_and_found_again(browser: Chrome, tmp_path: Path) -> None:
    """The page says that it lost the server, that a button then does nothing, and comes back with the new state."""
    mock = Mock(tmp_path)
    page = Page(browser, mock.control_url)
    page.open()
    page.loaded()
    mock.activate(1)
    page.until(lambda: page.count() == "1 of 3 seats used, 2 free")
    mock.stop()
    page.until(lambda: page.one("#connection").text == "connection lost")
    page.until(lambda: page.all("#offline"))
    assert "What is shown may be old" in page.one("#offline-text").text
    page.button("503", "#fault-quick").click()
    page.until(lambda: "The fault was not added: The server does not answer." in page.notices())
    again = Mock(tmp_path, control_port=mock.control_port)
    try:
        again.activate(1)
        again.activate(2)
        page.until(lambda: page.one("#connection").text == "live")
        page.until(lambda: page.count() == "2 of 3 seats used, 1 free")
        assert not page.all("#offline")
    finally:
        again.stop()


def test_a_token_is_asked_for_and_kept_in_the_tab(browser: Chrome, tmp_path: Path) -> None:
    """Without it nothing is shown; a wrong one is told; the right one is in sessionStorage only."""
    token = "only-this-test-knows-it"
    file = tmp_path / "token"
    file.write_text(token)
    mock = Mock(tmp_path, "--control-token-file", str(file))
    try:
        page = Page(browser, mock.control_url)
        page.open()
        page.until(lambda: page.all("#login"))
        assert page.one("#connection").text == "token wanted"
        page.until(lambda: browser.switch_to.active_element.get_attribute("id") == "token")
        page.press("wrong", "\ue007")
        page.until(lambda: "does not accept" in page.one("#login label").text)
        page.write("#token", token)
        page.press("\ue007")
        page.loaded()
        mock.activate(1)
        page.until(lambda: page.count() == "1 of 3 seats used, 2 free")
        page.driver.refresh()
        page.loaded()
        kept = browser.execute_script("return [Object.values(sessionStorage), localStorage.length, document.cookie]")
        assert kept == [[token], 0, ""]
        assert token not in browser.page_source
        asked = [message["params"]["request"]["url"] for message in page.messages("Network.requestWillBeSent")]
        assert len(asked) > 10
        assert not [url for url in asked if token in url]
    finally:
        browser.execute_script("sessionStorage.clear()")
        mock.stop()


def test_a_page_of_another_site_can_press_no_button(page: Page, mock: Mock) -> None:
    """A request that another origin's script sends in this browser is refused before anything happens."""
    mock.activate(1)
    other = f"http://localhost:{mock.control_port}/health"  # another origin, the same server
    assert socket.gethostbyname("localhost") == "127.0.0.1"
    page.driver.get(other)
    page.driver.execute_script(f"fetch('{mock.control_url}/reset', {{method: 'POST', mode: 'no-cors'}})")
    deadline = time.monotonic() + 5
    asked = []
    while not asked and time.monotonic() < deadline:
        asked = [
            message["params"]["response"]["status"]
            for message in page.messages("Network.responseReceived")
            if message["params"]["response"]["url"].endswith("/reset")
        ]
    page.failures_expected = True
    assert asked == [403]
    assert mock.used()[FINGERPRINT] == 1
