"""Keeps libraries from loading what this process will not use.

httpx imports its own command line (click, rich, pygments) and structlog its colourful tracebacks (rich) whenever those
happen to be installed: about 5 MiB and a third of the start-up for nothing (design.md section 3). Both carry on without
them. This module must not decide what is loaded outside of its ``with`` blocks.

``None`` in ``sys.modules`` is Python's documented way to say "this import fails" (library reference, ``sys.modules``,
import system, "The module cache"). The options that lost: importing httpx's submodules (the package's ``__init__`` runs
first), leaving the packages out of the image (a developer's machine has them), an import hook (stays behind).

aiohttp reads all authorities of the system when it is imported, for TLS with its own defaults: 35 ms and 2 MiB. Its
frozenlist is compiled from C++ and brings libstdc++, 1 MiB for lists that are read once a request. And httpcore looks
for sniffio ten times in each request, along all of ``sys.path`` if it is not installed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Final

LEFT_OUT: Final = ("click", "rich", "pygments")
"""The packages that ``run`` must not load; top-level names suffice, their submodules then fail too."""
_LIGHT: Final = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull, "FROZENLIST_NO_EXTENSIONS": "1"}
"""Where OpenSSL looks for authorities before its own places, and frozenlist's documented way to stay with Python."""


@contextmanager
def lean(*names: str) -> Iterator[None]:
    """Make the import of these, or of ``LEFT_OUT``, fail inside the block; what is loaded already stays as it is.

    To be used around imports at the top of a module, never at run time: other threads import too.
    """
    absent = [name for name in names or LEFT_OUT if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # typeshed has no None, the reference has
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)


@contextmanager
def light_aiohttp() -> Iterator[None]:
    """Import aiohttp inside the block without authorities and without libstdc++. To be used as ``lean``.

    Its own contexts for TLS then trust nobody, so it must be given one of ours (``adapters.trust``) where TLS is
    spoken: forgetting that fails, it does not open a door.
    """
    before = {name: os.environ.get(name) for name in _LIGHT}
    os.environ.update(_LIGHT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def bare_packages(*names: str) -> Iterator[None]:
    """Import modules of these packages inside the block without running the packages' own ``__init__``.

    kubernetes_asyncio's three would load 860 modules for the one that is wanted: 39 MiB and 0.7 s against 0.2 MiB and
    5 ms (measured with everything else of ``run`` loaded). The names are those of the packages, outermost first. They
    are stood in for by empty packages with the same search path, which are taken away again: whoever imports the
    package later gets the real one. A package that is loaded already, or is none, is left alone: then the ordinary
    import runs. To be used as ``lean``.
    """
    made: list[str] = []
    for name in names:
        parent = sys.modules.get(name.rpartition(".")[0])
        if name in sys.modules:
            continue
        spec = PathFinder.find_spec(name, None if parent is None else list(parent.__path__))
        if spec is None or spec.submodule_search_locations is None:
            break
        package = module_from_spec(ModuleSpec(name, None, is_package=True))
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules[name] = package
        made.append(name)
    try:
        yield
    finally:
        for name in made:
            sys.modules.pop(name, None)
        for name in [it for it in sys.modules if made and it.startswith(f"{made[0]}.")]:
            del sys.modules[name]


def remember_absent(*names: str) -> None:
    """Let further searches for these packages end at once, if they are not installed."""
    for name in names:
        if name not in sys.modules and find_spec(name) is None:
            sys.modules[name] = None  # type: ignore[assignment]  # as above
