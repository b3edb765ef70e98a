"""Takes the pictures of the console for the docs: a small fleet that grows, rolls over, and meets a fault.

    python -m tests.browser.screenshots docs/images

The minutes in the pictures pass on the mock's own clock, so this takes seconds.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.browser.console import FINGERPRINT, OTHER_FINGERPRINT, OTHER_KEY, Mock, Page, chromium, missing_browser
from tests.browser.console import deployment as name

WIDTH, PHONE = 1280, 390


def live(mock: Mock) -> None:
    """Play five minutes of a fleet."""

    def later(seconds: float) -> None:
        mock.control("POST", "/clock", {"advance": seconds})

    mock.control("PATCH", f"/keys/{FINGERPRINT}", {"seats": 4, "expires": "2027-01-31"})
    mock.control("PATCH", f"/keys/{OTHER_FINGERPRINT}", {"seats": 16, "expires": "2027-06-30"})
    later(20)
    for number in range(12):
        mock.activate(100 + number, OTHER_KEY)
        later(4)
    for number in range(3):
        mock.activate(number)
        later(12)
    for number in range(8):  # a rolling update
        mock.activate(200 + number, OTHER_KEY)
        later(3)
        mock.deactivate(100 + number, OTHER_KEY)
        later(5)
    mock.control("POST", "/force-release", {"key_fingerprint": FINGERPRINT, "deployment": name(0)})
    later(15)
    mock.control("PUT", "/profile", {"name": "no-seats", "seed": 42})
    mock.activate(7)
    mock.control("PUT", "/profile", {"name": "calm", "seed": 42})
    later(9)
    mock.control("POST", "/faults", {"fault": "lost-answer", "operation": "activation", "times": 2})
    mock.control("POST", "/faults", {"fault": "delay", "seconds": 2.5, "deployment": "MSCL*", "probability": 0.1})
    mock.activate(3)
    later(6)
    mock.deactivate(9)
    mock.activate(4)
    mock.activate(4)
    for number in range(8, 12):
        mock.deactivate(100 + number, OTHER_KEY)
        later(2)


def main(folder: Path) -> int:
    """Write the pictures."""
    if missing := missing_browser():
        sys.stderr.write(f"{missing}\n")
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work, chromium() as browser:
        mock = Mock(Path(work))
        try:
            live(mock)
            page = Page(browser, mock.control_url)
            page.open(width=WIDTH, height=900)
            page.loaded()
            for kind, dark in (("light", False), ("dark", True)):
                page.screen(WIDTH, height(page, 900), dark=dark)
                shoot(page, folder / f"console-{kind}.png")
            page.screen(PHONE, 844, scale=2)
            browser.execute_script("scrollTo(0, 0)")
            shoot(page, folder / "console-phone.png")
        finally:
            mock.stop()
    return 0


def height(page: Page, least: int) -> int:
    """Return how high a screen must be to show the whole page."""
    return max(least, int(page.driver.execute_script("return document.documentElement.scrollHeight")))


def shoot(page: Page, file: Path) -> None:
    """Take a picture of what is on the screen, and make it small if there is a tool for it."""
    time.sleep(0.3)  # a frame with the new size must have been drawn
    page.driver.save_screenshot(str(file))
    pngquant = shutil.which("pngquant")
    if pngquant is None:
        sys.stderr.write("the pictures are three times as big as need be: apt-get install pngquant\n")
        return
    subprocess.run(
        [pngquant, "--force", "--strip", "--speed", "1", "--output", str(file), "128", str(file)], check=True
    )


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
