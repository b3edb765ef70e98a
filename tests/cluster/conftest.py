"""Tests against a real API server: the fixtures are those of ``control_plane`` and ``stories``."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Bring the cluster's fixtures; imported by two folders they would start two clusters."""
    config.pluginmanager.import_plugin("tests.cluster.control_plane.fixtures")
    config.pluginmanager.import_plugin("tests.cluster.stories.fixtures")
