"""Puts a state file behind a backend: what the file holds comes back, what changes from now on is written.

What was named at the start (what a key allows, the position of a switch) wins over the file; seats are the file's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from mock_activation.activation_api import LOG
from mock_activation.backend import Backend
from mock_activation.commits import Commits
from mock_activation.state_file import StateError, StateFile
from mock_activation.switches import Switches


def keep(backend: Backend, path: Path, named_switches: Mapping[str, StrEnum]) -> Commits:
    """Bring back what the file holds, and let the backend write to it. Raises ``StateError``."""
    file = StateFile(path)
    try:
        pool, kept = backend.pool, file.read()
        named = pool.specs()
        for key in kept.keys:
            pool.load(key.digest, named.get(key.digest, key.spec), key.seats)
        pool.switches = replace(kept.switches or Switches(), **named_switches)  # type: ignore[arg-type] # each is a position of its own switch
        backend.advanced = kept.clock_offset
        backend.begin_here()
        commits = Commits(file, pool, lambda: backend.advanced)
        for key_digest in named:
            commits.key_changed(key_digest)
        commits.write()
    except BaseException:
        file.close()
        raise
    backend.commits = pool.keeper = commits
    return commits


def let_go(backend: Backend) -> None:
    """Write the rest and close the file; what cannot be written was never answered."""
    commits, backend.commits, backend.pool.keeper = backend.commits, None, None
    if commits is not None:
        try:
            commits.close()
        except StateError as error:
            LOG.error("%s", error)
