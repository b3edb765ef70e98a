"""The page about the ledger against the code: every label, field and annotation of a seat record, and no other."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from sidecar.adapters.lease_record import encode, join
from sidecar.core.records import Claim, Identity, Owner, Phase, SeatRecord, Stored
from tests.unit.docs.pages import ROOT, text

PAGE: Final = ROOT / "docs" / "ledger.md"
EVERYTHING: Final = SeatRecord(
    identity=Identity("https://activation.example", "0123456789ab", "MSIC0"),
    owner=Owner("pod", "uid", "namespace", "node", "release", "container", "boot"),
    phase=Phase.HANDOVER,
    open=True,
    unknown=True,
    claim=Claim("somebody", 1.0),
    created_at=1.0,
    renewed_at=2.0,
)
"""A record in which nothing is left out."""


def written(record: SeatRecord) -> dict[str, Any]:
    """Return the Lease that this record is written as for the second time."""
    return encode(record, "namespace", lease=60.0, over=Stored(record, join("uid", "7", 1)))


def told(kind: str) -> dict[str, str]:
    """Return the rows of the table whose first column is called so."""
    _, _, rest = text(PAGE).partition(f"| {kind} | what |\n|---|---|\n")
    rows, _, _ = rest.partition("\n\n")
    return dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", rows, re.MULTILINE))


def test_every_name_is_told() -> None:
    """Labels, spec and annotations are those of the tables, in the order in which they are written."""
    lease = written(EVERYTHING)
    assert list(told("annotation")) == list(lease["metadata"]["annotations"])
    assert list(told("field")) == list(lease["spec"])
    assert set(told("label")) == set(lease["metadata"]["labels"])


def test_the_values_that_are_told_are_written() -> None:
    """The marks by which records are selected, the format, and the phases."""
    labels = told("label")
    lease = written(EVERYTHING)["metadata"]
    for name in ("app.kubernetes.io/managed-by", "app.kubernetes.io/component"):
        assert labels[name] == f"`{lease['labels'][name]}`"
    assert told("annotation")["license-sidecar/format"].startswith(
        f"`{lease['annotations']['license-sidecar/format']}`"
    )
    assert set(re.findall(r"`(\w+)`", labels["license-sidecar/phase"])) == {phase.value for phase in Phase}


def test_what_does_not_apply_is_absent() -> None:
    """A record without claim, doubt and release has none of their names."""
    plain = replace(EVERYTHING, owner=Owner("pod", "uid", "namespace"), open=False, unknown=False, claim=None)
    names = set(written(plain)["metadata"]["annotations"])
    absent = set(told("annotation")) - names
    assert {f"license-sidecar/{it}" for it in ("open", "unknown", "claimed-by", "claimed-at", "release")} <= absent
