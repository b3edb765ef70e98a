"""Writes ``values.schema.json`` and the table of ``README.md`` of the chart from the comments in its ``values.yaml``.

One source, so that what is documented, what is accepted and what is the default cannot differ; a test fails when either
is stale. A comment above a key tells its meaning; lines that begin with ``#:`` are YAML that adds to its JSON Schema.
The schema is closed: a name that is not in ``values.yaml`` is an error of the user's, not a wish that nobody hears.
And it is whole: Helm takes a key away whose value is null, so every name is required that does not allow null itself.
Generators that exist (helm-docs, helm-schema) are programs of their own, of two makers, with two ways to write it down.

Run ``python docs/make_chart_docs.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from sidecar.config import SETTINGS

CHART: Final = Path(__file__).parents[1] / "charts" / "icap"
VALUES: Final = CHART / "values.yaml"
SCHEMA: Final = CHART / "values.schema.json"
README: Final = CHART / "README.md"
BEGIN: Final = "<!-- Made from values.yaml by docs/make_chart_docs.py. -->\n"
END: Final = "<!-- End of what is made from values.yaml. -->\n"

OF_THE_CHART: Final = frozenset(
    {"mode", "activation.url", "activation.route", "activation.ca_file", "key.dir", "key.seats"}
    | {"app.url", "app.api_key_file", "app.ca_file", "app.container", "refused.dir"}
    | {"shutdown.budget", "shutdown.drain", "http.port"}
)
"""Settings that the chart computes, besides all of ``ledger`` and ``pod``: a second opinion could only contradict."""

_TYPES: Final = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "null": "null"}


class Undocumented(Exception):  # noqa: N818 - it says what is wrong with values.yaml
    """A value without a comment, or one whose type its default does not tell."""


@dataclass(frozen=True, slots=True)
class Value:
    """One key of ``values.yaml``: ``children`` is None for a leaf."""

    path: str
    meaning: str
    extra: dict[str, Any]
    default: Any
    children: tuple[Value, ...] | None


def read(text: str) -> tuple[Value, ...]:
    """Return the values that a file declares, in its order."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(node, yaml.MappingNode):
        raise Undocumented("values.yaml is no mapping")
    return tuple(_values(node, text.splitlines(), ""))


def _values(mapping: yaml.MappingNode, lines: list[str], prefix: str) -> Iterator[Value]:
    for key, node in mapping.value:
        path = f"{prefix}{key.value}"
        meaning, extra = _comment(lines, key.start_mark.line, key.start_mark.column)
        default = _plain(node)
        is_open = "additionalProperties" in extra and isinstance(node, yaml.MappingNode) and path != "global"
        if isinstance(node, yaml.MappingNode) and node.value and not is_open:
            yield Value(path, meaning, extra, default, tuple(_values(node, lines, f"{path}.")))
            continue
        if not meaning:
            raise Undocumented(f"{path} has no comment")
        yield Value(path, meaning, extra, default, None)


def _plain(node: yaml.Node) -> Any:
    return yaml.load(yaml.serialize(node), Loader=yaml.SafeLoader)


def _comment(lines: list[str], line: int, column: int) -> tuple[str, dict[str, Any]]:
    """Return the comment right above a line, at the same indentation: its words, and what it adds to the schema."""
    block: list[str] = []
    start = " " * column + "#"
    while line > 0 and lines[line - 1].startswith(start):
        line -= 1
        block.insert(0, lines[line][len(start) :])
    words = " ".join(it.strip() for it in block if not it.startswith(":"))
    schema = yaml.safe_load("\n".join(it[1:] for it in block if it.startswith(":"))) if block else None
    return words, schema or {}


def schema(values: tuple[Value, ...]) -> dict[str, Any]:
    """Return the JSON Schema of the whole (draft 7: Helm 3.8 knows no later one)."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "md-icapsrv",
        **_closed(values),
    }


def _closed(values: tuple[Value, ...]) -> dict[str, Any]:
    names = {value.path.rpartition(".")[2]: value for value in values}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [name for name, value in names.items() if not _may_be_null(value)],
        "properties": {name: _one(value) for name, value in names.items()},
    }


def _may_be_null(value: Value) -> bool:
    types = value.extra.get("type", ())
    return "null" in types if isinstance(types, list) else value.default is None


def _one(value: Value) -> dict[str, Any]:
    about = {"description": value.meaning} if value.meaning else {}
    if value.children is not None:
        return {**about, **_closed(value.children), **value.extra}
    if value.extra.get("settings"):
        return {**about, **_settings(), "default": value.default}
    if "enum" in value.extra or "type" in value.extra:
        return {**about, **value.extra, "default": value.default}
    match value.default:
        case None:
            raise Undocumented(f"{value.path}: a value whose default is null must tell its type")
        case dict():
            if "additionalProperties" not in value.extra:
                raise Undocumented(f"{value.path}: an empty map must tell what may be in it")
            derived: dict[str, Any] = {"type": "object"}
        case list():
            if "items" not in value.extra:
                raise Undocumented(f"{value.path}: a list must tell what may be in it")
            derived = {"type": "array"}
        case other:
            derived = {"type": _TYPES[type(other).__name__]}
    return {**about, **derived, **value.extra, "default": value.default}


def _settings() -> dict[str, Any]:
    """Return the sidecar's settings that a user of the chart may set, by section."""
    sections: dict[str, dict[str, Any]] = {}
    for name, setting in SETTINGS.items():
        section, _, short = name.rpartition(".")
        if name in OF_THE_CHART or section in {"ledger", "pod"}:
            continue
        sections.setdefault(section, {})[short] = {
            "description": f"{setting.help} ({setting.kind.values}; default {setting.default or 'none'})",
            "type": ["string", "number", "boolean"],
            **({"type": ["string", "array"], "items": {"type": "string"}} if "list of" in setting.kind.values else {}),
        }
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            section: {"type": "object", "additionalProperties": False, "properties": fields}
            for section, fields in sections.items()
        },
    }


def table(values: tuple[Value, ...]) -> str:
    """Return the README's tables: the values without a section first, then one table for each section."""
    return "\n".join(_tables(values)) + "\n"


def _tables(values: tuple[Value, ...]) -> Iterator[str]:
    yield from _table("General", "", [it for it in values if it.children is None])
    for value in values:
        if value.children is not None:
            yield from _table(f"`{value.path}`", value.meaning, list(_leaves(value.children)))


def _leaves(values: tuple[Value, ...]) -> Iterator[Value]:
    for value in values:
        if value.children is None:
            yield value
        else:
            yield from _leaves(value.children)


def _table(title: str, meaning: str, rows: list[Value]) -> Iterator[str]:
    yield f"### {title}"
    if meaning:
        yield meaning
        yield ""
    yield "| value | default | meaning |"
    yield "|---|---|---|"
    for value in rows:
        choices = [
            it
            for it in value.extra.get("enum", ())
            if it not in ("", value.default) and not (it is False and "off" in value.extra["enum"])
        ]
        cells = (f"`{value.path}`", _shown(value.default), value.meaning + _choices(choices))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _choices(choices: list[Any]) -> str:
    shown = ", ".join(f"`{str(it).lower() if isinstance(it, bool) else it}`" for it in choices)
    return f" Or {shown}." if shown else ""


def _shown(default: Any) -> str:
    text = json.dumps(default, ensure_ascii=False)
    return "" if default == "" else f"`{default}`" if isinstance(default, str) else f"`{text}`"


def pages() -> dict[Path, str]:
    """Return what the files should hold."""
    values = read(VALUES.read_text(encoding="utf-8"))
    readme = README.read_text(encoding="utf-8")
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return {
        SCHEMA: json.dumps(schema(values), indent=1, ensure_ascii=False) + "\n",
        README: f"{before}{BEGIN}\n{table(values)}{END}{after}",
    }


def main() -> None:
    """Write both."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
