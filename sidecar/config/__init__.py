"""The settings: read once from file, environment and flags into a frozen ``Config``, or one error with every fault.

Every command imports this, so it loads neither YAML (unless a file is named) nor any library for settings; one that
stops at the first fault was the reason to have none. Only ``wiring`` and the commands may import it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from sidecar.config.declare import LedgerKind, LogFormat, LogLevel, Rotation, Setting
from sidecar.config.kubernetes import resolve_ledger
from sidecar.config.rules import FAULTS, WARNINGS, judge
from sidecar.config.settings import SECTIONS, SETTINGS, Config
from sidecar.config.sources import FILE_VARIABLE, Findings, Written, from_environment, from_file, from_flags
from sidecar.core.policy import Mode
from sidecar.errors import Misconfigured
from sidecar.secrets import MASKER

__all__ = [
    "SETTINGS",
    "Config",
    "LedgerKind",
    "LogFormat",
    "LogLevel",
    "Misconfigured",
    "Rotation",
    "Setting",
    "Surroundings",
    "load",
]

_LONGEST_SHOWN: Final = 60


def _host_name() -> str:
    return os.uname().nodename


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the settings depend on besides what people write: taken from the process, or given."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    host_name: str = field(default_factory=_host_name)


def load(
    flags: Mapping[str, str] = MappingProxyType({}),
    *,
    file: str | None = None,
    surroundings: Surroundings | None = None,
) -> Config:
    """Return the effective settings: defaults, then ``file``, then the environment, then ``flags`` (later wins).

    ``flags`` maps names of settings to texts. Raises ``Misconfigured`` with every fault at once.
    """
    around = surroundings or Surroundings()
    findings = Findings()
    file = file or around.environ.get(FILE_VARIABLE)
    written = {
        **(from_file(Path(file), findings) if file else {}),
        **from_environment(around.environ, findings),
        **from_flags(flags),
    }
    values: dict[str, Any] = {}
    unreadable: set[str] = set()
    for name, each in written.items():
        try:
            values[name] = SETTINGS[name].kind.read(each.text)
        except ValueError as error:
            unreadable.add(name)
            findings.faults.append(_fault(SETTINGS[name], each, str(error)))
    origins = {name: written[name].origin if name in written else "default" for name in SETTINGS}
    config = _found_out(_assemble(values, origins), around, unreadable)
    findings.faults.extend(judge(FAULTS, config, frozenset(unreadable)))
    findings.notices.extend(judge(WARNINGS, config, frozenset(unreadable)))
    mistakes, notices = (tuple(map(MASKER.mask, found)) for found in (findings.mistakes, findings.notices))
    if findings.faults:
        misconfigured = Misconfigured(*(MASKER.mask(fault) for fault in findings.faults))
        for mistake in mistakes:  # a misspelt variable may be why another setting is missing
            misconfigured.add_note(mistake)
        raise misconfigured
    return replace(config, mistakes=mistakes, notices=notices)


def _fault(setting: Setting, written: Written, message: str) -> str:
    if setting.kind.secretive or not written.text:
        return f"{setting.name} ({written.origin}): {message}"
    # Masked before it is cut, or half a key would pass.
    text = MASKER.mask(written.text)
    if len(text) > _LONGEST_SHOWN:
        text = text[:_LONGEST_SHOWN] + "..."
    return f"{setting.name} ({written.origin}): {text!r}: {message}"


def _assemble(values: Mapping[str, Any], origins: Mapping[str, str]) -> Config:
    sections = {
        section: made(
            **{name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{section}.")}
        )
        for section, made in SECTIONS.items()
    }
    top = {name: value for name, value in values.items() if "." not in name}
    return Config(**sections, **top, origins=MappingProxyType(dict(origins)))


def _found_out(config: Config, around: Surroundings, unreadable: set[str]) -> Config:
    """Fill in what depends on the place: the instance's name, the records' namespace, what ``auto`` means."""
    values = {name: config.value(name) for name in SETTINGS}
    origins = dict(config.origins)
    if not config.pod.name and "pod.name" not in unreadable:
        with suppress(ValueError):  # the rule about pod.name tells it
            values["pod.name"], origins["pod.name"] = SETTINGS["pod.name"].kind.read(around.host_name), "host name"
    if not config.ledger.namespace and config.pod.namespace:
        values["ledger.namespace"], origins["ledger.namespace"] = config.pod.namespace, "pod.namespace"
    if config.mode is Mode.ONLINE:
        values["ledger.kind"] = resolve_ledger(config.ledger.kind, config.ledger.account_dir)
        if config.ledger.kind is LedgerKind.AUTO:
            origins["ledger.kind"] += " (auto)"
    return _assemble(values, origins)
