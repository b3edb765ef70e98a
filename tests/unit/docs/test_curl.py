"""Every `curl` of the docs can be typed as it stands: its address is whole, and no shell takes a part of it away."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from tests.unit.docs.pages import ROOT, blocks, pages, text

_CURL: Final = re.compile(r"(?<![\w/.-])curl ((?:'[^']*'|\"[^\"]*\"|[^|;)}>#'\"\n])+)")
_WORD: Final = re.compile(r"(?:'[^']*'|\"[^\"]*\"|[^\s'\"])+")
_TAKES_A_VALUE: Final = re.compile(
    r"-[dHXowm]|--(?:data|data-urlencode|header|max-time|output|request|write-out)", re.ASCII
)
_VARIABLE: Final = re.compile(r"\$(?:URL|CONTROL)(?=/)")


def addresses(line: str) -> list[str]:
    """Return the addresses that the calls of curl in a line name, as they are written."""
    found = []
    for call in _CURL.findall(line.replace("`", "\n")):
        words = _WORD.findall(call)
        options = {at for at, word in enumerate(words) if word.startswith("-")}
        values = {at + 1 for at in options if _TAKES_A_VALUE.fullmatch(words[at])}
        found += [word for at, word in enumerate(words) if at not in options | values]
    return found


def typed(page: Path) -> list[str]:
    """Return what a page tells people to type: the lines of its blocks, and code within lines."""
    lines = "\n".join(block.code for block in blocks(page)).replace("\\\n", " ").splitlines()
    return [it for it in lines + re.findall(r"`([^`\n]+)`", text(page)) if not it.startswith("curl:")]


PAGES: Final = [page for page in pages() if "curl " in text(page)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_address_is_whole_and_quoted(page: Path) -> None:
    """Scheme, host and path; in quotes, for a `?` is a pattern to a shell and a `&` the end of the command."""
    for address in (it for line in typed(page) for it in addresses(line)):
        assert re.fullmatch(r"\"[^\"]+\"|'[^']+'", address), f"{address}: not in quotes"
        parts = urlsplit(_VARIABLE.sub("http://127.0.0.1:8081", address[1:-1], count=1))
        assert parts.scheme in {"http", "https"}, f"{address}: no whole address"
        assert parts.hostname, f"{address}: no host"


def test_the_calls_are_found() -> None:
    """The test above does not pass because it saw nothing, and would see what is wrong."""
    seen = {page.name: [it for line in typed(page) for it in addresses(line)] for page in PAGES}
    assert {"operations.md", "runbook.md", "container.md", "icap-app.md", "mock.md"} <= {
        n for n, it in seen.items() if it
    }
    assert len(seen["test-your-own-script.md"]) > 5
    assert addresses("curl :9480/readyz?verbose       # the reasons") == [":9480/readyz?verbose"]
    assert addresses("then curl -X PATCH host/x -H 'A: b' -d '{\"c\": \"d\"}' | head") == ["host/x"]
