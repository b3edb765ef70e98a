"""Tests of the chart with the real Helm 3 and 4; where they cannot be had, a skip names the command, and CI fails."""

from __future__ import annotations

import os

import pytest

from tests.chart.helm import Helm, Missing, helm


def pytest_configure(config: pytest.Config) -> None:
    """Bring the cluster's fixtures; imported by two folders they would start two clusters."""
    config.pluginmanager.import_plugin("tests.cluster.control_plane.fixtures")
    config.pluginmanager.import_plugin("tests.chart.kubelet.fixtures")


def obtain(major: int) -> Helm:
    """Return a Helm; without one skip with the command that brings it, in CI fail."""
    try:
        return helm(major)
    except Missing as missing:
        pytest.fail(str(missing), pytrace=False) if os.environ.get("CI") else pytest.skip(str(missing))


@pytest.fixture(scope="session")
def helm3() -> Helm:
    """Helm 3."""
    return obtain(3)


@pytest.fixture(scope="session")
def helm4() -> Helm:
    """Helm 4."""
    return obtain(4)
