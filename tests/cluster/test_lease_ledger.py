"""The ledgers' contract, run against Leases on a real API server, and what only Leases can do wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from sidecar.adapters.kubernetes_api import KubernetesApi
from sidecar.adapters.lease_ledger import LeaseLedger
from sidecar.adapters.service_account import ServiceAccount
from sidecar.core.records import Phase
from sidecar.errors import LedgerOutage
from sidecar.observe.bystander import Bystander
from tests.cluster.control_plane.cluster import Cluster
from tests.contract.ledger_contract import LedgerContract
from tests.contract.seats import seat

RULES = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]}]


@pytest.fixture
def account(control_plane: Cluster, namespace: str, tmp_path: Path) -> ServiceAccount:
    """Return a service account that may do with Leases what it likes."""
    control_plane.admin.create_service_account(namespace, "ledger", rules=RULES)
    control_plane.admin.mount(tmp_path / "account", namespace, "ledger")
    return ServiceAccount.of_pod(control_plane.environment(), tmp_path / "account")


@pytest.fixture
async def ledgers(account: ServiceAccount, namespace: str) -> AsyncIterator[tuple[LeaseLedger, LeaseLedger]]:
    """Return two clients' views of one namespace."""
    apis = [KubernetesApi(account), KubernetesApi(account)]
    one, two = (LeaseLedger(api, namespace, lease=60.0, random=Random(1), observer=Bystander()) for api in apis)
    yield one, two
    for api in apis:
        await api.aclose()
    await asyncio.sleep(0.1)  # a session that was cancelled in its handshake says goodbye, and the loop ends here


class TestLeaseLedger(LedgerContract):
    """Two sidecars' clients."""

    @pytest.fixture
    def ledgers(self, ledgers: tuple[LeaseLedger, LeaseLedger]) -> tuple[LeaseLedger, LeaseLedger]:
        """Return the module's."""
        return ledgers


async def test_what_others_wrote_outlives_our_writes(
    ledgers: tuple[LeaseLedger, LeaseLedger], control_plane: Cluster, namespace: str
) -> None:
    """Their labels, annotations, finalizers and fields; an update is the whole object."""
    one, two = ledgers
    first = await one.create(seat())
    theirs = {
        "metadata": {
            "labels": {"example.com/kept": "true"},
            "annotations": {"example.com/note": "a/b"},
            "finalizers": ["example.com/hold"],
        },
        "spec": {"leaseTransitions": 7},
    }
    control_plane.admin.patch("leases", first.name, theirs, namespace)
    for ledger, phase in ((one, Phase.ACTIVE), (two, Phase.RELEASING)):
        current = await ledger.read(first.name)
        assert current is not None
        await ledger.replace(current, seat(phase=phase))
    lease = control_plane.admin.get("leases", first.name, namespace)
    meta = lease["metadata"]
    assert meta["labels"]["example.com/kept"] == "true"
    assert (meta["annotations"]["example.com/note"], meta["finalizers"]) == ("a/b", ["example.com/hold"])
    assert lease["spec"]["leaseTransitions"] == 7
    control_plane.admin.patch("leases", first.name, {"metadata": {"finalizers": None}}, namespace)


async def test_a_lease_that_is_being_deleted_is_no_record(
    ledgers: tuple[LeaseLedger, LeaseLedger], control_plane: Cluster, namespace: str
) -> None:
    """A finalizer holds it: nothing can rest on it, nobody writes over it, and without the finalizer it is gone."""
    one, two = ledgers
    first = await one.create(seat())
    control_plane.admin.patch("leases", first.name, {"metadata": {"finalizers": ["example.com/hold"]}}, namespace)
    held = await one.read(first.name)
    assert held is not None
    await two.erase(held)
    with pytest.raises(LedgerOutage, match="finalizer") as told:
        await one.replace(held, seat(phase=Phase.ACTIVE))
    assert told.value.lasting
    with pytest.raises(LedgerOutage, match="finalizer"):
        await one.create(seat())
    listing = await two.list()
    assert (listing.records, [it.name for it in listing.strays]) == ((), [first.name])
    control_plane.admin.patch("leases", first.name, {"metadata": {"finalizers": None}}, namespace)
    assert await one.read(first.name) is None
