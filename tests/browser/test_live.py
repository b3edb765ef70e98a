"""What the console shows while clients of the mock do what they do, over real HTTP."""

from pathlib import Path

from selenium.webdriver import Chrome

from tests.browser.console import FINGERPRINT, OTHER_FINGERPRINT, OTHER_KEY, Mock, Page, deployment


def test_a_browser_is_led_to_the_page_and_a_program_is_not(page: Page, mock: Mock) -> None:
    """The root of the control port is the console for people and a list of routes for programs."""
    assert page.driver.current_url == f"{mock.control_url}/console/"
    assert "GET /state" in mock.control("GET", "/")["routes"]


def test_keys_and_bars_follow_the_seats(page: Page, mock: Mock) -> None:
    """Each key has its fingerprint, state and bar; all change when a client takes or gives back a seat."""
    assert page.count() == "0 of 3 seats used, 3 free"
    assert [card.get_attribute("data-key") for card in page.all("#key-list > *")] == [FINGERPRINT, OTHER_FINGERPRINT]
    mock.activate(1)
    mock.activate(2)
    page.until(lambda: page.count() == "2 of 3 seats used, 1 free")
    bar = page.one(f"{page.card()} .bar")
    assert bar.get_attribute("aria-valuenow") == "2"
    assert len(page.all(f"{page.card()} .cell.on")) == 2
    assert len(page.all(f"{page.card()} .cell")) == 3
    assert page.one("#total").text == "2 of 123"
    ids = [row.text for row in page.all(f"{page.card()} .seats .id")]
    assert ids == [deployment(1), deployment(2)]
    mock.deactivate(1)
    page.until(lambda: page.count() == "1 of 3 seats used, 2 free")
    assert [row.text for row in page.all(f"{page.card()} .seats .id")] == [deployment(2)]


def test_ages_and_contacts_go_on(page: Page, mock: Mock) -> None:
    """A seat's age and last contact grow by themselves, and a client that comes back is a new contact."""
    mock.activate(1)
    mock.control("POST", "/clock", {"advance": 7200})
    page.until(lambda: page.all(f"{page.card()} .taken") and "2 h 0 min ago" in page.one(f"{page.card()} .taken").text)
    assert "2 h 0 min ago" in page.one(f"{page.card()} .contact").text
    mock.activate(1)
    page.until(lambda: "min" not in page.one(f"{page.card()} .contact").text)
    assert "2 h 0 min ago" in page.one(f"{page.card()} .taken").text
    page.until(lambda: "(+2 h 0 min)" in page.one("#clock-now").text)


def test_a_changed_key_is_shown(page: Page, mock: Mock) -> None:
    """State and seats that somebody changes elsewhere are shown, also when more seats are taken than there are."""
    mock.activate(1)
    mock.activate(2)
    mock.control("PATCH", f"/keys/{FINGERPRINT}", {"seats": 1, "state": "suspended", "expires": "2030-02-03"})
    page.until(lambda: page.count() == "2 of 1 seat used, 1 too many")
    head = page.one(f"{page.card()} .keyhead").text
    assert "suspended" in head
    assert "2030-02-03" in head


def test_the_time_line_is_drawn_from_history_and_events(page: Page, mock: Mock) -> None:
    """Steps that were before the page was opened and those after it are told alike; what was taken away is marked."""

    def strip() -> str:
        return page.one(f'.strip[data-fingerprint="{FINGERPRINT}"] svg').get_attribute("aria-label") or ""

    for number in (1, 2, 3):
        mock.activate(number)
    mock.deactivate(3)
    page.until(lambda: "now 2 of 3, highest 3; 3 seats taken, 1 released, 0 taken away" in strip())
    page.driver.refresh()
    page.loaded()
    page.until(lambda: "now 2 of 3, highest 3; 3 seats taken, 1 released, 0 taken away" in strip())
    mock.control("POST", "/force-release", {"key_fingerprint": FINGERPRINT, "deployment": deployment(1)})
    page.until(lambda: "now 1 of 3, highest 3; 3 seats taken, 1 released, 1 taken away" in strip())
    assert len(page.all(".strip path.forced")) == 1
    steps = page.one(f'.strip[data-fingerprint="{FINGERPRINT}"] path.line').get_attribute("d") or ""
    assert steps.count("V") == 5


def test_the_journal_is_live_and_can_be_filtered(page: Page, mock: Mock) -> None:
    """New requests come in at the top; operation, outcome and a part of the deployment ID narrow them."""
    mock.activate(1)
    mock.activate(2)
    mock.deactivate(1)
    mock.deactivate(9)
    page.until(lambda: len(page.rows()) == 4)
    assert deployment(9) in page.newest()
    assert "not active" in page.newest()
    page.choose("#filter-operation", "deactivation")
    page.until(lambda: len(page.rows()) == 2)
    assert page.one("#journal-summary").text == "2 of 4 requests match"
    page.choose("#filter-outcome", "released")
    page.until(lambda: len(page.rows()) == 1)
    assert deployment(1) in page.newest()
    page.choose("#filter-outcome", "all")
    page.choose("#filter-operation", "all")
    page.one("#filter-deployment").send_keys(deployment(2)[-8:].upper())
    page.until(lambda: len(page.rows()) == 1)
    assert deployment(2) in page.newest()


def test_a_paused_journal_holds_still_and_loses_nothing(page: Page, mock: Mock) -> None:
    """What comes while it is paused is counted, and there when it goes on."""
    mock.activate(1)
    page.until(lambda: len(page.rows()) == 1)
    page.button("Pause").click()
    mock.activate(2)
    mock.activate(3)
    page.until(lambda: "paused, 2 newer" in page.one("#journal-summary").text)
    assert len(page.rows()) == 1
    assert page.one("#journal-pause").get_attribute("aria-pressed") == "true"
    page.button("Pause").click()
    page.until(lambda: len(page.rows()) == 3)


def test_clearing_the_journal_clears_it_on_the_server(page: Page, mock: Mock) -> None:
    """It asks first; then both the page and the server have forgotten, and the seats are still there."""
    mock.activate(1)
    page.until(lambda: len(page.rows()) == 1)
    page.button("Clear…").click()
    page.answer("Leave it")
    assert len(mock.control("GET", "/journal")["entries"]) == 1
    page.button("Clear…").click()
    page.answer("Clear it")
    page.until(lambda: not page.rows())
    assert mock.control("GET", "/journal")["entries"] == []
    assert mock.used()[FINGERPRINT] == 1


def test_a_crowd_is_counted_right(page: Page, mock: Mock) -> None:
    """After 150 quick requests the bar, the list and the journal say what the server says."""
    for number in range(150):
        mock.activate(number, OTHER_KEY)
    page.until(lambda: page.count(OTHER_FINGERPRINT) == "120 of 120 seats used, none free")
    page.until(lambda: page.one("#journal-summary").text == "150 requests")
    card = page.card(OTHER_FINGERPRINT)
    assert len(page.all(f"{card} .seats .id")) == 10
    page.button("Show more (10 of 120)").click()
    page.button("Show more (110 of 120)").click()
    assert len(page.all(f"{card} .seats .id")) == 120


def test_what_a_client_sends_never_becomes_markup(browser: Chrome, tmp_path: Path) -> None:
    """A deployment ID that looks like HTML is shown as text."""
    mock = Mock(tmp_path, "--deployment-ids", "any")
    try:
        page = Page(browser, mock.control_url)
        page.open()
        page.loaded()
        hostile = "<img/src=x/onerror=document.title='broken'>"
        mock.activate_as(hostile)
        page.until(lambda: [row.text for row in page.all(".seats .id")] == [hostile])
        assert hostile in page.newest()
        assert page.driver.title == "Mock activation server"
        page.expect_quiet()
    finally:
        mock.stop()
