"""One browser for all tests, and a mock of its own for each."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("selenium") is None:
    # "make test-browser" brings it, in an environment of its own; whoever runs pytest elsewhere is not bothered.
    collect_ignore_glob = ["test_*.py"]
else:
    from selenium.webdriver import Chrome

    from tests.browser.console import Mock, Page, chromium, missing_browser

    @pytest.fixture(scope="session")
    def browser() -> Iterator[Chrome]:
        """Start the browser, or say how it is installed."""
        if missing := missing_browser():
            if os.environ.get("CI"):
                pytest.fail(missing, pytrace=False)
            pytest.skip(missing)
        with chromium() as driver:
            yield driver

    @pytest.fixture
    def mock(browser: Chrome, tmp_path: Path) -> Iterator[Mock]:
        """Start a mock with a key of three seats and one of 120."""
        mock = Mock(tmp_path)
        yield mock
        mock.stop()

    @pytest.fixture
    def page(browser: Chrome, mock: Mock) -> Iterator[Page]:
        """Open the console; at the end nothing must have been complained about in the browser's own console."""
        page = Page(browser, mock.control_url)
        page.open()
        page.loaded()
        yield page
        page.expect_quiet()
        browser.get("about:blank")
