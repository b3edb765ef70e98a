"""The ledgers' contract, run against Leases on a real API server, and what only Leases can do wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from sidecar.adapters.kubernetes_api import KubernetesApi
from sidecar.adapters.lease_ledger import LeaseLedger
from sidecar.adapters.service_account import ServiceAccount
from sidecar.observe.bystander import Bystander
from tests.cluster.control_plane.cluster import Cluster
from tests.contract.ledger_contract import LedgerContract

RULES = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]}]
LEASES = "apis/coordination.k8s.io/v1"


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


class TestLeaseLedger(LedgerContract):
    """Two sidecars' clients."""

    @pytest.fixture
    def ledgers(self, ledgers: tuple[LeaseLedger, LeaseLedger]) -> tuple[LeaseLedger, LeaseLedger]:
        """Return the module's."""
        return ledgers
