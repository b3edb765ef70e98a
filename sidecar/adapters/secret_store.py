"""The Secrets of one namespace, one at a time and by name: get, create and update are all that the Role allows.

It never lists or watches, and never shows a value: the API server's sentences pass the masker, which knows the values
and what they look like in base64. What is not ours in a Secret is written back as it was read.
"""

from __future__ import annotations

import base64
import binascii
from contextlib import suppress
from typing import Any, Final

from sidecar.adapters.kubernetes_api import ApiError, Json, KubernetesApi, Trouble, collection, single
from sidecar.errors import LedgerOutage, Refused
from sidecar.hook_ports import SecretChanged, SecretContent, StoredSecret
from sidecar.secrets import MASKER, Secret

GROUP: Final = "api/v1"
_LONGEST_MASKED: Final = 4096


class ApiSecretStore:
    """The port ``SecretStore``."""

    def __init__(self, api: KubernetesApi, namespace: str) -> None:
        """Take the API server; nothing is asked yet."""
        self._api = api
        self._namespace = namespace

    async def read(self, name: str) -> StoredSecret | None:
        """Return a Secret, or None."""
        try:
            reply = await self._api.get(self._single(name))
        except ApiError as error:
            if error.trouble is Trouble.NOT_FOUND:
                return None
            raise error.outage() from error
        meta, body = _mapping(reply.body, "metadata"), reply.body
        return StoredSecret(
            name=name,
            data={field: _decoded(name, field, value) for field, value in _mapping(body, "data").items()},
            labels=_mapping(meta, "labels"),
            annotations=_mapping(meta, "annotations"),
            immutable=body.get("immutable") is True,
            deleting=meta.get("deletionTimestamp") is not None,
            origin=body,
        )

    async def create(self, name: str, content: SecretContent) -> None:
        """Write a Secret that must not exist yet. Raises ``SecretChanged``, ``Refused``."""
        body: Json = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"name": name}}
        try:
            await self._api.create(collection(GROUP, self._namespace, "secrets"), _over(body, content))
        except ApiError as error:
            match error.trouble:
                case Trouble.CONFLICT:
                    raise SecretChanged(f"the Secret {name} is there by now") from error
                case Trouble.NOT_FOUND:
                    raise Refused(f"there is no namespace {self._namespace}") from error
            raise _no(name, error) from error

    async def replace(self, stored: StoredSecret, content: SecretContent) -> None:
        """Write over exactly this version, which the body names by uid and resourceVersion."""
        body: Json = {**stored.origin, "apiVersion": "v1", "kind": "Secret"}
        try:
            await self._api.replace(self._single(stored.name), _over(body, content))
        except ApiError as error:
            if error.trouble in (Trouble.CONFLICT, Trouble.NOT_FOUND):
                raise SecretChanged(f"the Secret {stored.name} is another by now") from error
            raise _no(stored.name, error) from error

    def _single(self, name: str) -> str:
        return single(GROUP, self._namespace, "secrets", name)


def _over(body: Json, content: SecretContent) -> Json:
    """Return the body with this content."""
    data = {field: base64.b64encode(value).decode() for field, value in content.data.items()}
    for text in data.values():
        if len(text) <= _LONGEST_MASKED:
            MASKER.register(Secret(text))
    meta = {
        **_mapping(body, "metadata"),
        "labels": dict(content.labels),
        "annotations": dict(content.annotations),
    }
    return {**body, "metadata": meta, "data": data}


def _no(name: str, error: ApiError) -> Refused | LedgerOutage:
    """Return what a write that was not carried out means."""
    if error.trouble is Trouble.INVALID:
        return Refused(f"the API server does not take the Secret {name}: {error}")
    return error.outage()


def _decoded(name: str, field: str, value: Any) -> bytes:
    with suppress(binascii.Error, ValueError, TypeError):
        return base64.b64decode(value or "", validate=True)
    # Raised out here: the decoder's error would be the context, and hold the value.
    raise LedgerOutage(f"the API server sends a Secret {name} whose field {field} is no base64", lasting=True)


def _mapping(content: Json, field: str) -> Json:
    value = content.get(field)
    return value if isinstance(value, dict) else {}
