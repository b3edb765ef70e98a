"""An observer that takes note of nothing, for simulations that count on the server's own history."""

from __future__ import annotations

from typing import Any


class SilentObserver:
    """The port ``Observer``."""

    def stepped(self, state: Any, now: float) -> None:
        """Take no note."""

    def noticed(self, notice: Any) -> None:
        """Take no note."""

    def requested(self, target: Any, operation: str, outcome: Any, seconds: float) -> None:
        """Take no note."""

    def scanned(self, phases: Any, orphans: Any) -> None:
        """Take no note."""

    def scan_failed(self, message: str) -> None:
        """Take no note."""

    def left_alone(self, found: Any) -> None:
        """Take no note."""

    def reclaimed(self, record: Any, result: Any, why: str) -> None:
        """Take no note."""

    def turned(self, loop: str, limit: float) -> None:
        """Take no note."""

    def ended(self, loop: str) -> None:
        """Take no note."""
