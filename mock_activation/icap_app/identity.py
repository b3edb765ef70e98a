"""Which deployment ID a life of the app has (protocol.md section 1): a new one, a kept one, or a given one."""

from __future__ import annotations

import os
import re
import uuid

from mock_activation.icap_app.settings import Settings

_GIVEN = re.compile(r"[!#-\[\]-~]{1,128}")
"""Printable, without white space, quotes and backslashes; what is well-formed is for the activation server to say."""


def id_fault(text: str) -> str | None:
    """Return what is wrong with a given deployment ID, or None."""
    return None if _GIVEN.fullmatch(text) else "a deployment ID is up to 128 printable characters without white space"


def choose_id(settings: Settings) -> str:
    """Return the deployment ID for a new life. Raises ``OSError`` or ``ValueError`` where it cannot be kept."""
    fresh = f"{settings.id_prefix}{uuid.uuid4().hex}"
    if settings.deployment_id == "fresh":
        return fresh
    if settings.deployment_id != "keep":
        return settings.deployment_id
    if settings.data is None:
        raise ValueError("to keep the deployment ID a data folder is needed")
    settings.data.mkdir(parents=True, exist_ok=True)
    kept = settings.data / "deployment-id"
    if kept.exists():
        text = kept.read_text(encoding="utf-8").strip()
        if fault := id_fault(text):
            raise ValueError(f"{kept.name} in the data folder holds no deployment ID: {fault}")
        return text
    new = settings.data / "deployment-id.new"
    new.write_text(f"{fresh}\n", encoding="utf-8")
    os.replace(new, kept)  # noqa: PTH105 - the one call that is known to replace at once
    return fresh
