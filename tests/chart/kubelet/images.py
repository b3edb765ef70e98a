"""Which program runs for which image: ours as its Dockerfile says, and a stand-in for the vendor's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

Object = dict[str, Any]

# The product activates through an address of its own; the stand-in is told that of the Service which the tests make.
_VENDOR: Final = """
printf %s "$APIKEY" > /tmp/api-key
exec mock-activation icap-app --host=0.0.0.0 --port="$REST_PORT" --icap-port="$ICAP_PORT" \
  --control-host=127.0.0.1 --control-port=8049 --api-key-file=/tmp/api-key \
  --activation-url="${STAND_IN_ACTIVATION_URL:-http://127.0.0.1:1}"
"""


@dataclass(frozen=True, slots=True)
class Image:
    """What an image says about the containers made of it."""

    entry_point: Sequence[str]
    arguments: Sequence[str]
    user: int
    environment: tuple[tuple[str, str], ...] = ()


_OURS: Final = Image(
    ("license-sidecar",), ("run",), 65532, (("PYTHONDONTWRITEBYTECODE", "1"), ("PYTHONUNBUFFERED", "1"))
)
_IMAGES: Final = {
    "license-sidecar": _OURS,
    "metadefendericapsrv-debian": Image(("sh", "-c", _VENDOR), (), 1000, _OURS.environment),
}


def find(reference: str) -> Image | None:
    """Return the image by the last word of its name; None as a registry says that there is none."""
    name = reference.rpartition("/")[2].partition("@")[0].partition(":")[0]
    return _IMAGES.get(name)


def command(image: Image, container: Object) -> list[str]:
    """Return what is executed: ``command`` stands for entry point and arguments, ``args`` for the arguments alone."""
    if container.get("command"):
        return [*container["command"], *container.get("args", ())]
    return [*image.entry_point, *(container.get("args") or image.arguments)]
