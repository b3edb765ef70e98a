"""A seat record as a Lease: which field stands where, for people with kubectl and for us (rule 1 of design.md).

Pure: JSON in, values out. Labels carry what can be selected by and what fits into a label; the annotations have the
rest, one each, so that a person can read them. It must not trust what it reads: whoever may write Leases can write
anything. docs/ledger.md tells what stands here.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

from sidecar.core.records import Claim, Identity, Owner, Phase, SeatRecord, Stored

PREFIX: Final = "license-sidecar/"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
COMPONENT: Final = "app.kubernetes.io/component"
INSTANCE: Final = "app.kubernetes.io/instance"
MARKS: Final = {MANAGED_BY: "license-sidecar", COMPONENT: "seat-record"}
SELECTOR: Final = ",".join(f"{name}={value}" for name, value in MARKS.items())
KEY: Final = f"{PREFIX}key-fingerprint"
PHASE: Final = f"{PREFIX}phase"
FORMAT: Final = "1"
_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LONGEST: Final = 4096
_LAST: Final = 253_402_300_799.0
"""The last second that a Lease can name, seconds since the epoch."""

Json = dict[str, Any]


class Unreadable(ValueError):  # noqa: N818 - a finding, told as a stray; never an end in itself
    """The Lease is no seat record of this format; the message is a sentence for people."""


def encode(record: SeatRecord, namespace: str, *, lease: float, over: Stored | None) -> Json:
    """Return the Lease's manifest; ``over``: what it is to be written over. ``lease`` in seconds, for people."""
    identity, owner = record.identity, record.owner
    uid, version, writes = split(over.version) if over is not None else ("", "", 0)
    labels = MARKS | {PHASE: record.phase.value}
    for name, value in ((KEY, identity.key_fingerprint), (INSTANCE, owner.release)):
        if _LABEL.fullmatch(value):
            labels[name] = value
    notes = {
        "format": FORMAT,
        "server": identity.server,
        "key-fingerprint": identity.key_fingerprint,
        "deployment-id": identity.deployment_id,
        "pod": owner.pod,
        "namespace": owner.namespace,
        "node": owner.node,
        "release": owner.release,
        "container-id": owner.container_id,
        "boot": owner.boot,
        "open": "true" if record.open else "",
        "unknown": "true" if record.unknown else "",
        "claimed-by": record.claim.by if record.claim is not None else "",
        "claimed-at": _seconds(record.claim.at) if record.claim is not None else "",
        # The Lease's own uid, known from the second write on: one that a backup brought back has another.
        "self": uid,
        # Each write is another: one that changed nothing would get no new version, and look like no sign of life.
        "writes": str(writes + 1),
    }
    meta: Json = {
        "name": identity.name,
        "namespace": namespace,
        "labels": labels,
        "annotations": {PREFIX + name: value for name, value in notes.items() if value},
    }
    if over is not None:
        meta |= {"uid": uid, "resourceVersion": version}
    spec: Json = {"holderIdentity": owner.uid, "leaseDurationSeconds": max(1, round(lease))}
    for name, at in (("acquireTime", record.created_at), ("renewTime", record.renewed_at)):
        if 0 < at < _LAST:
            spec[name] = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}


def decode(lease: Json) -> Stored:
    """Return the record that the Lease is. Raises ``Unreadable``."""
    meta, spec = _mapping(lease, "metadata"), _mapping(lease, "spec")
    labels, notes = _mapping(meta, "labels"), _mapping(meta, "annotations")
    if any(labels.get(name) != value for name, value in MARKS.items()):
        raise Unreadable("it has not the labels of a seat record")

    def note(name: str) -> str:
        value = notes.get(PREFIX + name, "")
        if not isinstance(value, str) or len(value) > _LONGEST:
            raise Unreadable(f"the annotation {PREFIX}{name} is no text of a sensible length")
        return value

    if note("format") != FORMAT:
        raise Unreadable(f"it has the format {note('format')[:20] or 'of nobody'}: another version may have written it")
    uid, version = str(meta.get("uid") or ""), str(meta.get("resourceVersion") or "")
    if not uid or not version or "/" in uid + version:
        raise Unreadable("it has no uid or no version of its own")
    if note("self") not in ("", uid):
        raise Unreadable(
            "it was brought back from a backup or copied: its seat may belong to a pod of another cluster; look there, "
            "then delete this Lease and release the seat by its ID"
        )
    try:
        phase = Phase(str(labels.get(PHASE)))
    except ValueError as error:
        raise Unreadable(f"the label {PHASE} is no phase that this version knows") from error
    writes = note("writes")
    stored = Stored(
        record=SeatRecord(
            identity=Identity(note("server"), note("key-fingerprint"), note("deployment-id")),
            owner=Owner(
                pod=note("pod"),
                uid=str(spec.get("holderIdentity") or ""),
                namespace=note("namespace"),
                node=note("node"),
                release=note("release"),
                container_id=note("container-id"),
                boot=note("boot"),
            ),
            phase=phase,
            open=note("open") == "true",
            unknown=note("unknown") == "true",
            claim=Claim(note("claimed-by"), _number(note("claimed-at"))) if note("claimed-by") else None,
            created_at=_time(spec.get("acquireTime")),
            renewed_at=_time(spec.get("renewTime")),
        ),
        version=join(uid, version, int(writes) if writes.isascii() and writes.isdecimal() else 0),
    )
    if stored.name != meta.get("name"):
        raise Unreadable("it holds the record of another seat: was it copied or renamed?")
    return stored


def join(uid: str, version: str, writes: int) -> str:
    """Return the opaque version of a stored record: which Lease, which version of it, its how many-th write."""
    return f"{uid}/{version}/{writes}"


def split(version: str) -> tuple[str, str, int]:
    """Return uid, resourceVersion and number of writes of a stored record's version."""
    uid, resource_version, writes = version.split("/")
    return uid, resource_version, int(writes)


def _mapping(content: Json, field: str) -> Json:
    value = content.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Unreadable(f"`{field}` is no mapping")
    return value


def _seconds(at: float) -> str:
    return f"{at:.6f}"


def _number(text: str) -> float:
    try:
        return float(text) if text else 0.0
    except ValueError:
        return 0.0


def _time(text: Any) -> float:
    if not isinstance(text, str):
        return 0.0
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0
