"""``init-secrets``: the one writer of the Secrets that were generated or given by value (rule 1 of the chart).

First every Secret is looked at: if one belongs to another release, nothing is written at all. Then each is written by
compare-and-swap, whole or not at all, so that a crash at any point and a second run at the same time do no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Final

from sidecar.errors import LedgerOutage, Refused
from sidecar.hook_ports import SecretChanged, SecretContent, SecretStore, StoredSecret
from sidecar.operate.persistence import Persistence
from sidecar.operate.secrets_plan import Doing, Kind, Revision, Wanted, hidden, revise
from sidecar.secrets import MASKER, Secret

RELEASE: Final = "license-sidecar/release"
"""The annotation that says whose a Secret is."""
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "license-sidecar"
HELM_RELEASE: Final = "meta.helm.sh/release-name"
HELM_NAMESPACE: Final = "meta.helm.sh/release-namespace"
KEPT: Final = {
    # An upgrade from a chart that rendered this Secret would delete it as no longer wanted; an uninstall as well.
    "helm.sh/resource-policy": "keep",
    # Argo CD takes what carries a release's labels for the application's own, and prunes what no template renders.
    "argocd.argoproj.io/sync-options": "Prune=false",
    "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
}
_TRIES: Final = 10
_PAUSE: Final = 0.1


class Fate(StrEnum):
    """What became of a Secret."""

    CREATED = "created"
    CHANGED = "changed"
    KEPT = "kept"
    """It is as it should be: nothing was written."""
    WAITING = "waiting"
    """It is not there, and nobody has given what belongs into it."""
    REFUSED = "refused"
    UNTOUCHED = "untouched"
    """Another one is refused, so nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of one Secret; ``why`` is a sentence where the rest does not say it all.

    ``key`` and ``former`` are fingerprints, as in ``Revision``.
    """

    name: str
    kind: Kind
    fate: Fate
    doings: Mapping[str, Doing] = field(default_factory=dict)
    key: str = ""
    former: tuple[str, ...] = ()
    why: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """For whom is written, and how: ``adopt`` takes other releases' Secrets as well, ``dry_run`` writes nothing."""

    release: str
    namespace: str
    adopt: bool = False
    dry_run: bool = False


class SecretWriter:
    """One run over a plan."""

    def __init__(self, store: SecretStore, terms: Terms, persistence: Persistence, random: Random) -> None:
        """Take where the Secrets are and for whom they are; ``random`` makes what is generated."""
        self._store = store
        self._terms = terms
        self._persistence = persistence
        self._random = random

    async def run(self, plan: Sequence[Wanted]) -> tuple[Done, ...]:
        """See to every Secret. Raises ``LedgerOutage``; ``Refused`` if the API server takes one in no form."""
        found = [(wanted, await self._read(wanted)) for wanted in plan]
        objections = {wanted.name: self._objection(stored) for wanted, stored in found if stored is not None}
        if any(objections.values()):
            return tuple(_barred(wanted, objections.get(wanted.name, "")) for wanted, _ in found)
        return tuple([await self._settle(wanted, stored) for wanted, stored in found])

    async def _read(self, wanted: Wanted) -> StoredSecret | None:
        async def attempt() -> StoredSecret | None:
            stored = await self._store.read(wanted.name)
            if stored is not None and stored.deleting:
                raise LedgerOutage(f"the Secret {wanted.name} is being deleted, and a finalizer holds it")
            return stored

        return await self._persistence.call(f"reading the Secret {wanted.name}", attempt)

    async def _settle(self, wanted: Wanted, stored: StoredSecret | None) -> Done:
        """Bring one Secret to what it should be, from whatever it is when we come to write it."""
        for _ in range(_TRIES):
            objection = "" if stored is None else self._objection(stored)
            if objection:
                return _barred(wanted, objection)
            held = {} if stored is None else stored.data
            revision = revise(wanted, held, self._random)
            for data in (held, revision.data):
                for text in hidden(wanted, data):
                    MASKER.register(Secret(text))
            if stored is None and revision.empty:
                return _done(wanted, revision, Fate.WAITING)
            content = self._content(wanted, stored, revision)
            if stored is not None and _same(stored, content):
                return _done(wanted, revision, Fate.KEPT)
            if stored is not None and stored.immutable and dict(stored.data) != dict(content.data):
                raise Refused(
                    f"the Secret {wanted.name} is immutable, and it would have to change: save what is in it, delete "
                    "it, and run this again"
                )
            fate = Fate.CREATED if stored is None else Fate.CHANGED
            if self._terms.dry_run:
                return _done(wanted, revision, fate)
            try:
                await self._write(wanted, stored, content)
            except SecretChanged:
                await asyncio.sleep(_PAUSE * (0.5 + self._random.random()))
                stored = await self._read(wanted)
            else:
                return _done(wanted, revision, fate)
        raise LedgerOutage(f"the Secret {wanted.name} changes all the time: who else writes it?")

    async def _write(self, wanted: Wanted, stored: StoredSecret | None, content: SecretContent) -> None:
        async def attempt() -> None:
            if stored is None:
                await self._store.create(wanted.name, content)
            else:
                await self._store.replace(stored, content)

        # An attempt that was not answered may have been carried out: then the next one finds another Secret than it
        # expected, and the next look finds nothing left to do.
        await self._persistence.call(f"writing the Secret {wanted.name}", attempt)

    def _objection(self, stored: StoredSecret) -> str:
        """Return why this Secret must not be written, or nothing."""
        terms, notes = self._terms, stored.annotations
        theirs = notes.get(RELEASE, "")
        if not theirs:
            place = notes.get(HELM_NAMESPACE, terms.namespace)
            theirs = notes.get(HELM_RELEASE, "")
            theirs = theirs if place == terms.namespace or not theirs else f"{theirs} of the namespace {place}"
        if theirs in ("", terms.release) or terms.adopt:
            return ""
        return (
            f"it belongs to the release {theirs}, and this is the release {terms.release}. If it shall be ours from "
            f"now on: kubectl annotate secret -n {terms.namespace} {stored.name} {RELEASE}={terms.release} "
            "--overwrite (or --adopt here)"
        )

    def _content(self, wanted: Wanted, stored: StoredSecret | None, revision: Revision) -> SecretContent:
        """Return the whole Secret: marks of others stay, so that the chart that made it can take it back."""
        labels = {MANAGED_BY: MANAGER} | dict(stored.labels if stored else {}) | dict(wanted.labels)
        notes = KEPT | dict(stored.annotations if stored else {}) | {RELEASE: self._terms.release}
        return SecretContent(data=revision.data, labels=labels, annotations=notes)


def _same(stored: StoredSecret, content: SecretContent) -> bool:
    return (dict(stored.data), dict(stored.labels), dict(stored.annotations)) == (
        dict(content.data),
        dict(content.labels),
        dict(content.annotations),
    )


def _done(wanted: Wanted, revision: Revision, fate: Fate) -> Done:
    why = "nothing was given for it, so it was not made" if fate is Fate.WAITING else ""
    if wanted.kind is Kind.LICENSE and not revision.key:
        why = (
            "no activation key was given yet, and the sidecar waits for one: give it to the next upgrade, or put it "
            "into the entry `value` of this Secret"
        )
    return Done(
        name=wanted.name,
        kind=wanted.kind,
        fate=fate,
        doings=revision.doings,
        key=revision.key,
        former=revision.former,
        why=why,
        warnings=revision.warnings,
    )


def _barred(wanted: Wanted, objection: str) -> Done:
    if objection:
        return Done(name=wanted.name, kind=wanted.kind, fate=Fate.REFUSED, why=objection)
    why = "nothing is written while another Secret of the plan is refused"
    return Done(name=wanted.name, kind=wanted.kind, fate=Fate.UNTOUCHED, why=why)
