"""What the container around the product does by itself: the vendor's start script, and the chart's liveness probe.

One attempt each time, whatever comes of it (protocol.md section 3, design.md section 5). It keeps no state.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from mock_activation.icap_app.activation import ActivationFailed
from mock_activation.icap_app.product import InvalidLicence

_LOG: Final = logging.getLogger("mock_activation.icap_app")

FRESH_FOR: Final = 120.0
"""Seconds during which the liveness probe minds the file ``restart-app`` (design.md section 5)."""


async def activate_once(activate: Callable[[], Awaitable[None]]) -> None:
    """Activate at the start, as the container does with ``LICENSE_KEY``."""
    try:
        await activate()
    except (ActivationFailed, InvalidLicence) as error:
        _LOG.warning("LICENSE_KEY did not activate, and is not tried again: %s", error)


async def deactivate_once(deactivate: Callable[[], Awaitable[None]]) -> None:
    """Deactivate at SIGTERM."""
    try:
        await deactivate()
    except ActivationFailed as error:
        _LOG.warning("not deactivated, and not tried again: %s", error)


async def mind_restart_file(path: Path, period: float, restart: Callable[[], object]) -> None:
    """Do as the chart's liveness probe, for ever: a young ``restart-app`` gets the container restarted."""
    while True:
        await asyncio.sleep(period)
        try:
            # Wall clock: a file's time is nothing else.
            young = time.time() - path.stat().st_mtime < FRESH_FOR  # noqa: ASYNC240 - as quick as any call
        except OSError:
            continue
        if young:
            _LOG.info("the file restart-app asks for a restart")
            restart()
