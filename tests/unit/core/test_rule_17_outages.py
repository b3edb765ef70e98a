"""Rule 17 in Kubernetes, while the API server is away: what the status said last is history, so nothing is released."""

from __future__ import annotations

from sidecar.core.commands import Occasion
from sidecar.core.facts import AppContainer
from sidecar.core.reasons import AppEnd, AppTrouble
from tests.unit.core.driver import Scene


def test_rule_17_nothing_fails_while_the_ledger_is_down() -> None:
    """Ledger and pod are told by the same API server: a renewal finds it gone before the watch of the pod notices."""
    scene = Scene(watches_pod=True).begin()
    scene.run(5)
    scene.ledger_down()
    scene.run(15)
    assert scene.state.ledger.down_since is not None
    scene.see_pod(app=AppContainer(id="one", ended=AppEnd.EXIT))
    scene.app.trouble = AppTrouble.REFUSED
    scene.run(60)
    assert scene.taken()
    assert scene.noticed(Occasion.APP_FAILED) == []
    scene.ledger_up()
    scene.run(60)
    assert not scene.taken()
