"""Reads what the chart hands to ``init-secrets``: the plan (YAML), and the folder of the values that were given.

Every fault is told at once. A message names files and fields, never what is in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sidecar.errors import Misconfigured
from sidecar.operate.secrets_plan import Kind, Wanted, given_value

if TYPE_CHECKING:
    import yaml

_LARGEST: Final = 1024 * 1024
_NAME: Final = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_FIELD: Final = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_KNOWN: Final = frozenset({"release", "chart", "secrets"})
_KNOWN_OF_ONE: Final = frozenset({"name", "kind", "labels"})


@dataclass(frozen=True, slots=True)
class Plan:
    """Whose Secrets, and which."""

    release: str
    secrets: tuple[Wanted, ...]


def read(plan: Path, given: Path | None) -> Plan:
    """Return the plan with the values of the folder. Raises ``Misconfigured`` with every fault."""
    faults: list[str] = []
    found = _plan(_tree(plan, faults), str(plan), faults)
    if given is not None and not faults:
        found = replace(found, secrets=tuple(_filled(found.secrets, given, faults)))
    if faults:
        raise Misconfigured(*faults)
    return found


def _tree(path: Path, faults: list[str]) -> Any:
    """Return the file as mappings, lists and texts: every scalar is a text, and no name stands there twice."""
    import yaml  # noqa: PLC0415 - only this command and import read YAML

    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            faults.append(f"{path}: it is larger than {_LARGEST} bytes")
            return None
        return _plain(yaml.compose(content.decode("utf-8-sig"), Loader=yaml.SafeLoader), str(path), faults)
    except OSError as error:
        faults.append(f"{path}: {error.strerror}")
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        faults.append(f"{path}: it is no YAML")
    return None


def _plain(node: yaml.Node | None, where: str, faults: list[str]) -> Any:
    import yaml  # noqa: PLC0415 - the same

    match node:
        case yaml.MappingNode():
            made: dict[str, Any] = {}
            for key, value in node.value:
                name = str(key.value)
                if name in made:
                    faults.append(f"{where}: line {key.start_mark.line + 1}: {name} stands there twice")
                made[name] = _plain(value, where, faults)
            return made
        case yaml.SequenceNode():
            return [_plain(value, where, faults) for value in node.value]
        case yaml.ScalarNode():
            return node.value
        case _:
            return None


def _plan(tree: Any, where: str, faults: list[str]) -> Plan:
    if not isinstance(tree, dict):
        if not faults:
            faults.append(f"{where}: it is no mapping with release and secrets")
        return Plan("", ())
    faults.extend(f"{where}: there is no such entry: {name}" for name in tree if name not in _KNOWN)
    release, entries = tree.get("release"), tree.get("secrets")
    if not isinstance(release, str) or not release.strip():
        faults.append(f"{where}: release is missing: the name of the release whose Secrets these are")
        release = ""
    if not isinstance(entries, list) or not entries:
        faults.append(f"{where}: secrets is missing: a list of name and kind")
        entries = []
    secrets = [made for number, it in enumerate(entries, 1) if (made := _wanted(it, f"{where}: {number}.", faults))]
    names = [it.name for it in secrets]
    faults.extend(f"{where}: the Secret {it} stands there twice" for it in dict.fromkeys(names) if names.count(it) > 1)
    return Plan(release.strip(), tuple(secrets))


def _wanted(entry: Any, where: str, faults: list[str]) -> Wanted | None:
    if not isinstance(entry, dict):
        faults.append(f"{where} entry of secrets: it is no mapping of name, kind and labels")
        return None
    before = len(faults)
    where = f"{where} entry of secrets"
    name, kind, labels = str(entry.get("name", "")), entry.get("kind"), entry.get("labels") or {}
    faults.extend(f"{where}: there is no such entry: {it}" for it in entry if it not in _KNOWN_OF_ONE)
    if not _NAME.fullmatch(name):
        faults.append(f"{where}: name is no name of a Secret")
    known = next((it for it in Kind if it == kind), None)
    if known is None:
        faults.append(f"{where}: kind is none of {', '.join(Kind)}")
    if not isinstance(labels, dict) or not all(isinstance(it, str) for it in labels.values()):
        faults.append(f"{where}: labels is no mapping of texts")
    return Wanted(name=name, kind=known, labels=labels) if known and len(faults) == before else None


def _filled(secrets: Sequence[Wanted], folder: Path, faults: list[str]) -> Iterator[Wanted]:
    """Yield the Secrets with what the files ``NAME.FIELD`` of the folder give for them."""
    kinds = {it.name: it.kind for it in secrets}
    values: dict[str, dict[str, bytes]] = {name: {} for name in kinds}
    for file in _files(folder, faults):
        # A name may have dots in it: the longest name that fits is meant.
        fitting = (name for name in kinds if file.name.startswith(f"{name}."))
        name = max(fitting, key=len, default="")
        field = file.name[len(name) + 1 :]
        if not name or not _FIELD.fullmatch(field):
            faults.append(f"{file}: no Secret of the plan is meant: it should be named SECRET.FIELD")
            continue
        try:
            value = given_value(kinds[name], field, _content(file))
        except OSError as error:
            faults.append(f"{file}: {error.strerror}")
        except ValueError as fault:
            faults.append(f"{file}: {fault}")
        else:
            if value:
                values[name][field] = value
    for it in secrets:
        yield replace(it, given=values[it.name])


def _files(folder: Path, faults: list[str]) -> list[Path]:
    try:
        # What begins with a dot is the kubelet's own: the folders behind the files of a mounted Secret.
        return sorted(it for it in folder.iterdir() if not it.name.startswith(".") and it.is_file())
    except OSError as error:
        faults.append(f"{folder}: {error.strerror}")
        return []


def _content(file: Path) -> bytes:
    with file.open("rb") as opened:
        content = opened.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError(f"it is larger than {_LARGEST} bytes, and no Secret can hold it")
    return content
