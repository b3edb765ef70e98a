"""Tables for a person: aligned columns and nothing else, so that ``grep``, ``awk`` and eyes can read them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """Return the text in one line without control characters: a server's sentence must not move the cursor."""
    return _CONTROL.sub(" ", text)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return the rows as lines with aligned columns, two spaces apart; the last column is not padded."""
    cells = [[plain(cell) for cell in row] for row in rows]
    columns = max((len(row) for row in cells), default=0)
    widths = [max((len(row[column]) for row in cells if column < len(row)), default=0) for column in range(columns)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in cells)
    return "".join(f"{line}\n" for line in lines)
