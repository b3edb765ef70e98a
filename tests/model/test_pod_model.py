"""The machine in Kubernetes against the same model, with a pod that crashes, is deleted, or only seems to be.

Everything that ``test_machine_model`` does happens here too; the stories of the pod come on top.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from sidecar.core import events
from sidecar.core.policy import Policy, Route
from sidecar.core.reasons import AppTrouble
from tests.model.outside import LATE, SERVER, US, App
from tests.model.pod_outside import InItsPod
from tests.model.test_machine_model import MachineAgainstModel, moments


class MachineInItsPod(MachineAgainstModel):
    """One sidecar in one pod after the other."""

    it: InItsPod

    @initialize(
        route=st.sampled_from([Route.AUTO, Route.PRODUCT, Route.UPLOAD]),
        activate_first=st.booleans(),
        revalidate=st.sampled_from([0.0, 100.0, 86400.0]),
        drain=st.sampled_from([0.0, 10.0]),
        upload=st.booleans(),
    )
    def begin(self, route: Route, activate_first: bool, revalidate: float, drain: float, upload: bool) -> None:
        policy = Policy(
            server=SERVER,
            owner=US,
            route=route,
            activate_first=activate_first,
            revalidate=revalidate,
            drain=drain,
            late=LATE,
            watches_pod=True,
        )
        self.it = InItsPod(policy, app=App(takes_upload=upload or route is Route.UPLOAD))
        self.it.start()

    # --- the watch --------------------------------------------------------------------------------------------------

    @rule()
    def told(self) -> None:
        """Let the watch tell how the pod is."""
        self.it.tell()

    @rule(watching=st.booleans())
    def watch(self, watching: bool) -> None:
        """Cut the watch, or let it see again."""
        self.it.watching = watching
        self.it.tell()

    # --- the app ----------------------------------------------------------------------------------------------------

    @rule(
        seconds=st.sampled_from([0.5, 2.0, 7.0, 40.0]),
        keeps=st.booleans(),
        calm=st.booleans(),
        ended=st.booleans(),
        back=st.booleans(),
    )
    def app_restarts(self, seconds: float, keeps: bool, calm: bool, ended: bool, back: bool) -> None:  # type: ignore[override]
        """End the app's container; its status is told at its end, at its return, at both or later."""
        app = self.it.app
        app.up, app.licensed_by = False, None
        if ended:
            self.it.tell()
        self.it.wait(seconds, calm=calm)
        app.up = True
        app.starts += 1
        if not keeps:
            app.deployment_id = f"MSCL{app.starts}"
        if back:
            self.it.tell()

    @rule(seconds=st.sampled_from([10.0, 70.0, 200.0]), calm=st.booleans())
    def port_hangs(self, seconds: float, calm: bool) -> None:
        """Let the app's port not answer for a while; it serves, and its container runs."""
        self.it.hangs = True
        self.it.feed(events.Knocked(trouble=AppTrouble.SILENT))
        self.it.wait(seconds, calm=calm)
        self.it.hangs = False

    @rule()
    def status_lags(self) -> None:
        """Tell that the app's container has ended when it has long been back, and answers."""
        it = self.it
        it.lags = True
        it.tell()
        it.wait(8.0, calm=True)
        it.lags = False
        it.tell()

    # --- the pod and its peers --------------------------------------------------------------------------------------

    @rule(peer=st.sampled_from(["claims", "deactivates", "erases"]), blind=st.booleans())
    def released_by_force(self, peer: str, blind: bool) -> None:
        """Let an operator release a seat of a pod that lives, and be interrupted; it may not be seen for a while."""
        self.it.claim(deactivates=peer != "claims", erases=peer == "erases")
        if blind:
            self.it.blind = True
            self.it.wait(40.0, calm=True)
            self.it.blind = False

    @precondition(lambda self: self.it.state is not None)
    @rule(
        budget=st.sampled_from([2.0, 20.0]),
        calm=st.booleans(),
        twice=st.booleans(),
        release=st.sampled_from([None, True, False]),
        lags=st.booleans(),
    )
    def stop(self, budget: float, calm: bool, twice: bool, release: bool | None, lags: bool) -> None:  # type: ignore[override]
        """Tell the sidecar alone to end: it does so in time, and with None it leaves a serving app its seat."""
        it = self.it
        it.lags = lags
        if release is None:
            it.stop(budget)
        else:
            it.stop_by = it.now + budget
            it.feed(events.Stop(deadline=it.stop_by, release=release))
        if twice and it.state is not None:
            it.wait(0.2, calm=calm)
            it.feed(events.Stop(deadline=it.now + 2.0, release=release))
        it.wait(budget, calm=calm)
        assert it.state is None, "BOUNDED_STOP"
        it.lags = False
        it.start()

    @precondition(lambda self: self.it.state is not None)
    @rule(
        seconds=moments,
        grace=st.sampled_from([5.0, 30.0, 600.0]),
        told=st.booleans(),
        app_ends=st.booleans(),
        calm=st.booleans(),
    )
    def pod_deleted(self, seconds: float, grace: float, told: bool, app_ends: bool, calm: bool) -> None:
        """Delete the pod: the app ends first, or does not; the sidecar is told to stop; another pod begins."""
        it = self.it
        it.pod.deleting, it.pod.ends_at = True, it.now + grace
        if told:
            it.tell()
        it.wait(min(seconds, grace), calm=calm)
        if app_ends:
            it.app.up, it.app.licensed_by = False, None
        it.stop(20.0)
        it.wait(20.0, calm=calm)
        assert it.state is None, "BOUNDED_STOP"
        it.bury()

    @precondition(lambda self: self.it.state is not None and self.it.policy.drain > 0)
    @rule(seconds=st.sampled_from([0.0, 3.0, 9.0]), serves=st.sampled_from([1.0, 6.0, 60.0]), calm=st.booleans())
    def rest_port_closes_first(self, seconds: float, serves: float, calm: bool) -> None:
        """Delete the pod of a plain container, whose app closes its REST port and serves on: its end is waited for."""
        it = self.it
        it.pod.deleting, it.pod.ends_at = True, it.now + 60.0
        may_wait = it.now + it.policy.drain
        if not seconds:
            it.drains_until = may_wait
        it.stop(40.0)
        it.wait(seconds, calm=calm)
        it.drains_until = may_wait
        it.wait(serves, calm=calm)
        it.app.up, it.app.licensed_by = False, None
        it.wait(40.0, calm=calm)
        assert it.state is None, "BOUNDED_STOP"
        it.bury()

    @precondition(lambda self: self.it.state is not None)
    @rule(
        seconds=moments,
        told=st.booleans(),
        peer=st.sampled_from(["asleep", "claims", "deactivates", "erases"]),
        calm=st.booleans(),
    )
    def pod_deleted_by_force(self, seconds: float, told: bool, peer: str, calm: bool) -> None:
        """Take the pod's object away while its containers run on; peers take it for gone, and rightly so."""
        it = self.it
        it.pod.exists = False
        if told:
            it.tell()
        if peer != "asleep":
            it.claim(deactivates=peer != "claims", erases=peer == "erases")
        it.wait(seconds, calm=calm)
        self.no_leak()
        it.bury()

    def teardown(self) -> None:
        """Check the same as without a pod, with a pod that stays and is seen."""
        if hasattr(self, "it"):
            self.it.watching = True
            self.it.app.up = True
            self.it.tell()
        super().teardown()


TestMachineInItsPod = MachineInItsPod.TestCase
