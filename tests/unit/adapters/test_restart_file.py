"""The file that asks the app's liveness probe to fail."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sidecar.adapters.restart_file import NAME, FolderRestartFile


def test_touching_makes_the_file(tmp_path: Path) -> None:
    """After a touch the file is there, and it is young."""
    FolderRestartFile(tmp_path).touch()
    assert abs(time.time() - (tmp_path / NAME).stat().st_mtime) < 60


def test_touching_again_makes_it_young(tmp_path: Path) -> None:
    """An old file becomes young, so that the probe goes on failing."""
    path = tmp_path / NAME
    path.touch()
    os.utime(path, (1, 1))
    FolderRestartFile(tmp_path).touch()
    assert abs(time.time() - path.stat().st_mtime) < 60


def test_removing_is_done_once_and_for_all(tmp_path: Path) -> None:
    """The file is gone after a removal; removing again, and without a folder, is no failure."""
    file = FolderRestartFile(tmp_path)
    file.touch()
    file.remove()
    assert list(tmp_path.iterdir()) == []
    file.remove()
    FolderRestartFile(tmp_path / "absent").remove()


def test_touching_without_a_folder_is_told(tmp_path: Path) -> None:
    """A folder that is not mounted is a failure that the caller sees."""
    with pytest.raises(FileNotFoundError):
        FolderRestartFile(tmp_path / "absent").touch()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """The app, which shares the folder, cannot make us touch another file."""
    victim = tmp_path / "victim"
    (tmp_path / NAME).symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        FolderRestartFile(tmp_path).touch()
    assert not victim.exists()
