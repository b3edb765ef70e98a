"""The plan of ``init-secrets`` and the values that were given: read as they are meant, or every fault at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.cli.plan_file import read
from sidecar.errors import Misconfigured
from sidecar.operate.secrets_plan import Kind

GOOD = """
release: 007
chart: md-icapsrv
secrets:
  - {name: a, kind: api-key, labels: {team: 1, on: yes}}
  - {name: a.b, kind: opaque}
  - name: license
    kind: license-key
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """Return a good plan."""
    file = tmp_path / "plan.yaml"
    file.write_text(GOOD)
    return file


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """Return an empty folder for what is given."""
    folder = tmp_path / "given"
    folder.mkdir()
    return folder


def faults(plan: Path, given: Path | None = None) -> list[str]:
    """Return the faults without the files' folder."""
    with pytest.raises(Misconfigured) as told:
        read(plan, given)
    return [it.replace(str(plan.parent) + "/", "") for it in told.value.faults]


def test_every_scalar_of_the_plan_is_a_text(plan: Path) -> None:
    """A release may be called 007, a label may say yes."""
    found = read(plan, None)
    assert found.release == "007"
    assert [(it.name, it.kind) for it in found.secrets] == [
        ("a", Kind.API_KEY),
        ("a.b", Kind.OPAQUE),
        ("license", Kind.LICENSE),
    ]
    assert found.secrets[0].labels == {"team": "1", "on": "yes"}


def test_a_given_value_belongs_to_the_longest_name_that_fits(plan: Path, given: Path) -> None:
    """Names and fields may have dots; what the kubelet puts beside the files is none, and empty is not given."""
    for name, text in {"a.value": " k \n", "a.b.c.d": "1", "license.value": "", "license.previous": "# none\n"}.items():
        (given / name).write_text(text)
    (given / "..2026").mkdir()
    (given / "..data").symlink_to("..2026")
    (given / "folder").mkdir()
    found = {it.name: it.given for it in read(plan, given).secrets}
    assert found == {"a": {"value": b"k"}, "a.b": {"c.d": b"1"}, "license": {}}


def test_everything_that_is_wrong_with_a_plan_is_told_at_once(plan: Path) -> None:
    """With the line or the entry, and what may stand there."""
    plan.write_text(
        "chart: x\nchart: y\nsecret: []\nsecrets:\n"
        "  - {name: Not_One, kind: key, label: {}}\n"
        "  - {name: a, kind: opaque, labels: {x: [1]}}\n"
        "  - {name: b, kind: opaque}\n"
        "  - {name: b, kind: opaque}\n"
        "  - text\n"
    )
    assert faults(plan) == [
        "plan.yaml: line 2: chart stands there twice",
        "plan.yaml: there is no such entry: secret",
        "plan.yaml: release is missing: the name of the release whose Secrets these are",
        "plan.yaml: 1. entry of secrets: there is no such entry: label",
        "plan.yaml: 1. entry of secrets: name is no name of a Secret",
        f"plan.yaml: 1. entry of secrets: kind is none of {', '.join(Kind)}",
        "plan.yaml: 2. entry of secrets: labels is no mapping of texts",
        "plan.yaml: 5. entry of secrets: it is no mapping of name, kind and labels",
        "plan.yaml: the Secret b stands there twice",
    ]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "plan.yaml: it is no mapping with release and secrets"),
        (b"[1]", "plan.yaml: it is no mapping with release and secrets"),
        (b"a: [", "plan.yaml: it is no YAML"),
        (b"\xff", "plan.yaml: it is no YAML"),
        (b"release: r\nsecrets: []", "plan.yaml: secrets is missing: a list of name and kind"),
        (b"#" * (1024 * 1024 + 1), "plan.yaml: it is larger than 1048576 bytes"),
    ],
)
def test_what_is_no_plan_is_told_once(content: bytes, fault: str, plan: Path) -> None:
    """One sentence."""
    plan.write_bytes(content)
    assert faults(plan) == [fault]


def test_a_plan_or_a_folder_that_is_not_there_is_told(plan: Path, given: Path) -> None:
    """By its path."""
    assert faults(plan.with_name("other")) == ["other: No such file or directory"]
    assert faults(plan, given / "absent") == ["given/absent: No such file or directory"]


def test_everything_that_is_wrong_with_given_values_is_told_without_them(plan: Path, given: Path) -> None:
    """A value that nobody planned for would be lost, and several lines are no key."""
    for name, text in {
        "license.value": "one\ntwo",
        "b.value": "three",
        "a.": "four",
        "a.f/".strip("/"): "five",
    }.items():
        (given / name).write_text(text)
    (given / "a.b.big").write_bytes(b"x" * (1024 * 1024 + 1))
    told = faults(plan, given)
    assert told == [
        "given/a.: no Secret of the plan is meant: it should be named SECRET.FIELD",
        "given/a.b.big: it is larger than 1048576 bytes, and no Secret can hold it",
        "given/b.value: no Secret of the plan is meant: it should be named SECRET.FIELD",
        "given/license.value: it has several lines, and one is wanted; former keys go into previous",
    ]
