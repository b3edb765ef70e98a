"""Forks stand-ins of the app on order: ``mock-activation icap-app`` without the time in which libraries load."""

from __future__ import annotations

import os

import aiohttp.web  # noqa: F401 - loaded once here instead of in every child

from mock_activation.cli import run
from mock_activation.icap_app import app, command  # noqa: F401 - the same
from tests.process.forks import Order, serve


def _live(order: Order) -> int:
    """Be a stand-in with these ``options`` and, beside our own, this ``environ``."""
    os.environ.update(order["environ"])
    return run(["icap-app", *order["options"]])


if __name__ == "__main__":
    serve(_live)
