"""Reads the body of the activation server's answers: markup, YAML outline, sentences for people.

The body decides what an answer means (protocol.md section 1), so this is the one place that looks into it. It never
builds the document: it walks the parser's events, bounded in number. Aliases and merge keys can thus not be expanded
(a "billion laughs" costs nothing), no tag is obeyed, and deep nesting cannot exhaust a stack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import yaml

from sidecar.secrets import MASKER

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml: the same answers, slower
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

EVENT_LIMIT: Final = 20_000
"""More than any licence file needs, 30 ms at worst: the event loop waits meanwhile."""
DEPTH_LIMIT: Final = 64
"""libyaml's effort grows with the square of the depth: 1 MiB of "[" kept it busy for a second."""
SENTENCE_LIMIT: Final = 300
_LOOKED_AT: Final = 8192
_LONGEST_SECRET: Final = 256

_MARKUP: Final = re.compile(
    r"<\s*(?:!doctype|html|head|body|title|meta|script|style|div|table|center|h1)\b", re.IGNORECASE
)
_TAG_DIRECTIVE: Final = re.compile(r"^%TAG\b", re.MULTILINE)
"""No licence needs one, and 1 MiB of them kept libyaml busy for three seconds before its first event."""
_SPACE_AND_CONTROL: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


class BodyError(ValueError):
    """The body is no text, or no YAML that can be relied on; its text names no content."""


@dataclass(frozen=True, slots=True)
class Value:
    """A plain value: below which top-level key, how deep, under which key of its own (in a list: the list's)."""

    top: str
    depth: int
    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Outline:
    """What is needed of a YAML body: ``keys`` of the top-level mapping (None: it is none), and its plain values."""

    keys: tuple[str, ...] | None
    values: tuple[Value, ...]

    def first(self, key: str) -> str:
        """Return the outermost value of this key, or an empty text."""
        found = [value for value in self.values if value.key == key]
        return min(found, key=lambda value: value.depth).text if found else ""

    def under(self, key: str) -> str:
        """Return all texts below this top-level key, as one line."""
        return " ".join(value.text for value in self.values if value.top == key and value.text)


def decode(body: bytes) -> str:
    """Return the body as text. Raises ``BodyError`` for anything but UTF-8."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BodyError("it is not UTF-8 text") from error


def is_markup(text: str, content_type: str) -> bool:
    """Tell whether this is a web page: HTML never confirms anything (design.md section 4, rule 5).

    A body that starts like markup is one whatever it calls itself; ``text/html`` alone is not enough, because servers
    that know no better send everything under it.
    """
    start = text.lstrip()[:1]
    if start == "<":
        return True
    return "html" in content_type.lower() and _MARKUP.search(text) is not None


def outline(text: str) -> Outline:
    """Walk through a YAML text (JSON is YAML too). Raises ``BodyError`` if it is not well-formed or too large."""
    if _TAG_DIRECTIVE.search(text):
        raise BodyError("it has a %TAG directive")
    walk = _Walk()
    try:
        for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
            walk.take(event)
            if count > EVENT_LIMIT or walk.depth > DEPTH_LIMIT:
                raise BodyError("it is too large or too deep a document")
    except yaml.YAMLError as error:
        raise BodyError("it is not well-formed YAML") from error
    return Outline(tuple(walk.keys) if walk.is_mapping else None, tuple(walk.values))


def sentence(text: str) -> str:
    """Return a server's text as one line for people: masked, without control characters, trimmed."""
    head = MASKER.mask(text[:_LOOKED_AT])
    if len(text) > _LOOKED_AT:
        head = head[:-_LONGEST_SECRET]  # a key that was cut in two is not recognised
    line = _SPACE_AND_CONTROL.sub(" ", head).strip()
    return line if len(line) <= SENTENCE_LIMIT else f"{line[: SENTENCE_LIMIT - 1]}…"


class _Level:
    """A collection that is open; ``key`` is None while a mapping expects a key."""

    __slots__ = ("key", "mapping")

    def __init__(self, key: str | None, *, mapping: bool) -> None:
        self.key = key
        self.mapping = mapping


class _Walk:
    """Follows the parser's events through the first document."""

    def __init__(self) -> None:
        self.is_mapping = False
        self.keys: list[str] = []
        self.values: list[Value] = []
        self._levels: list[_Level] = []
        self._documents = 0

    @property
    def depth(self) -> int:
        """Return how many collections are open."""
        return len(self._levels)

    def take(self, event: yaml.Event) -> None:
        """Fold one event. Documents after the first must be well-formed, nothing else."""
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
        elif self._documents != 1:
            return
        elif isinstance(event, yaml.MappingStartEvent):
            self.is_mapping = self.is_mapping or not self._levels
            self._levels.append(_Level(None, mapping=True))
        elif isinstance(event, yaml.SequenceStartEvent):
            self._levels.append(_Level(self._levels[-1].key if self._levels else "", mapping=False))
        elif isinstance(event, yaml.CollectionEndEvent):
            self._levels.pop()
            self._node("")
        elif isinstance(event, yaml.ScalarEvent):
            self._node(event.value)
        elif isinstance(event, yaml.AliasEvent):
            self._node("")

    def _node(self, text: str) -> None:
        """Fold a node that is complete, a collection as an empty text: keys and values alternate in a mapping."""
        if not self._levels:
            return
        level = self._levels[-1]
        if level.mapping and level.key is None:
            level.key = text
            if self.depth == 1:
                self.keys.append(text)
            return
        if text:
            self.values.append(Value(self._levels[0].key or "", self.depth, level.key or "", text))
        if level.mapping:
            level.key = None
