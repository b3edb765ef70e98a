"""The forms in which older automation may have left IDs behind, and everything that is no ID in them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.cli.left_behind import LARGEST, UnreadableIds, entries, fault_of, read
from sidecar.operate.takeover import LeftBehind

A, B = "MSCL0000000000000000000000000000000A", "MSCL0000000000000000000000000000000B"
KEY = "LB11-LB12-LB13-LB14-LB15-LB16-LB17"
BOTH = [("web-0", A), ("web-1", B)]


def found(text: str, form: str = "auto") -> list[tuple[str, str]]:
    """Return (pod, ID) of each entry that is one."""
    return [(it.pod, it.deployment_id) for it in entries(text, form) if not it.fault]


def encoded(text: str) -> str:
    """Return a value as a Secret's manifest holds it."""
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"web-0: {A}\nweb-1: {B}\n",
        f"web-0={A}\nweb-1={B}\n",
        f"# left behind\n\nweb-0 = {A}\r\nweb-1:{B}",
        f"web-0: \"{A}\"\nweb-1 = '{B}'\n",
        json.dumps({"web-0": A, "web-1": B}),
        f"---\nweb-0: {A}\nweb-1: {B}\n",
        json.dumps({"kind": "Secret", "data": {"web-0": encoded(A), "web-1": encoded(f"{B}\n")}}),
        f"apiVersion: v1\nkind: Secret\ndata:\n  web-0: {encoded(A)}\nstringData:\n  web-1: {B}\n",
    ],
    ids=["yaml", "equals", "mixed lines", "quoted", "json", "document", "manifest", "manifest in yaml"],
)
@pytest.mark.parametrize("form", ["auto", "secret"])
def test_a_mapping_of_pods_to_ids_is_taken_in_every_form(text: str, form: str) -> None:
    """Whatever is plausible, for the vendor's form is not published."""
    assert found(text, form) == BOTH


@pytest.mark.parametrize(
    "text",
    [f"{A}\n{B}\n", f"  {A}  \n# a comment\n\n{B}", json.dumps([A, B]), f"- {A}\n- {B}\n"],
    ids=["lines", "spaces", "json", "yaml"],
)
def test_a_list_of_ids_is_taken_too(text: str) -> None:
    """Nobody is named then."""
    assert found(text) == [("", A), ("", B)]


def test_a_list_is_no_secret() -> None:
    """Who insists on pod names is told where they are missing."""
    with pytest.raises(UnreadableIds, match="a list, not a mapping"):
        found(json.dumps([A]), "secret")
    with pytest.raises(UnreadableIds, match="line 2"):
        found(f"# comment\n{A}\n", "secret")


def test_the_form_list_takes_each_line_as_an_id() -> None:
    """So a pair is no ID."""
    assert [bool(it.fault) for it in entries(f"{A}\nweb-0={A}\n", "list")] == [False, True]


def test_two_entries_of_one_name_are_both_seen() -> None:
    """A pod of a StatefulSet keeps its name; the first ID must not get lost."""
    assert found(f"web-0: {A}\nweb-0: {B}\n") == [("web-0", A), ("web-0", B)]
    assert found('{"web-0": "%s", "web-0": "%s"}' % (A, B)) == [("web-0", A), ("web-0", B)]  # noqa: UP031 - braces


@pytest.mark.parametrize("value", ["null", "Null", '""', "", "~", "none", "undefined"])
def test_what_stands_for_no_id_is_told_and_skipped(value: str) -> None:
    """The app and the vendor's scripts write it while there is none (protocol.md section 1)."""
    (entry,) = entries(f"web-0: {value}\n", "auto")
    assert (entry.pod, entry.empty, entry.deployment_id) == ("web-0", True, "-")
    assert "no ID yet" in entry.fault


@pytest.mark.parametrize(
    "value",
    [f'"{KEY}"', "[1, 2]", "{a: b}", '"two words"', "'<html>'"],
    ids=["key", "list", "mapping", "words", "page"],
)
def test_what_is_no_id_is_told_without_showing_it(value: str) -> None:
    """It may be a key."""
    (entry,) = entries(f"web-0: {value}\n", "auto")
    assert entry.fault
    assert not entry.empty
    assert entry.deployment_id == "-"
    shown = [part for part in ("LB13", "words", "html") if part in entry.fault]
    assert shown == []


def test_broken_base64_in_a_manifest_is_told(tmp_path: Path) -> None:
    """One bad entry does not hide the others."""
    text = json.dumps({"kind": "Secret", "data": {"bad": "%%%", "list": [], "good": encoded(A), "bytes": "gICA"}})
    told = {it.pod: it for it in entries(text, "auto")}
    assert [bool(told[name].fault) for name in ("bad", "list", "good", "bytes")] == [True, True, False, True]
    assert list(entries("kind: Secret\ndata:\n", "auto")) == []


def test_a_mounted_secret_is_a_folder_of_pods(tmp_path: Path) -> None:
    """As kubelet mounts it: links, and hidden names behind them; a file may hold a whole list as well."""
    version = tmp_path / "..2026"
    version.mkdir()
    (version / "web-0").write_text(f"{A}\n")
    (version / "web-2").write_text("null")
    (tmp_path / "..data").symlink_to(version.name)
    for name in ("web-0", "web-2"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    (tmp_path / "more").write_text(f"web-7: {B}\nweb-8: {A}\n")
    (tmp_path / "folder").mkdir()
    assert read(str(tmp_path), "auto") == (
        LeftBehind(B, "web-7"),
        LeftBehind(A, "web-8"),
        LeftBehind(A, "web-0"),
        LeftBehind("-", "web-2", "is empty or null: there was no ID yet", empty=True),
    )


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    """With the file's name, and nothing of its content, not even in the cause."""
    large = tmp_path / "large"
    large.write_bytes(b"x" * (LARGEST + 1))
    with pytest.raises(UnreadableIds, match="larger than"):
        read(str(large), "auto")
    binary = tmp_path / "binary"
    binary.write_bytes(KEY.encode() + b"\xff")
    with pytest.raises(UnreadableIds, match="no UTF-8 text") as caught:
        read(str(binary), "auto")
    assert caught.value.__context__ is None
    with pytest.raises(UnreadableIds, match="absent"):
        read(str(tmp_path / "absent"), "auto")


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    """Every entry is an ID or told as none; nothing else is ever taken for an ID."""
    for entry in entries(text, "auto"):
        assert bool(entry.fault) == (entry.deployment_id == "-")
        assert entry.fault or not fault_of(entry.deployment_id)


@given(st.lists(st.from_regex(r"[A-Z]{4}[0-9A-F]{32}", fullmatch=True), min_size=1, max_size=5, unique=True))
def test_every_form_of_the_same_ids_reads_the_same(ids: list[str]) -> None:
    """Lines, pairs, JSON and a manifest."""
    pods = {f"web-{number}": it for number, it in enumerate(ids)}
    pairs = list(pods.items())
    assert found("\n".join(f"{pod}={it}" for pod, it in pairs)) == pairs
    assert found(json.dumps(pods)) == pairs
    manifest = {"kind": "Secret", "data": {pod: encoded(it) for pod, it in pairs}}
    assert found(json.dumps(manifest)) == pairs
    assert [it for _, it in found("\n".join(ids))] == ids
