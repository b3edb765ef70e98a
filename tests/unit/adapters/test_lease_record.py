"""A seat record as a Lease, there and back; whatever else somebody wrote is told as a stray, never an exception."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.adapters.lease_record import (
    INSTANCE,
    KEY,
    MARKS,
    PHASE,
    PREFIX,
    SELECTOR,
    Unreadable,
    decode,
    encode,
    join,
    split,
)
from sidecar.core.records import Claim, Identity, Owner, Phase, SeatRecord, Stored

texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=60)
times = st.floats(min_value=1.0, max_value=4e9).map(lambda at: round(at, 3))
records = st.builds(
    SeatRecord,
    identity=st.builds(Identity, texts, texts, texts),
    owner=st.builds(Owner, texts, texts, texts, texts, texts, texts, texts),
    phase=st.sampled_from(Phase),
    open=st.booleans(),
    unknown=st.booleans(),
    claim=st.none() | st.builds(Claim, texts.filter(bool), times),
    created_at=times,
    renewed_at=times,
)


def server(manifest: dict[str, Any], uid: str = "u-1", version: str = "7") -> dict[str, Any]:
    """Return a manifest as the API server keeps it."""
    return {**manifest, "metadata": {**manifest["metadata"], "uid": uid, "resourceVersion": version}}


def a_lease(**changes: Any) -> dict[str, Any]:
    """Return a Lease that is a seat record, with these annotations changed (None: without)."""
    identity = Identity("https://activation.example", "0123456789ab", "MSCL1")
    record = SeatRecord(identity, Owner("web-0", "uid-0", "icap"), Phase.ACTIVE, open=False, created_at=1e9)
    lease = server(encode(record, "icap", lease=60.0, over=None))
    notes = lease["metadata"]["annotations"]
    for name, value in changes.items():
        notes[PREFIX + name.replace("_", "-")] = value
        if value is None:
            del notes[PREFIX + name.replace("_", "-")]
    return lease


@settings(deadline=None, max_examples=40)
@given(record=records)
def test_a_record_comes_back_as_it_was_written(record: SeatRecord) -> None:
    """Every field, whatever stands in it; times to the microsecond."""
    stored = decode(server(encode(record, "icap", lease=60.0, over=None)))
    assert replace(stored.record, created_at=0.0, renewed_at=0.0, claim=None) == replace(
        record, created_at=0.0, renewed_at=0.0, claim=None
    )
    assert stored.record.created_at == pytest.approx(record.created_at, abs=2e-6)
    assert stored.record.renewed_at == pytest.approx(record.renewed_at, abs=2e-6)
    assert (stored.record.claim and stored.record.claim.by) == (record.claim and record.claim.by)
    assert split(stored.version) == ("u-1", "7", 1)


@settings(deadline=None, max_examples=40)
@given(record=records)
def test_a_write_is_over_exactly_one_version_of_one_lease(record: SeatRecord) -> None:
    """Both uid and resourceVersion; each write is another, or it would look like no sign of life."""
    over = Stored(record, join("u-1", "7", 4))
    manifest = encode(record, "icap", lease=60.0, over=over)
    meta = manifest["metadata"]
    assert (meta["uid"], meta["resourceVersion"], meta["name"]) == ("u-1", "7", record.identity.name)
    assert meta["annotations"][f"{PREFIX}writes"] == "5"
    assert split(decode(server(manifest)).version)[2] == 5


def test_what_a_person_sees_with_kubectl() -> None:
    """Labels to select by, the holder, and times; no owner reference and no finalizer."""
    lease = a_lease()
    meta, spec = lease["metadata"], lease["spec"]
    assert meta["labels"] == MARKS | {PHASE: "active", KEY: "0123456789ab"}
    assert SELECTOR == "app.kubernetes.io/managed-by=license-sidecar,app.kubernetes.io/component=seat-record"
    assert spec == {"holderIdentity": "uid-0", "leaseDurationSeconds": 60, "acquireTime": "2001-09-09T01:46:40.000000Z"}
    assert set(meta) == {"name", "namespace", "labels", "annotations", "uid", "resourceVersion"}


def test_a_release_that_is_no_label_stays_an_annotation() -> None:
    """Everything is written down, and nothing makes the API server refuse the Lease."""
    stored = decode(a_lease(release="my release!"))
    labels = encode(stored.record, "icap", lease=0.2, over=stored)["metadata"]["labels"]
    assert INSTANCE not in labels
    fits = replace(stored.record, owner=replace(stored.record.owner, release="icap"))
    manifest = encode(fits, "icap", lease=0.2, over=stored)
    assert manifest["metadata"]["labels"][INSTANCE] == "icap"
    assert manifest["spec"]["leaseDurationSeconds"] == 1


def test_what_a_backup_brought_back_is_not_believed() -> None:
    """Another cluster's record, or a copy: its seat may belong to a pod that lives elsewhere."""
    stored = decode(a_lease())
    written_twice = server(encode(stored.record, "icap", lease=60.0, over=stored))
    assert decode(written_twice).record == stored.record
    with pytest.raises(Unreadable, match="backup"):
        decode(server(written_twice, uid="u-2"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": None}, "of nobody"),
        ({"format": "2"}, "another version"),
        ({"deployment_id": "MSCL2"}, "another seat"),
        ({"server": 7}, "no text"),
        ({"node": "x" * 5000}, "sensible length"),
    ],
)
def test_a_lease_that_is_no_record_of_ours_says_why(change: dict[str, Any], words: str) -> None:
    """A sentence for people."""
    with pytest.raises(Unreadable, match=words):
        decode(a_lease(**change))


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (("metadata", "labels", PHASE), "sleeping", "no phase"),
        (("metadata", "labels", "app.kubernetes.io/component"), "leader", "labels"),
        (("metadata", "labels"), "text", "no mapping"),
        (("metadata", "annotations"), [], "no mapping"),
        (("metadata", "uid"), "", "no uid"),
        (("metadata", "uid"), "a/b", "no uid"),
        (("metadata", "resourceVersion"), None, "no version"),
        (("spec",), "text", "no mapping"),
        (("metadata", "deletionTimestamp"), "2027-01-15T08:00:00Z", "being deleted"),
        (("metadata",), None, "labels"),
    ],
)
def test_a_lease_of_an_odd_shape_says_why(where: tuple[str, ...], value: Any, words: str) -> None:
    """Whoever may write Leases can write anything."""
    lease: Any = a_lease()
    inner = lease
    for name in where[:-1]:
        inner = inner[name]
    inner[where[-1]] = value
    with pytest.raises(Unreadable, match=words):
        decode(lease)


# --- whose it is ------------------------------------------------------------------------------------------------------

US = Owner("web-0", "uid-0", "icap")


def edited(field: str, value: str | None) -> Owner:
    """Return the owner that a Lease names in which one field was changed."""
    lease = a_lease(**({} if field == "holderIdentity" else {field: value}))
    if field == "holderIdentity":
        lease["spec"][field] = value
    return decode(lease).record.owner


@pytest.mark.parametrize("value", ["somebody", "", None, "x" * 9000])
def test_the_holder_alone_decides_nothing(value: str | None) -> None:
    """It is for people: with the annotations as they were, the owner is who it was."""
    assert edited("holderIdentity", value) == US


@pytest.mark.parametrize("value", ["somebody", "", None])
def test_an_edited_uid_is_found_where_it_still_stands(value: str | None) -> None:
    """The uid that fits the check sum is the owner's."""
    assert edited("pod_uid", value) == US


@pytest.mark.parametrize("field", ["pod", "namespace", "owner_check"])
@pytest.mark.parametrize("value", ["other", "", None])
def test_a_record_that_contradicts_itself_names_no_pod(field: str, value: str | None) -> None:
    """Its owner still finds its uid in there; nobody else looks for a pod of a name that may never have been."""
    owner = edited(field, value)
    assert (owner.pod, owner.uid) == ("", "uid-0")


def test_a_record_whose_uids_are_both_edited_names_no_pod() -> None:
    """Another uid under the pod's name would look like the end of its owner."""
    lease = a_lease(pod_uid="somebody")
    lease["spec"]["holderIdentity"] = "somebody else"
    assert decode(lease).record.owner.pod == ""


def test_a_record_of_a_version_without_these_annotations_is_read_by_its_holder() -> None:
    """It is the owner as it was understood then, and its next write has them."""
    old = decode(a_lease(pod_uid=None, owner_check=None))
    assert old.record.owner == US
    notes = encode(old.record, "icap", lease=60.0, over=old)["metadata"]["annotations"]
    assert {f"{PREFIX}pod-uid", f"{PREFIX}owner-check"} <= set(notes)


# --- what others wrote ------------------------------------------------------------------------------------------------


def with_others(size: int = 1) -> dict[str, Any]:
    """Return a Lease on which others wrote, too."""
    lease = a_lease()
    lease["metadata"]["labels"]["velero.io/exclude-from-backup"] = "true"
    lease["metadata"]["annotations"]["example.com/note"] = "n/" * size
    lease["metadata"] |= {"finalizers": ["example.com/hold"], "ownerReferences": [{"kind": "Pod", "uid": "p"}]}
    lease["spec"] |= {"leaseTransitions": 7, "strategy": "OldestEmulationVersion"}
    return lease


def test_what_others_wrote_is_written_back() -> None:
    """An update is the whole object, so what is not sent back is gone. An owner reference asks for a deletion."""
    stored = decode(with_others())
    again = encode(replace(stored.record, phase=Phase.RELEASING), "icap", lease=60.0, over=stored)
    meta, before = again["metadata"], with_others()
    assert meta["labels"] == before["metadata"]["labels"] | {PHASE: "releasing"}
    assert meta["annotations"]["example.com/note"] == "n/"
    assert meta["finalizers"] == ["example.com/hold"]
    assert "ownerReferences" not in meta
    assert (again["spec"]["leaseTransitions"], again["spec"]["strategy"]) == (7, "OldestEmulationVersion")
    assert split(decode(server(again)).version) == ("u-1", "7", 2)
    assert encode(decode(server(again)).record, "icap", lease=60.0, over=decode(server(again)))["metadata"][
        "finalizers"
    ] == ["example.com/hold"]


def test_what_others_wrote_is_bounded() -> None:
    """The version of every record is kept in memory."""
    stored = decode(with_others(size=20_000))
    assert len(stored.version) < 100
    assert "finalizers" not in encode(stored.record, "icap", lease=60.0, over=stored)["metadata"]


def test_what_nobody_wrote_costs_nothing() -> None:
    """Most Leases are ours alone."""
    assert decode(a_lease()).version == join("u-1", "7", 1)


# --- odd values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "at"), [("12.5", 12.5), ("inf", 0.0), ("-inf", 0.0), ("nan", 0.0), ("1e999", 0.0)])
def test_the_time_of_a_claim_is_a_number_that_json_can_tell(text: str, at: float) -> None:
    """``list --output json`` shows it to programs."""
    claim = decode(a_lease(claimed_by="uid-x", claimed_at=text)).record.claim
    assert claim is not None
    assert claim.at == at


def test_a_count_of_writes_that_nobody_counted_begins_anew() -> None:
    """One more digit, and our own write could not be read any more."""
    stored = decode(a_lease(writes="9" * 4096))
    assert split(decode(server(encode(stored.record, "icap", lease=60.0, over=stored))).version)[2] == 1


ODD_TIMES = [None, 7, "", "soon", "9999-12-31T23:59:59.999999-23:59", "0001-01-01T00:00:00", "1969-01-01T00:00:00Z"]


@pytest.mark.parametrize("time", ODD_TIMES)
@pytest.mark.parametrize("claimed_at", ["soon", "nan", "1e400", ""])
def test_odd_times_of_a_stranger_end_nothing(time: Any, claimed_at: str) -> None:
    """They are hints for people; the record can be read, claimed and written over."""
    lease = a_lease(claimed_by="uid-x", claimed_at=claimed_at, writes="many")
    lease["spec"] |= {"acquireTime": time, "renewTime": time}
    stored = decode(lease)
    again = decode(server(encode(stored.record, "icap", lease=60.0, over=stored)))
    assert again.record.identity == stored.record.identity
    assert split(again.version)[2] == 1


values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts | st.sampled_from(["1", "true", "u-1", "active", "seat-x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
OF_OURS = ("format", "server", "self", "writes", "claimed-by", "claimed-at", "open", "pod", "pod-uid", "owner-check")
NOTES = [PREFIX + it for it in OF_OURS]


@settings(deadline=None, max_examples=60)
@given(
    notes=st.dictionaries(st.sampled_from(NOTES), values),
    spec=st.dictionaries(st.sampled_from(["holderIdentity", "acquireTime", "renewTime", "strategy"]), values),
    meta=st.dictionaries(st.sampled_from(["uid", "resourceVersion", "labels", "name", "finalizers"]), values),
)
def test_a_hostile_lease_is_a_stray_or_a_record_that_can_be_written_over(
    notes: dict[str, Any], spec: dict[str, Any], meta: dict[str, Any]
) -> None:
    """Never any other exception: a stranger's Lease must not end the process."""
    lease = a_lease()
    lease["metadata"]["annotations"] |= notes
    lease["metadata"] |= meta
    lease["spec"] |= spec
    try:
        stored = decode(lease)
    except Unreadable:
        return
    encode(replace(stored.record, claim=Claim("uid-us", 1e9)), "icap", lease=60.0, over=stored)


@settings(deadline=None, max_examples=40)
@given(lease=st.dictionaries(st.sampled_from(["metadata", "spec", "kind"]), values))
def test_anything_else_is_a_stray(lease: dict[str, Any]) -> None:
    """Without our labels nothing is ours."""
    with pytest.raises(Unreadable):
        decode(lease)
