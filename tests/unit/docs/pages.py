"""Reads the project's pages as a browser of them does: headings with their anchors, links, blocks of code.

Only what the pages of this project use is known; it must not guess at the rest of Markdown.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[3]
_NOT_OURS: Final = ("build", "dist", "node_modules", "site-packages")
_FENCE: Final = re.compile(
    r"^(?P<fence>```+|~~~+)(?P<kind>[\w-]*)[^\n]*\n(?P<code>.*?)^(?P=fence)\s*$", re.MULTILINE | re.DOTALL
)
_LINK: Final = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_HEADING: Final = re.compile(r"^#{1,6}[ ]+(.+?)[ ]*#*$", re.MULTILINE)


class Block(NamedTuple):
    """A block of code: what stands behind its fence, and its text."""

    kind: str
    code: str


def pages() -> list[Path]:
    """Return every page of the project, without those of environments and builds."""
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [it for it in folders if it == ".github" or not (it.startswith(".") or it in _NOT_OURS)]
        found += [Path(folder, file) for file in files if file.endswith(".md")]
    return sorted(found)


def text(page: Path) -> str:
    """Return a page's text."""
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> list[Block]:
    """Return the blocks of code of a page."""
    return [Block(it["kind"], it["code"]) for it in _FENCE.finditer(text(page))]


def prose(page: Path) -> str:
    """Return a page's text without its blocks of code and without code within lines."""
    return re.sub(r"`[^`\n]*`", "``", _FENCE.sub("", text(page)))


def links(page: Path) -> list[str]:
    """Return where a page's links lead, pictures included."""
    return _LINK.findall(prose(page).replace("\n", " "))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them: the second of the same text ends with -1."""
    seen: Counter[str] = Counter()
    made = set()
    for heading in _HEADING.findall(_FENCE.sub("", text(page))):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        made.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return made | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text(page)))


def target(page: Path, link: str) -> tuple[Path, str] | None:
    """Return the file and the anchor that a relative link leads to; None where it leads out of the project."""
    if re.match(r"[a-z][a-z0-9+.-]*:", link):
        return None
    path, _, anchor = link.partition("#")
    return (page.parent / path).resolve() if path else page, anchor
