"""The life of a release: installed, upgraded, changed, given another key, uninstalled, where pods must be restricted.

The real Helm, the real API server with its controllers, pods that run. Truth about seats is the activation server's.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.activation import Activation
from tests.chart.conftest import obtain
from tests.chart.helm import VERSIONS, Failed
from tests.chart.kubelet.kubelet import Kubelet
from tests.chart.release import Release, values
from tests.cluster.control_plane.plane import ControlPlane

TRIAL = "FAKE-LIFE-ONLY-NOT0-REAL-0001-MOCK"
SECRETS = {"mdicapsrv-api-key", "mdicapsrv-cred", "mdicapsrv-license-key", "mdicapsrv-postgres-cred"}
OF_THE_CLUSTER = {"ConfigMap/kube-root-ca.crt", "ServiceAccount/default"}
LOOKED_AT = (
    *("configmaps", "secrets", "serviceaccounts", "services", "persistentvolumeclaims", "pods", "leases"),
    *("deployments", "replicasets", "statefulsets", "jobs", "cronjobs", "roles", "rolebindings"),
    *("poddisruptionbudgets", "networkpolicies", "ingresses", "horizontalpodautoscalers"),
)


def left_in(release: Release) -> set[str]:
    """Return everything in the namespace but what the cluster itself and Helm's own history put there."""
    found = set()
    for resource in LOOKED_AT:
        for it in release.admin.list(resource, release.namespace):
            kind = {"configmaps": "ConfigMap", "serviceaccounts": "ServiceAccount"}.get(resource, resource)
            found.add(f"{kind}/{it['metadata']['name']}")
    return found - OF_THE_CLUSTER


def versions(release: Release) -> dict[str, str]:
    """Return the resourceVersion of each of the release's Secrets."""
    found = release.admin.list("secrets", release.namespace)
    return {
        it["metadata"]["name"]: it["metadata"]["resourceVersion"] for it in found if it["metadata"]["name"] in SECRETS
    }


@pytest.mark.parametrize("major", VERSIONS, ids=lambda it: f"helm-{it}")
def test_a_trial_with_nothing_but_a_key(
    own_control_plane: ControlPlane, kubelet: Kubelet, restricted: str, major: int
) -> None:
    """A key and the mock switched on: admitted in a restricted namespace, licensed, tested, gone; the notes say so."""
    release = Release(obtain(major), own_control_plane, kubelet, restricted)
    said = release.install({"license": {"key": TRIAL}, "mockActivation": {"enabled": True}})
    assert "MOCK ACTIVATION IS ON. NOTHING HERE IS LICENSED" in said
    assert "license-sidecar list" in said
    (pod,) = release.pods()
    container = next(it for it in pod["spec"]["containers"] if it["name"] == "md-icapsrv")
    assert "FAKE-LIFE" not in str(container)
    tested = release.run("test", "rel", "--logs", "--timeout=60s")
    assert "1 of 1 sidecars are ready" in tested
    assert "ICAP OPTIONS: ICAP/1.0 200" in tested
    code, listed = release.sidecar("list")
    assert code == 0
    assert "1 seat: 1 of owners that live" in listed
    release.uninstall()
    # The pod of `helm test` has ended; it stays for its log, as Helm has it.
    left = {"pods/rel-icap-test", *(f"secrets/{name}" for name in SECRETS - {"mdicapsrv-postgres-cred"})}
    assert left_in(release) == left


def test_an_upgrade_without_the_key_keeps_it(release: Release, activation: Activation) -> None:
    """Upgrades without the key write no Secret, replace no pod and touch no seat."""
    key = activation.key(2)
    release.install(values(activation, key, {"replicas": 2}))
    seats, pods, before = activation.used(key), release.names(), versions(release)
    assert len(seats) == 2
    assert set(before) == SECRETS
    release.upgrade(values(activation, None, {"replicas": 2}))
    assert release.secret("mdicapsrv-license-key") == {"value": key.text}
    assert versions(release) == before
    assert release.names() == pods
    assert activation.used(key) == seats


def test_a_changed_configuration_rolls_the_pods(release: Release, activation: Activation) -> None:
    """A change of what the app reads replaces every pod, one seat at a time; a rollback does so again."""
    key = activation.key(2)
    release.install(values(activation, key, {"replicas": 2}))
    before, seats = release.names(), activation.used(key)
    release.upgrade(values(activation, None, {"replicas": 2, "app": {"confJson": '{"made": "up"}'}}))
    after = release.names()
    assert not before & after
    assert len(activation.used(key)) == 2
    assert not activation.used(key) & seats
    script = 'printf %s "$ICAP_CONF_JSON"'
    assert (
        release.kubelet.execute(release.namespace, min(after), "md-icapsrv", "sh", "-c", script)[1] == '{"made": "up"}'
    )
    release.run("rollback", "rel", "1", "--wait", "--timeout=180s")
    release.until_rolled_out()
    assert not release.names() & after
    assert len(activation.used(key)) == 2
    assert release.secret("mdicapsrv-license-key") == {"value": key.text}


def test_a_new_key_moves_the_seats(release: Release, activation: Activation) -> None:
    """A key given at an upgrade: the seats move to it, the old ones are free, no pod is replaced; and back again."""
    old, new = activation.key(2), activation.key(2)
    release.install(values(activation, old, {"replicas": 2}))
    pods = release.names()
    deployments = activation.used(old)
    release.upgrade(values(activation, new, {"replicas": 2}))
    assert release.secret("mdicapsrv-license-key") == {"value": new.text, "previous": old.text}
    release.until("the seats of the new key", lambda: activation.used(new) == deployments)
    release.until("the release of the old ones", lambda: not activation.used(old))
    release.upgrade(values(activation, None, {"replicas": 2}))
    assert release.secret("mdicapsrv-license-key") == {"value": new.text, "previous": old.text}
    release.upgrade(values(activation, old, {"replicas": 2}))
    assert release.secret("mdicapsrv-license-key") == {"value": old.text, "previous": new.text}
    release.until("the seats of the old key", lambda: activation.used(old) == deployments)
    release.until("the release of the new ones", lambda: not activation.used(new))
    assert release.names() == pods


def test_an_uninstall_gives_every_seat_back(release: Release, activation: Activation) -> None:
    """Also the seat of a pod that died without a word just before; only the Secrets stay, and the drain tells."""
    key = activation.key(2)
    release.install(values(activation, key, {"replicas": 2}))
    assert len(activation.used(key)) == 2
    victim = min(release.names())
    release.kubelet.kill(release.namespace, victim)
    release.admin.force_delete_pod(release.namespace, victim)
    said = release.uninstall()
    assert activation.used(key) == set()
    assert left_in(release) == {f"secrets/{name}" for name in SECRETS}
    assert "is scaled from 2 to 0" in said
    assert "the release rel has 0 pods and 0 seat records" in said


def test_what_an_uninstall_left_is_taken_up_again(release: Release, activation: Activation) -> None:
    """The next install of that name without anything given finds API key, credentials and licence key."""
    key = activation.key(1)
    given = values(activation, key)
    release.install(given)
    kept = {name: release.secret(name) for name in SECRETS}
    release.uninstall()
    again: dict[str, Any] = {
        **given,
        "license": {"existingSecret": "mdicapsrv-license-key"},
        "database": {"host": "postgres.invalid", "existingSecret": "mdicapsrv-postgres-cred"},
    }
    release.install(again)
    assert {name: release.secret(name) for name in SECRETS} == kept
    assert len(activation.used(key)) == 1


def test_a_missing_key_is_said_before_anything_is_made(release: Release, activation: Activation) -> None:
    """An install without a key is refused with what to do, and leaves nothing."""
    with pytest.raises(Failed, match=r"There is no activation key\. Set license\.key"):
        release.install(values(activation))
    assert left_in(release) == set()


def test_an_upgrade_that_fails_is_taken_back(release: Release, activation: Activation) -> None:
    """An image that nobody has, with --atomic: one pod waits, the other goes on serving, and then all is as it was."""
    key = activation.key(2)
    given = values(activation, key, {"replicas": 2})
    release.install(given)
    pods = release.names()
    broken = {**given, "app": {**given["app"], "image": {"repository": "made.invalid/nobody-has-it"}}}
    with pytest.raises(Failed, match="rolled back due to atomic being set"):
        release.run_unready("upgrade", broken, "--atomic", "--timeout=15s")
    release.until_rolled_out()
    assert len(pods & release.names()) == 1
    release.until("two seats", lambda: len(activation.used(key)) == 2)
    assert release.secret("mdicapsrv-license-key") == {"value": key.text}
