"""A seat record as a Lease: which field stands where, for people with kubectl and for us (rule 1 of design.md).

Pure: JSON in, values out. Labels carry what can be selected by and what fits into a label; the annotations have the
rest, one each, so that a person can read them. It must not trust what it reads: whoever may write Leases can write
anything. What others put on a Lease is written back with it. docs/ledger.md tells what stands here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
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
_OURS: Final = frozenset({*MARKS, INSTANCE})
_HOLDER: Final = "holderIdentity"
_SPEC: Final = frozenset({_HOLDER, "leaseDurationSeconds", "acquireTime", "renewTime"})
_LONGEST: Final = 4096
_MOST_OF_OTHERS: Final = 16 << 10
"""Characters of what others wrote that are kept and written back; a Lease on which they wrote more loses it."""
_MOST_DIGITS: Final = 15
_LAST: Final = 253_402_300_799.0
"""The last second that a Lease can name, seconds since the epoch."""

Json = dict[str, Any]


class Unreadable(ValueError):  # noqa: N818 - a finding, told as a stray; never an end in itself
    """The Lease is no seat record of this format; the message is a sentence for people."""


def encode(record: SeatRecord, namespace: str, *, lease: float, over: Stored | None) -> Json:
    """Return the Lease's manifest; ``over``: what it is to be written over. ``lease`` in seconds, for people."""
    identity, owner = record.identity, record.owner
    uid, version, writes = split(over.version) if over is not None else ("", "", 0)
    others = _others_of(over.version) if over is not None else {}
    labels = others.get("labels", {}) | MARKS | {PHASE: record.phase.value}
    for name, value in ((KEY, identity.key_fingerprint), (INSTANCE, owner.release)):
        if _LABEL.fullmatch(value):
            labels[name] = value
    notes = {
        "format": FORMAT,
        "server": identity.server,
        "key-fingerprint": identity.key_fingerprint,
        "deployment-id": identity.deployment_id,
        "pod": owner.pod,
        "pod-uid": owner.uid,
        "namespace": owner.namespace,
        "owner-check": _check(owner.pod, owner.namespace, owner.uid),
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
        "annotations": {PREFIX + name: value for name, value in notes.items() if value} | others.get("annotations", {}),
    }
    if "finalizers" in others:
        meta["finalizers"] = others["finalizers"]
    if over is not None:
        meta |= {"uid": uid, "resourceVersion": version}
    spec: Json = {_HOLDER: owner.uid, "leaseDurationSeconds": max(1, round(lease))} | others.get("spec", {})
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
    if meta.get("deletionTimestamp"):
        # It may vanish at any moment, so nothing can rest on it; and its seat is released by now, or its owner writes
        # it again once it is gone.
        raise Unreadable("it is being deleted, and a finalizer holds it: see metadata.finalizers, and remove them")
    try:
        phase = Phase(str(labels.get(PHASE)))
    except ValueError as error:
        raise Unreadable(f"the label {PHASE} is no phase that this version knows") from error
    pod, owner_uid = _owner(note, spec.get(_HOLDER))
    stored = Stored(
        record=SeatRecord(
            identity=Identity(note("server"), note("key-fingerprint"), note("deployment-id")),
            owner=Owner(
                pod=pod,
                uid=owner_uid,
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
        version=join(
            uid,
            version,
            _count(note("writes")),
            _others(lease),
        ),
    )
    if stored.name != meta.get("name"):
        raise Unreadable("it holds the record of another seat: was it copied or renamed?")
    return stored


def mended(lease: Json, record: SeatRecord, *, uid: str) -> Stored | None:
    """Return our own record under the version of a Lease that somebody damaged; None if it is not certainly ours.

    ``uid``: of the Lease that we wrote. Empty if that is not known (the sidecar was restarted): then it must name the
    record's owner. What it says of a request or a claim under way is believed: that errs on the safe side.
    """
    try:
        meta, spec = _mapping(lease, "metadata"), _mapping(lease, "spec")
        notes, others = _mapping(meta, "annotations"), _others(lease)
    except Unreadable:
        return None
    own, version = str(meta.get("uid") or ""), str(meta.get("resourceVersion") or "")
    named = record.owner.uid != "" and record.owner.uid in (notes.get(f"{PREFIX}pod-uid"), spec.get(_HOLDER))
    if not own or not version or "/" in own + version or meta.get("deletionTimestamp"):
        return None
    if own != uid and (uid or not named):
        return None

    def note(name: str) -> str:
        value = notes.get(PREFIX + name, "")
        return value if isinstance(value, str) and len(value) <= _LONGEST else ""

    claim = Claim(note("claimed-by"), _number(note("claimed-at"))) if note("claimed-by") else record.claim
    found = replace(record, open=record.open or note("open") == "true", claim=claim)
    return Stored(found, join(own, version, _count(note("writes")), others))


def join(uid: str, version: str, writes: int, others: str = "") -> str:
    """Return the opaque version of a stored record: which Lease, which version of it, its how many-th write.

    ``others``: what others wrote on it, as JSON. It belongs to exactly this version, and most Leases have none.
    """
    return f"{uid}/{version}/{writes}/{others}" if others else f"{uid}/{version}/{writes}"


def split(version: str) -> tuple[str, str, int]:
    """Return uid, resourceVersion and number of writes of a stored record's version."""
    uid, resource_version, writes, *_ = version.split("/", 3)
    return uid, resource_version, int(writes)


def _others_of(version: str) -> Json:
    _, _, _, *others = version.split("/", 3)
    return json.loads(others[0]) if others else {}


def _others(lease: Json) -> str:
    """Return what others wrote on this Lease, as JSON; empty if there is nothing.

    An update is the whole object, so what is not sent back is gone. Owner references are not sent back: the garbage
    collection that they ask for would delete the record just when it is needed.
    """
    meta, spec = _mapping(lease, "metadata"), _mapping(lease, "spec")
    finalizers = meta.get("finalizers")
    kept = {
        "labels": _foreign(_mapping(meta, "labels")),
        "annotations": _foreign(_mapping(meta, "annotations")),
        "finalizers": [it for it in finalizers if isinstance(it, str)] if isinstance(finalizers, list) else [],
        "spec": {it: value for it, value in spec.items() if it not in _SPEC and isinstance(value, str | int)},
    }
    if not any(kept.values()):
        return ""
    text = json.dumps({name: value for name, value in kept.items() if value}, sort_keys=True, separators=(",", ":"))
    return text if len(text) <= _MOST_OF_OTHERS else ""


def _foreign(names: Json) -> Json:
    return {
        it: value
        for it, value in names.items()
        if it not in _OURS and not it.startswith(PREFIX) and isinstance(value, str)
    }


def _owner(note: Callable[[str], str], holder: Any) -> tuple[str, str]:
    """Return name and uid of the owner; no name if the Lease does not say for certain whose it is.

    The uid stands in two places, and a check sum over name, namespace and uid beside them: whatever single one of them
    somebody edits, the owner still finds its own uid in here, and nobody else looks for a pod that never was. Without
    this, ``holderIdentity`` alone was believed, and a living pod lost its seat to a typing error there. A record of a
    version that did not know this has neither annotation.
    """
    pod, namespace, told, check = note("pod"), note("namespace"), note("pod-uid"), note("owner-check")
    held = holder if isinstance(holder, str) and len(holder) <= _LONGEST else ""
    if not told and not check:
        return pod, held
    for uid in (told, held):
        if check == _check(pod, namespace, uid):
            return pod, uid
    return "", told or held


def _check(pod: str, namespace: str, uid: str) -> str:
    return sha256(f"{namespace}\n{pod}\n{uid}".encode()).hexdigest()[:16]


def _mapping(content: Json, field: str) -> Json:
    value = content.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Unreadable(f"`{field}` is no mapping")
    return value


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS else 0


def _seconds(at: float) -> str:
    return f"{at:.6f}"


def _number(text: str) -> float:
    try:
        number = float(text) if text else 0.0
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0  # JSON has no word for the others


def _time(text: Any) -> float:
    if not isinstance(text, str):
        return 0.0
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0
