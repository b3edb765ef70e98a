"""The parts of prometheus_client that are used: without its ways to serve metrics, and its looks at this process.

The package itself loads an HTTP server, wsgiref and collectors that nobody asks: a third of a MiB for nothing.
Must not be mixed with the package's own classes: these are others of the same name (see ``bare_packages``).
"""

from __future__ import annotations

from sidecar.adapters.lean_imports import bare_packages

with bare_packages("prometheus_client"):
    from prometheus_client.metrics import Counter, Gauge, Histogram, disable_created_metrics
    from prometheus_client.metrics_core import GaugeMetricFamily
    from prometheus_client.registry import Collector, CollectorRegistry
    from prometheus_client.utils import floatToGoString as number  # noqa: N813 - a name of ours for one of theirs

__all__ = [
    "Collector",
    "CollectorRegistry",
    "Counter",
    "Gauge",
    "GaugeMetricFamily",
    "Histogram",
    "disable_created_metrics",
    "number",
]
