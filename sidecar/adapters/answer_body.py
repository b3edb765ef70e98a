"""Reads the body of the activation server's answers: markup, YAML outline, sentences for people.

The body decides what an answer means (protocol.md section 1), so this is the one place that looks into it. It never
builds the document: it walks the parser's events, bounded in number. Aliases and merge keys can thus not be expanded
(a "billion laughs" costs nothing), no tag is obeyed, and deep nesting cannot exhaust a stack.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
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

_BEGINS_LIKE_MARKUP: Final = re.compile(r"[\s\ufeff\x00-\x1f]*<")
_PAGE: Final = re.compile(
    r"<!--|<\s*/?(?:[\w-]{1,20}:)?"
    r"(?:!doctype|html|head|body|title|meta|script|style|noscript|iframe|frameset|form|div|table|center|h1)(?![\w-])",
    re.IGNORECASE,
)
"""What stands in pages and in no answer of this server, whatever they call themselves."""
_ELEMENT: Final = re.compile(
    r"</?(?:a|abbr|b|base|big|blockquote|br|button|code|em|font|footer|h[1-6]|header|hr|i|img|input|label|li|link|main"
    r"|nav|object|ol|p|pre|section|select|small|span|strong|sub|sup|svg|t[dhrt]|tbody|thead|u|ul)(?:\s[^<>]{0,1000})?/?>",
    re.IGNORECASE,
)
"""A tag that may also stand in the sentence of an answer."""
_TAG: Final = re.compile(r"<[a-zA-Z!/?]")
_MARKED_UP_TYPE: Final = re.compile(r"html|xml", re.IGNORECASE)

_BOMS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_CHARSET: Final = re.compile(
    r"""charset\s*=\s*["']?(utf-?16(?:-?[bl]e)?|us-ascii|iso-8859-\d{1,2}|latin-?\d|(?:windows-|cp)125\d)(?![\w-])""",
    re.IGNORECASE,
)
"""Those that a web server may declare for a text; UTF-8 is tried in any case."""
_UTF8_DECLARED: Final = re.compile(r"""charset\s*=\s*["']?utf-?8""", re.IGNORECASE)
_NO_TEXT: Final = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")

_BEYOND_ASCII: Final = bytes(range(128, 256))

_PLAIN_ERROR: Final = re.compile(r"(?:[ \t]*(?:#[^\n]*|---[ \t\r]*)?\r?\n)*[ \t]*error:(.*)")
_ERROR_WORD: Final = re.compile(r"""^[\s"'{]*errors?\b|(?<!\bno )(?<!\b0 )(?<!\bwithout )\berror\b""", re.IGNORECASE)
_ERROR_KEY: Final = re.compile(r"""(?:^|[\s{\[,"'])err(?:ors?)?["']?\s*[:=]""", re.IGNORECASE)
_ERROR_KEYS: Final = frozenset({"error", "errors", "err"})
_NO_ERROR: Final = frozenset({"", "null", "~", "false"})
"""What stands in the field of an error where there is none."""
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

    def has_page(self) -> bool:
        """Tell whether a value holds a web page: JSON may write "<" as an escape, which no look at the body sees."""
        return any(_PAGE.search(value.text) for value in self.values)

    def complains(self) -> bool:
        """Tell whether the top level is a failure in anybody's format."""
        return self._fails() or any(True for _ in self._errors())

    def succeeds(self) -> bool:
        """Tell whether the top level says that it is a success, and every error in it is none."""
        said_so = not self._fails() and self.under("success").casefold() == "true"
        return said_so and all(error.casefold() in _NO_ERROR for error in self._errors())

    def _fails(self) -> bool:
        return self.under("success").casefold() in {"false", "no", "0"} or self.under("status").casefold() in {
            "error",
            "fail",
            "failed",
            "failure",
        }

    def _errors(self) -> Iterator[str]:
        return (self.under(key) for key in self.keys or () if key.casefold() in _ERROR_KEYS)

    def under(self, key: str) -> str:
        """Return all texts below this top-level key, as one line."""
        return " ".join(value.text for value in self.values if value.top == key and value.text)


def decode(body: bytes, content_type: str = "") -> str:
    """Return the body as text: by its byte order mark, as UTF-8, or by the charset that was declared.

    UTF-8 comes before the declaration: servers declare their default over files that are UTF-8, and hardly any other
    text is UTF-8 by accident. Without a declaration, mostly ASCII is read as windows-1252, as browsers do. Raises
    ``BodyError`` for what is no text.
    """
    for mark, charset in _BOMS:
        if body.startswith(mark):
            return _decoded(body[len(mark) :], charset, empty=charset == "utf-8")
    declared = _CHARSET.search(content_type)
    charset = declared[1].lower() if declared is not None else ""
    if not charset.startswith("utf"):
        try:
            return _insist_on_text(body.decode())
        except UnicodeDecodeError:
            ascii_bytes = len(body.translate(None, delete=_BEYOND_ASCII))
            if not charset and (_UTF8_DECLARED.search(content_type) or 2 * ascii_bytes < len(body)):
                raise BodyError("it is not UTF-8 text") from None
    if charset in {"utf-16", "utf16"}:
        charset = "utf-16-le"  # as browsers do; with a mark it is known above
    return _decoded(body, "cp1252" if charset in {"", "us-ascii", "iso-8859-1", "latin1", "latin-1"} else charset)


def _decoded(body: bytes, charset: str, *, empty: bool = True) -> str:
    try:
        text = body.decode(charset)
    except (UnicodeDecodeError, LookupError) as error:
        raise BodyError("it is no text in the charset that it claims to be in") from error
    if not text and not empty:
        raise BodyError("it is a byte order mark and nothing else")
    return _insist_on_text(text)


def _insist_on_text(text: str) -> str:
    if _NO_TEXT.search(text):
        raise BodyError("it is no text")
    return text


def is_page(text: str) -> bool:
    """Tell whether this is a web page, or holds one: HTML never confirms anything (design.md section 4, rule 5).

    The content type alone makes none: servers that know no better send everything as ``text/html``.
    """
    return "<" in text and (_BEGINS_LIKE_MARKUP.match(text) is not None or _PAGE.search(text) is not None)


def has_element(text: str) -> bool:
    """Tell whether a tag that HTML knows stands anywhere in this text."""
    return "<" in text and (_ELEMENT.search(text) is not None or _PAGE.search(text) is not None)


def has_tag(text: str) -> bool:
    """Tell whether anything stands in this text that looks like a tag."""
    return _TAG.search(text) is not None


def is_markup_type(content_type: str) -> bool:
    """Tell whether the body is declared to be HTML or XML."""
    return _MARKED_UP_TYPE.search(content_type) is not None


def plain_error(text: str) -> str:
    """Return the sentence of a text that begins with ``error:`` but is no YAML, or nothing.

    An unquoted sentence with a colon in it is one, and so is one with an apostrophe between apostrophes. A sentence
    whose closing quotation mark is missing was cut off, so it is none.
    """
    found = _PLAIN_ERROR.match(text[:_LOOKED_AT])
    if found is None:
        return ""
    said = found[1].strip()
    quote = said[:1] if said[:1] in {"'", '"'} else ""
    if quote and (len(said) < 2 or not text.rstrip().endswith(quote)):  # noqa: PLR2004 - an opening and a closing one
        return ""
    said = said.removeprefix(quote).removesuffix(quote).strip()
    return said if any(letter.isalpha() for letter in said) else ""


def complains(text: str, tree: Outline | None) -> bool:
    """Tell whether a body speaks of an error: "take any body without `error`" (protocol.md section 1).

    A mapping does by its keys, in anybody's format: ``error`` in any case, ``success: false``. JSON with ``success:
    true`` does not by an ``error`` that is null, false or empty. The values of JSON are left alone; other text does by
    the word too.
    """
    if "err" not in text.casefold():
        return tree is not None and tree.complains()
    if tree is None or tree.keys is None:
        return _ERROR_WORD.search(text) is not None or _ERROR_KEY.search(text) is not None
    json = is_json(text, tree)
    if tree.complains():
        return not (json and tree.succeeds())
    return not json and _ERROR_WORD.search(text) is not None


def is_json(text: str, tree: Outline | None) -> bool:
    """Tell whether a body is well-formed JSON, or YAML that is written like it."""
    return tree is not None and text.lstrip()[:1] in {"{", "["}


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
