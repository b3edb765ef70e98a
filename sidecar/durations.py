"""Durations as people write them: seconds, or ``15s``, ``5m``, ``24h``.

Stands alone because ``wait`` must not load the settings, and the settings must not read durations in another way. It
knows nothing of what a duration is for.
"""

from __future__ import annotations

import re
from typing import Final

_FORM: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*(ms|s|m|h|d|)", re.ASCII)
_SECONDS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str) -> float:
    """Return the seconds that a text such as ``90``, ``1.5``, ``500ms``, ``15s``, ``5m``, ``24h`` or ``2d`` means.

    Raises ``ValueError`` for everything else: signs, exponents, ``nan`` and two units are never a duration.
    """
    form = _FORM.fullmatch(text.strip())
    if form is None:
        message = "not a duration: write seconds, or 500ms, 15s, 5m, 24h, 2d"
        raise ValueError(message)
    return float(form[1]) * _SECONDS[form[2]]


def format_duration(seconds: float) -> str:
    """Return seconds in the largest unit that needs no fraction, such as ``30d``, ``24h``, ``90s`` or ``1.5s``."""
    for unit, least in (("d", 2), ("h", 1), ("m", 1)):
        count = seconds / _SECONDS[unit]
        if count >= least and count.is_integer():
            return f"{count:.0f}{unit}"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s" if seconds else "0"
