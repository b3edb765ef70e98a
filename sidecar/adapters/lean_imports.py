"""Keeps libraries from loading what they would only need on a terminal.

httpx imports its own command line (click, rich, pygments) and structlog its colourful tracebacks (rich) whenever those
happen to be installed: about 5 MiB and a third of the start-up for nothing (design.md section 3). Both carry on without
them. This module must not decide what is loaded outside of its ``with`` block, and imports nothing but ``sys``.

``None`` in ``sys.modules`` is Python's documented way to say "this import fails" (library reference, ``sys.modules``,
import system, "The module cache"). The options that lost: importing httpx's submodules (the package's ``__init__`` runs
first), leaving the packages out of the image (a developer's machine has them), an import hook (stays behind).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

LEFT_OUT: Final = ("click", "rich", "pygments")
"""The packages that ``run`` must not load; top-level names suffice, their submodules then fail too."""


@contextmanager
def lean() -> Iterator[None]:
    """Make the import of ``LEFT_OUT`` fail inside the block; what is loaded already stays as it is.

    To be used around imports at the top of a module, never at run time: other threads import too.
    """
    absent = [name for name in LEFT_OUT if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # typeshed has no None, the reference has
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)
