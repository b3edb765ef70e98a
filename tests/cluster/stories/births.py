"""Forks ``license-sidecar`` on order, any of its commands, as in a pod: without a second of imports each.

``environ`` of an order is set before the settings are read. An order with ``arguments`` is a command as it was typed;
one without is a sidecar that may die at an exact point (``tests.process.mortal``).
"""

from __future__ import annotations

import os

import tenacity  # noqa: F401 - loaded once here instead of in every child

from sidecar import cli
from sidecar.adapters import (  # noqa: F401 - the same
    kubernetes_api,
    lease_ledger,
    named_pods,
    pod_journal,
    pods,
    secret_store,
    workload,
)
from sidecar.cli import drain as _drain  # noqa: F401 - the same
from sidecar.cli import import_, init_secrets, list_, plan_file, reclaim, release, run, status  # noqa: F401 - the same
from sidecar.operate import drain, secret_writer, single, sweep, takeover  # noqa: F401 - the same
from tests.process import mortal
from tests.process.forks import Order, serve


def _live(order: Order) -> int:
    os.environ.update(order["environ"])
    if "arguments" in order:
        return cli.main(order["arguments"])
    return mortal._live(order)


if __name__ == "__main__":
    serve(_live)
