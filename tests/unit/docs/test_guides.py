"""The guides say what the code does: commands and flags, settings and values, states, alerts, labels, sums."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sidecar.adapters import lease_record
from sidecar.cli import COMMANDS
from sidecar.cli.parser import Parser
from sidecar.config import SETTINGS
from sidecar.core.view import READY, Stage
from tests.unit.docs.pages import ROOT, blocks, prose, text

NAMES: Final = ("operations", "kubernetes", "migration", "upgrade", "publishing", "container", "rbac")
GUIDES: Final = [ROOT / "README.md", ROOT / "charts" / "icap" / "README.md"] + [
    ROOT / "docs" / f"{it}.md" for it in NAMES
]
OPERATIONS: Final = ROOT / "docs" / "operations.md"
VALUES: Final = yaml.safe_load(text(ROOT / "charts" / "icap" / "values.yaml"))
_FOREIGN: Final = re.compile(
    r"\.(md|ya?ml|json|py|tpl|txt|sh|opswat\.com|io|toml|crt|key|uid|alive|lock)$|^(spec|org|sh\.helm|sidecar\.__version__|checksum)\b"
)
"""Files, hosts, fields of Kubernetes: no settings."""


def guides() -> list[Any]:
    """Return the guides."""
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in GUIDES]


def exists(path: str, at: Any = VALUES) -> bool:
    """Tell whether the chart has a value of this path."""
    for part in path.split("."):
        if not isinstance(at, dict) or part not in at:
            return False
        at = at[part]
    return True


def typed(page: Path) -> list[list[str]]:
    """Return what a page tells people to type after `license-sidecar`, in words."""
    lines = "\n".join(block.code for block in blocks(page)).replace("\\\n", " ").splitlines()
    lines += re.findall(r"`([^`\n]+)`", text(page))
    found = []
    for line in lines:
        if line.startswith(("license-sidecar ", "kubectl ")) and "license-sidecar" in line:
            words = shlex.split(line.partition(" #")[0].replace("…", "..."), posix=True)
            at = len(words) - 1 - words[::-1].index("license-sidecar") if "license-sidecar" in words else len(words)
            if words[at + 1 :] and words[at - 1] != "-c":
                found.append(words[at + 1 :])
    return found


def parser_of(command: str) -> Parser:
    """Return a command's parser."""
    parser = Parser(prog=command)
    importlib.import_module(f"sidecar.cli.{COMMANDS[command].module}").configure(parser)
    return parser


@pytest.mark.parametrize("page", guides())
def test_commands_and_flags_exist(page: Path) -> None:
    """Who types what a guide says gets no usage error."""
    for command, *words in typed(page):
        if command.startswith("-") or command.isupper():
            continue
        assert command in COMMANDS, f"license-sidecar {command}"
        flags = {word.partition("=")[0] for word in words if word.startswith("--")}
        known = set(parser_of(command)._option_string_actions)
        assert flags <= known, f"license-sidecar {command}: {flags - known}"


def test_the_operations_guide_is_read() -> None:
    """The test above does not pass because it saw nothing."""
    assert {words[0] for words in typed(OPERATIONS)} >= {"status", "list", "release", "reclaim", "import"}
    assert any("--ledger-kind" in words for words in typed(OPERATIONS))


@pytest.mark.parametrize("page", guides())
def test_settings_and_values_exist(page: Path) -> None:
    """A name with a dot in it is a setting of the sidecar or a value of the chart."""
    named = {it for it in re.findall(r"`([a-z]\w*(?:\.\w+)+)(?:`|: )", text(page)) if not _FOREIGN.search(it)}
    assert [it for it in sorted(named) if it not in SETTINGS and not exists(it)] == []


@pytest.mark.parametrize("page", guides())
def test_make_targets_exist(page: Path) -> None:
    """`make WHAT` is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z][\w-]*):", text(ROOT / "Makefile"), re.MULTILINE))
    spoken = "\n".join([*re.findall(r"`([^`\n]+)`", text(page)), *(block.code for block in blocks(page))])
    for line in re.findall(r"(?:^|&& )make ([^#&\n]+)", spoken, re.MULTILINE):
        words = [word for word in line.split() if re.fullmatch(r"[a-z][\w-]*", word)]
        assert set(words) <= targets, line


def test_every_state_is_explained_with_its_readiness() -> None:
    """The table of states has a row for each, and says whether it is ready."""
    table = text(OPERATIONS).split("| state | meaning")[1].split("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| (yes|no)", table, re.MULTILINE)
    assert dict(rows) == {stage.value: "yes" if stage in READY else "no" for stage in Stage}


def test_every_alert_has_its_first_step() -> None:
    """The operations guide leads from each alert into the runbook."""
    rules = yaml.safe_load(text(ROOT / "charts" / "icap" / "files" / "alerts.yaml"))
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    told = re.findall(r"\[(License\w+)\]\(runbook\.md#(\w+)\)", prose(OPERATIONS).split("What to do on an alert")[-1])
    assert {name for name, _ in told} == alerts
    assert all(anchor == name.lower() for name, anchor in told)


@pytest.mark.parametrize("page", [OPERATIONS, ROOT / "docs" / "kubernetes.md"], ids=lambda page: page.name)
def test_leases_are_found_by_the_labels_that_they_carry(page: Path) -> None:
    """The selector and the columns of the commands are those that are written into the records."""
    assert f"{lease_record.COMPONENT}={lease_record.MARKS[lease_record.COMPONENT]}" in text(page)
    assert lease_record.PHASE in text(page)


def test_the_grace_period_is_computed_as_told() -> None:
    """The sum in the guide is that of the chart's defaults."""
    parts = [VALUES["app"]["preStopSeconds"], VALUES["app"]["stopSeconds"], VALUES["sidecar"]["shutdownBudgetSeconds"]]
    said = re.search(
        r"`app.preStopSeconds` (\d+) \+ `app.stopSeconds` (\d+) \+ .*? (\d+) \+ 5 = (\d+)", text(OPERATIONS)
    )
    assert said
    assert [int(it) for it in said.groups()] == [*parts, sum(parts) + 5]


def test_writes_a_second_are_what_the_renewals_make() -> None:
    """The table of fleets has pods divided by the time between two renewals; there is one, to which the guide leads."""
    assert "| pods that share a ledger" not in text(OPERATIONS)
    assert "](scale.md#settings-to-use)" in text(OPERATIONS)
    table = text(ROOT / "docs" / "scale.md").split("| pods that share a ledger")[1].split("\n\n")[0]
    rows = re.findall(r"up to ([\d,]+) \| (\d+) (s|m), (\d+) (s|m)[^|]*\| up to (\d+) \|", table)
    assert len(rows) == 3
    for pods, renew, unit, lease, of_lease, writes in rows:
        seconds = int(renew) * {"s": 1, "m": 60}[unit]
        assert round(int(pods.replace(",", "")) / seconds) == int(writes)
        assert int(lease) * {"s": 1, "m": 60}[of_lease] > 3 * seconds
