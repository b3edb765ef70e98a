"""What a setting is, and the words of those settings that the core does not decide by.

The settings themselves stand in ``settings``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from sidecar.config import parse

PREFIX: Final = "LICENSE_SIDECAR_"


class Rotation(StrEnum):
    """In which order a new key replaces the old one (rule 9)."""

    ACTIVATE_FIRST = "activate-first"
    RELEASE_FIRST = "release-first"


class LedgerKind(StrEnum):
    """Where seat records live; ``auto`` is resolved while the settings are read."""

    AUTO = "auto"
    KUBERNETES = "kubernetes"
    FILE = "file"


class LogFormat(StrEnum):
    """How a log line looks; ``auto`` is text on a terminal and json elsewhere."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    """The least urgent level that is still written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as file, environment, flags and docs know it.

    ``default`` is written as a person would write it. ``environ`` is a further environment variable, of lower rank
    than the setting's own. ``reason`` says why the default is what it is, or what goes wrong with another.
    """

    name: str
    kind: parse.Kind[Any]
    default: str
    help: str
    reason: str
    environ: str
    shown_default: str

    @property
    def environment(self) -> str:
        """Return the name of its environment variable."""
        return PREFIX + self.name.upper().replace(".", "_")

    @property
    def flag(self) -> str:
        """Return its flag."""
        return "--" + self.name.replace(".", "-").replace("_", "-")

    @property
    def section(self) -> str:
        """Return the part of the name before the point, empty for ``mode``."""
        return self.name.rpartition(".")[0]


def declare(
    kind: parse.Kind[Any], default: str, meaning: str, *, reason: str = "", environ: str = "", shown: str = ""
) -> Any:
    """Return the dataclass field of a setting, whose default goes through the same parser as everything else."""
    declared = {
        "kind": kind,
        "default": default,
        "help": meaning,
        "reason": reason,
        "environ": environ,
        "shown_default": shown,
    }
    return field(default=kind.read(default), metadata={"setting": declared})
