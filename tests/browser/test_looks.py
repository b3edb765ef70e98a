"""That everybody can use it: on a phone, in the dark, without a mouse, with little sight, without motion."""

from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.console import FINGERPRINT, OTHER_KEY, Mock, Page, deployment

CONTRAST = """
const parse = (color) => { const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number); return { r, g, b, a }; };
const channel = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const light = ({ r, g, b }) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
function behind(element) {
  for (let one = element; one; one = one.parentElement) {
    const color = parse(getComputedStyle(one).backgroundColor);
    if (color.a === 1) return color;
  }
  return { r: 255, g: 255, b: 255 };
}
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  const text = walker.currentNode.textContent.trim();
  if (!text || !element.checkVisibility() || element.closest(".unseen, .skip")) continue;
  const style = getComputedStyle(element);
  const [a, b] = [parse(element instanceof SVGElement ? style.fill : style.color), behind(element)].map(light);
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  found.push([Math.round(ratio * 100) / 100, text.slice(0, 30), element.className]);
}
return found;
"""
REACHABLE = """
const all = [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]')].filter(
  (one) => one.checkVisibility({ visibilityProperty: true }) && !one.disabled && one.tabIndex >= 0);
return all.filter((one) => one.type !== "radio" || one.checked);
"""


def busy(page: Page, mock: Mock) -> None:
    """Fill the page with all that it can show."""
    for number in (1, 2, 3, 4):
        mock.activate(number)
    for number in range(30):
        mock.activate(number, OTHER_KEY)
    mock.control("POST", "/force-release", {"key_fingerprint": FINGERPRINT, "deployment": deployment(2)})
    mock.control("PATCH", f"/keys/{FINGERPRINT}", {"state": "suspended"})
    mock.control("PATCH", "/switches", {"release_body": "empty"})
    mock.control("PUT", "/profile", {"name": "hostile", "seed": 7})
    mock.control("POST", "/faults", {"fault": "lost-answer", "times": 1, "deployment": "MSCL*"})
    page.until(lambda: page.count() == "2 of 3 seats used, 1 free")
    page.until(lambda: len(page.all("#fault-list li")) > 20)
    for summary in page.all("summary"):
        summary.click()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_can_be_read(page: Page, mock: Mock, dark: bool) -> None:
    """Each text has at least the contrast of WCAG AA (4.5 to 1), in both schemes, messages and questions included."""
    page.screen(1280, 900, dark=dark)
    page.failures_expected = True
    busy(page, mock)
    page.choose("#fault-form [name=fault]", "tls handshake")
    page.button("Add this fault").click()
    page.until(page.notices)
    page.button("Reset…").click()
    found = page.driver.execute_script(CONTRAST)
    assert len(found) > 200
    assert [one for one in found if one[0] < 4.5] == []
    dark_page = page.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, dark_page[4:-1].split(","))) < 60) is dark


@pytest.mark.parametrize("width", [320, 360, 768, 1024, 1600])
def test_nothing_is_wider_than_the_screen(page: Page, mock: Mock, width: int) -> None:
    """No screen has to be scrolled sideways, and on a phone every control is big enough for a thumb."""
    page.screen(width, 800)
    busy(page, mock)
    wide = """
        return [document.documentElement.scrollWidth - document.documentElement.clientWidth,
          [...document.querySelectorAll('main *, header *, nav *')]
            .filter((one) => one.checkVisibility() && !one.closest('.unseen'))
            .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
            .map((one) => one.outerHTML.slice(0, 80))]
    """
    assert page.driver.execute_script(wide) == [0, []]
    if width < 700:
        heights = page.driver.execute_script(
            "return [...document.querySelectorAll('button, select, input:not([type=radio]):not([type=file])')]"
            ".filter((one) => one.checkVisibility()).map((one) => one.offsetHeight)"
        )
        assert min(heights) >= 24  # WCAG 2.2, target size (minimum)


def test_every_control_is_reached_with_the_tab_key(page: Page, mock: Mock) -> None:
    """From the top to the end of the page, in the order in which it is read, each with a visible focus."""
    mock.activate(1)
    mock.control("POST", "/faults", {"fault": "hang", "times": 1})
    page.until(lambda: page.all("#fault-list li") and page.all(".seats .action button"))
    page.driver.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    wanted = page.driver.execute_script(REACHABLE)
    seen: list[Any] = []
    unseen_focus: list[str] = []
    for _ in range(len(wanted) + 5):
        page.press(Keys.TAB)
        element = page.driver.switch_to.active_element
        if element.tag_name == "body" or element in seen:
            break
        seen.append(element)
        style = "const one = getComputedStyle(arguments[0]); return one.outlineStyle + ' ' + one.outlineWidth"
        if page.driver.execute_script(style, element) in ("none 0px", "none 2px", "none 3px"):
            unseen_focus.append(element.get_attribute("outerHTML") or "")
    assert seen == wanted
    assert unseen_focus == []
    assert len(seen) > 40


def test_all_can_be_done_with_the_keyboard_alone(page: Page, mock: Mock) -> None:
    """A seat is taken away and a fault added with Tab, Enter and Space; the focus is never lost to the top."""
    mock.activate(1)
    mock.activate(2)
    page.until(lambda: len(page.all(".seats .action button")) == 2)
    release = page.button(f"Release the seat of {deployment(1)}")
    page.driver.execute_script("arguments[0].focus()", release)
    page.press(Keys.ENTER)
    page.until(lambda: page.all("dialog[open]"))
    assert page.driver.switch_to.active_element.text == "Leave it"
    page.press(Keys.TAB)
    page.press(Keys.ENTER)
    page.until(lambda: page.count() == "1 of 3 seats used, 2 free")
    focused = page.driver.switch_to.active_element
    assert focused.get_attribute("aria-label") == f"Release the seat of {deployment(2)}"
    page.driver.execute_script("document.querySelector('#fault-quick button').focus()")
    page.press(Keys.SPACE)
    page.until(lambda: page.all("#fault-list li"))
    assert page.driver.switch_to.active_element.text == "Lose the answer"
    assert mock.activate(3) == 0


def test_the_focus_stays_while_the_page_changes(page: Page, mock: Mock) -> None:
    """Seats that come and go elsewhere do not take the focus from a button, nor the text from a field."""
    mock.activate(1)
    page.until(lambda: page.all(".seats .action button"))
    release = page.button(f"Release the seat of {deployment(1)}")
    page.driver.execute_script("arguments[0].focus()", release)
    mock.activate(2)
    page.until(lambda: page.count() == "2 of 3 seats used, 1 free")
    assert page.driver.switch_to.active_element == release
    page.one("#filter-deployment").send_keys("MSC")
    mock.activate(3)
    page.until(lambda: page.count() == "3 of 3 seats used, none free")
    page.press("L")
    assert page.one("#filter-deployment").get_attribute("value") == "MSCL"


def test_whoever_wants_no_motion_gets_none(page: Page, mock: Mock) -> None:
    """The bars change at once, and softly only for the others."""

    def duration() -> str:
        return str(
            page.driver.execute_script("return getComputedStyle(document.querySelector('.cell')).transitionDuration")
        )

    assert duration() == "0s"
    page.screen(1280, 900, still=False)
    assert duration() != "0s"


def test_changes_are_said_aloud(page: Page, mock: Mock) -> None:
    """A screen reader hears the connection, a changed count and what did not work, but not each line of the journal."""
    mock.activate(1)
    page.until(
        lambda: page.one("#announcements").get_attribute("textContent") == f"Key {FINGERPRINT}: 1 of 3 seats used"
    )
    assert page.one("#connection").get_attribute("role") == "status"
    assert page.one("#notices").get_attribute("role") == "alert"
    assert (
        page.driver.execute_script("return document.querySelector('#journal-rows').closest('[aria-live], [role=log]')")
        is None
    )
    unnamed = """
        return [...document.querySelectorAll('button, input, select, [role=meter], [role=img], section')]
          .filter((one) => one.checkVisibility() && !one.textContent.trim())
          .filter((one) => !one.labels?.length && !one.getAttribute('aria-label')).map((one) => one.outerHTML)
    """
    assert page.driver.execute_script(unnamed) == []
