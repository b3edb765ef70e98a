"""Where settings are written: a YAML file, the environment, flags; each yields texts with their origin.

Only collects what was written under which name: no value is interpreted in here, and no value is ever repeated in a
fault, for nobody knows yet whether a key was put in the wrong place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sidecar.config import parse
from sidecar.config.declare import PREFIX
from sidecar.config.settings import SECTIONS, SETTINGS

if TYPE_CHECKING:
    import yaml

FILE_VARIABLE: Final = f"{PREFIX}CONFIG"
_LARGEST_FILE: Final = 1024 * 1024
_BY_VARIABLE: Final = {setting.environment: setting for setting in SETTINGS.values()}
# What Kubernetes injects for a Service called license-sidecar or license-sidecar-http.
_SERVICE_LINK: Final = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_[0-9]+_(TCP|UDP|SCTP)(_\w+)?)$")
_SERVICE_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://", re.IGNORECASE)
_SECRET_WORDS: Final = frozenset({"key", "value", "secret", "password", "token", "apikey", "api_key", "license_key"})
_UNSET: Final = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(frozen=True, slots=True)
class Written:
    """A value as it was written, and where."""

    text: str
    origin: str


@dataclass(slots=True)
class Findings:
    """What is wrong: only ``faults`` keep the program from starting; ``notices`` are no misspelt names."""

    faults: list[str] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``: did you mean X?`` for a misspelt name, or nothing."""
    from difflib import get_close_matches  # noqa: PLC0415 - only a fault needs it

    near = get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f": did you mean {near[0]}?" if near else ""


def from_flags(flags: Mapping[str, str]) -> dict[str, Written]:
    """Return what the flags say; ``flags`` is keyed by the name of the setting."""
    return {name: Written(text, SETTINGS[name].flag) for name, text in flags.items()}


def from_environment(environ: Mapping[str, str], findings: Findings) -> dict[str, Written]:
    """Return what the environment says; unknown names only warn, an empty variable counts as absent."""
    written: dict[str, Written] = {}
    injected: list[str] = []
    for setting in SETTINGS.values():
        if setting.environ and environ.get(setting.environ):
            written[setting.name] = Written(environ[setting.environ], setting.environ)
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        text, setting_or_none = environ[variable], _BY_VARIABLE.get(variable)
        if variable == FILE_VARIABLE or not text:
            continue
        if setting_or_none is not None and not (variable.endswith("_PORT") and _SERVICE_ADDRESS.match(text)):
            written[setting_or_none.name] = Written(text, variable)
        elif _SERVICE_LINK.search(variable):
            injected.append(variable)
        else:
            hint = suggestion(variable, _BY_VARIABLE)
            findings.mistakes.append(f"the environment variable {variable} is no setting and is ignored{hint}")
    if injected:
        findings.notices.append(
            f"ignored what Kubernetes injects for a Service of the sidecar's name ({', '.join(injected)}):"
            " enableServiceLinks: false in the pod switches that off"
        )
    return written


def from_file(path: Path, findings: Findings) -> dict[str, Written]:
    """Return what a YAML file says: sections, or names with points; every scalar is the text that was written.

    ``off``, ``0123`` and ``1:30`` are thus no traps, and a key that stands there twice is a fault.
    """
    import yaml  # noqa: PLC0415 - a quarter of the start-up, needed only with a file

    try:
        content = parse.content(path, _LARGEST_FILE + 1, device=True)
    except OSError as error:
        findings.faults.append(f"--config {path}: cannot be read ({error.strerror})")
        return {}
    except ValueError as error:
        findings.faults.append(f"--config {path}: {error}")
        return {}
    if len(content) > _LARGEST_FILE:
        findings.faults.append(f"--config {path}: is larger than 1 MiB, so it is no settings file")
        return {}
    try:
        root = yaml.compose(content.decode(), Loader=yaml.BaseLoader)
    except UnicodeDecodeError:
        findings.faults.append(f"--config {path}: is not UTF-8")
        return {}
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        findings.faults.append(f"--config {path}{line}: is not YAML ({error.problem})")
        return {}
    except yaml.YAMLError:
        findings.faults.append(f"--config {path}: is not YAML (it contains characters that YAML does not allow)")
        return {}
    reader = _FileReader(path.name, findings)
    if root is not None:
        reader.read(root)
    return reader.written


class _FileReader:
    """Walks one YAML document; never deeper than a section, so a document that contains itself does no harm."""

    def __init__(self, file: str, findings: Findings) -> None:
        self.written: dict[str, Written] = {}
        self._file = file
        self._faults = findings.faults
        self._seen: dict[str, int] = {}

    def read(self, node: yaml.Node, section: str = "") -> None:
        from yaml import MappingNode, ScalarNode  # noqa: PLC0415 - see from_file

        if not isinstance(node, MappingNode):
            if not (isinstance(node, ScalarNode) and node.style is None and node.value in _UNSET):
                what = f"{section} is a section" if section else "the file is a list of settings"
                self._fault(section or "settings", node, f"{what}: write 'name: value' lines in it")
            return
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self._fault(section or "settings", key, "a name must be plain text")
                continue
            name = f"{section}.{key.value}" if section else key.value
            if name in SECTIONS and not section:
                if self._first_time(name, key):
                    self.read(value, name)
            elif name in SETTINGS:
                if self._first_time(name, key):
                    self._take(name, key, value)
            else:
                self._unknown(name, key)

    def _take(self, name: str, key: yaml.Node, value: yaml.Node) -> None:
        from yaml import ScalarNode, SequenceNode  # noqa: PLC0415 - see from_file

        origin = f"{self._file}:{key.start_mark.line + 1}"
        if isinstance(value, ScalarNode):
            text = "" if value.style is None and value.value in _UNSET else value.value
            self.written[name] = Written(text, origin)
        elif isinstance(value, SequenceNode) and all(isinstance(each, ScalarNode) for each in value.value):
            if not SETTINGS[name].kind.values.startswith("list of"):
                self._fault(name, key, "takes one value, not a list")
            else:
                self.written[name] = Written(", ".join(each.value for each in value.value), origin)
        else:
            self._fault(name, key, f"takes a value ({SETTINGS[name].kind.values}), not a section")

    def _unknown(self, name: str, key: yaml.Node) -> None:
        if name.rpartition(".")[2].lower() in _SECRET_WORDS:
            self._fault(
                name,
                key,
                "there is no such setting, and keys are read from files only: see key.dir and app.api_key_file",
            )
            return
        known = [*SETTINGS, *(SECTIONS if "." not in name else ())]
        self._fault(name, key, f"there is no such setting{suggestion(name, known)}")

    def _first_time(self, name: str, key: yaml.Node) -> bool:
        line = key.start_mark.line + 1
        if name in self._seen:
            self._fault(name, key, f"stands there twice, also in line {self._seen[name]}: remove one")
            return False
        self._seen[name] = line
        return True

    def _fault(self, name: str, node: yaml.Node, message: str) -> None:
        self._faults.append(f"{name} ({self._file}:{node.start_mark.line + 1}): {message}")
