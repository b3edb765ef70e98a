"""A real mock as a process, a real browser, and the few things that the tests do with both."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys as Press
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from mock_activation.secrecy import fingerprint

KEY = "ABCD-EFGH-IJKL-MNOP-QRST-UVWX-YZ01"
OTHER_KEY = "ZZZZ-EFGH-IJKL-MNOP-QRST-UVWX-YZ01"
FINGERPRINT, OTHER_FINGERPRINT = fingerprint(KEY), fingerprint(OTHER_KEY)
INSTALL = "apt-get install --no-install-recommends chromium chromium-driver"
PATIENCE = 30.0  # a machine that builds images beside us

Found = TypeVar("Found")


def deployment(number: int) -> str:
    """Return a well-formed deployment ID."""
    return f"MSCL{number * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128:032x}"


class Mock:
    """``mock-activation serve`` as a process."""

    def __init__(self, folder: Path, *options: str, control_port: int = 0) -> None:
        """Start it, and wait until it is ready."""
        keys = folder / "keys.yaml"
        keys.write_text(f"keys:\n  - {{key: {KEY}, seats: 3}}\n  - {{key: {OTHER_KEY}, seats: 120}}\n")
        command = [sys.executable, "-m", "mock_activation", "serve", "--keys", str(keys), "--port", "0"]
        self.process = subprocess.Popen(
            [*command, "--control-port", str(control_port), *options], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.communicate(timeout=10)
            raise RuntimeError("the mock did not start")
        ready = json.loads(line)
        self.url, self.control_url = ready["url"], ready["control_url"]

    @property
    def control_port(self) -> int:
        return int(self.control_url.rpartition(":")[2])

    def stop(self) -> None:
        """End it in good order."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=10)

    def activate(self, number: int, key: str = KEY) -> int:
        """Take a seat as the vendor's client does; return the status, 0 if there was no answer."""
        return self.activate_as(deployment(number), key)

    def activate_as(self, deployment_id: str, key: str = KEY) -> int:
        """Take a seat under this ID."""
        return self._call("activation", {"key": key, "deployment": deployment_id, "quantity": "1"})

    def deactivate(self, number: int, key: str = KEY) -> int:
        """Give it back."""
        return self._call("deactivation", {"key": key, "deployment": deployment(number)})

    def control(self, method: str, path: str, body: object = None, token: str = "") -> Any:
        """Ask the control API."""
        request = urllib.request.Request(self.control_url + path, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.load(response)

    def used(self) -> dict[str, int]:
        """Return the seats taken, by key."""
        return {key["fingerprint"]: key["used"] for key in self.control("GET", "/keys")["keys"]}

    def _call(self, route: str, query: dict[str, str]) -> int:
        try:
            with urllib.request.urlopen(f"{self.url}/{route}?{urlencode(query)}", timeout=5) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:
            return 0


def missing_browser() -> str:
    """Return what to do if there is no browser, otherwise nothing."""
    found = all(shutil.which(name) for name in ("chromium", "chromedriver"))
    return "" if found else f"Chromium and its driver are not here: {INSTALL}"


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """Run a headless browser with an empty profile; it and its driver are gone afterwards."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    folder = tempfile.mkdtemp(prefix="console-browser-")
    for argument in (
        "--headless",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--force-color-profile=srgb",
        "--lang=en",
        f"--user-data-dir={folder}",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(executable_path=shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()
        shutil.rmtree(folder, ignore_errors=True)


class Page:
    """The console in the browser."""

    def __init__(self, driver: webdriver.Chrome, address: str) -> None:
        self.driver = driver
        self.address = address
        self.failures_expected = False
        """The browser notes each answer of 400 and more; a test that provokes them says so."""

    def open(self, *, width: int = 1280, height: int = 900, dark: bool = False, still: bool = True) -> None:
        """Open the console with a screen of this size, and wait until it has read everything."""
        self.screen(width, height, dark=dark, still=still)
        self.driver.get("about:blank")
        self.driver.get_log("performance")
        self.driver.get_log("browser")
        self.driver.get(f"{self.address}/")

    def screen(self, width: int, height: int, *, dark: bool = False, still: bool = True, scale: int = 1) -> None:
        """Pretend to be a screen."""
        phone = width < 600
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone},
        )
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def loaded(self) -> None:
        """Wait until everything was read."""
        self.until(lambda: self.driver.find_elements(By.CSS_SELECTOR, "body[data-loaded][data-connection=live]"))

    def until(self, condition: Callable[[], Found]) -> Found:
        """Wait for something on the page; what is being redrawn is looked at again."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                found = condition()
                if found or time.monotonic() > deadline:
                    assert found, "it did not happen in time"
                    return found
            except Exception as error:
                if time.monotonic() > deadline or "StaleElement" not in type(error).__name__:
                    raise
            time.sleep(0.02)

    def one(self, selector: str) -> WebElement:
        """Return the element."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> Sequence[WebElement]:
        """Return all such elements that can be seen."""
        return [one for one in self.driver.find_elements(By.CSS_SELECTOR, selector) if one.is_displayed()]

    def button(self, text: str, inside: str = "body") -> WebElement:
        """Return the button with this text or name."""
        for one in self.all(f"{inside} button"):
            if text in (one.text, one.get_attribute("aria-label")):
                return one
        raise AssertionError(f"there is no button {text}")

    def card(self, key_fingerprint: str = FINGERPRINT) -> str:
        """Return how a key's card is selected."""
        return f'#key-list > [data-key="{key_fingerprint}"]'

    def count(self, key_fingerprint: str = FINGERPRINT) -> str:
        """Return what the card says about the seats."""
        return self.one(f"{self.card(key_fingerprint)} .count").text

    def rows(self) -> list[str]:
        """Return the texts of the journal's rows, newest first."""
        script = "return [...document.querySelectorAll('#journal-rows tr')].map(row => row.innerText)"
        return list(self.driver.execute_script(script))

    def newest(self) -> str:
        """Return the text of the journal's first row."""
        return next(iter(self.rows()), "")

    def choose(self, selector: str, text: str) -> None:
        """Choose from a list by the visible text."""
        Select(self.one(selector)).select_by_visible_text(text)

    def write(self, selector: str, text: str) -> None:
        """Put a text into a field."""
        field = self.one(selector)
        field.clear()
        field.send_keys(text)

    def notices(self) -> list[str]:
        """Return what the page says did not work."""
        return [notice.text for notice in self.all("#notices p")]

    def press(self, *keys: str) -> None:
        """Press keys on whatever has the focus."""
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def answer(self, text: str) -> None:
        """Press a button of the question that is asked."""
        self.until(lambda: self.all("dialog[open]"))
        self.button(text, "dialog").click()

    def expect_quiet(self) -> None:
        """Fail if the browser complained: an error of the script, something that the policy forbids, a failed load."""
        entries = [
            (entry["source"], entry["message"])
            for entry in self.driver.get_log("browser")
            if entry["level"] == "SEVERE" and not (self.failures_expected and entry["source"] == "network")
        ]
        assert not entries

    def messages(self, method: str) -> list[dict[str, Any]]:
        """Return what the browser told about the network under this name (none: all), since it was asked last."""
        told = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [message for message in told if method in ("", message["method"])]


__all__ = [
    "FINGERPRINT",
    "INSTALL",
    "KEY",
    "OTHER_FINGERPRINT",
    "OTHER_KEY",
    "Mock",
    "Page",
    "Press",
    "chromium",
    "deployment",
    "missing_browser",
]
