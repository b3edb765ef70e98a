"""Compares what the clients believe with what the server counts (``GET /state`` of its control port)."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came out; only seats of this run, but for ``miscounted``."""

    believed: int
    in_doubt: int
    on_server: int
    lost: int
    """The server granted them, nobody gave them back, and it knows nothing of them."""
    twice: int
    """Counted although given back, or as more than one."""
    late: int
    """Counted although given back, but an activation of it was never answered: the server may have come to it late."""
    miscounted: int
    """Keys whose number of taken seats is not that of their seats, or is above the limit."""

    @property
    def is_right(self) -> bool:
        """Tell whether nothing was lost or counted wrongly."""
        return not (self.lost or self.twice or self.miscounted)


def fetch_state(control_url: str, timeout: float, token: str = "") -> Any:
    """Return the server's state. Raises ``OSError``, also if what answers is something else."""
    request = urllib.request.Request(f"{control_url}/state")  # noqa: S310 - the command lets only http through
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with _OPENER.open(request, timeout=timeout) as answer:
            state = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:  # it holds the connection
            raise ConnectionError(f"the control port answered {error.code} {error.reason}") from None
    except (ValueError, HTTPException):
        state = None
    if not isinstance(state, dict) or not isinstance(state.get("keys"), list):
        raise ConnectionError("what answers there is not the control port of mock-activation")
    return state


def compare(
    state: Any, mark: str, believed: Collection[str], in_doubt: Collection[str], may_come_late: Collection[str] = ()
) -> Verdict:
    """Compare; ``mark`` is how the deployment IDs of this run begin."""
    ours: Counter[str] = Counter()
    miscounted = 0
    for key in state["keys"]:
        units = sum(seat["units"] for seat in key["taken"])
        miscounted += key["used"] != units or key["used"] > key["seats"]
        ours.update({seat["deployment"]: seat["units"] for seat in key["taken"] if seat["deployment"].startswith(mark)})
    sure, known = set(believed), set(believed) | set(in_doubt)
    unexpected = ours.keys() - known
    late = sum(name in may_come_late for name in unexpected)
    return Verdict(
        believed=len(sure),
        in_doubt=len(known - sure),
        on_server=len(ours),
        lost=len(sure - ours.keys()),
        twice=sum(ours[name] > 1 for name in known) + len(unexpected) - late,
        late=late,
        miscounted=miscounted,
    )
