"""The OpenAPI files of the mocks, as they are served. The marks ``x-evidence`` in them are protocol.md's.

A file is read when it is first asked for; nothing is made up at run time, so that what is served is what is reviewed.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@cache
def as_yaml(name: str) -> bytes:
    """Return a file as it is written; ``name`` without ``.yaml``."""
    return files(__name__).joinpath(f"{name}.yaml").read_bytes()


@cache
def as_json(name: str) -> bytes:
    """Return the same as JSON."""
    return json.dumps(document(name), indent=1).encode()


def document(name: str) -> dict[str, Any]:
    """Return the same as a mapping of the caller's own."""
    content: dict[str, Any] = yaml.safe_load(as_yaml(name))
    return content
