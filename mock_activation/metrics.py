"""The server's truth for Prometheus, read from the backend at each scrape; labels hold fingerprints, never keys."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mock_activation.backend import Backend


class _BackendCollector(Collector):
    # Counting in plain dictionaries and translating here costs a request nothing; prometheus_client's own counters
    # take a lock for each.
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def collect(self) -> Iterable[Metric]:
        used = GaugeMetricFamily("mock_activation_seats_used", "Seats that are taken.", labels=["key_fingerprint"])
        limit = GaugeMetricFamily("mock_activation_seats_limit", "Seats that a key has.", labels=["key_fingerprint"])
        for key_fingerprint, (taken, seats) in self._backend.pool.used().items():
            used.add_metric([key_fingerprint], taken)
            limit.add_metric([key_fingerprint], seats)
        requests = CounterMetricFamily(
            "mock_activation_requests", "Requests by what was answered.", labels=["operation", "answer"]
        )
        for labels, number in self._backend.requests.items():
            requests.add_metric(list(labels), number)
        faults = CounterMetricFamily("mock_activation_faults_fired", "Faults that happened.", labels=["fault"])
        for name, number in self._backend.faults.fired.items():
            faults.add_metric([name], number)
        return used, limit, requests, faults


def make_registry(backend: Backend) -> CollectorRegistry:
    """Return a registry of its own, so that several mocks can live in one process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_BackendCollector(backend))
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    """Return the text that Prometheus reads (format 0.0.4)."""
    return generate_latest(registry)
