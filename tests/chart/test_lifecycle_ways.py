"""Other ways to live with a release: a neighbour, own Secrets, a CronJob, a plain container, a volume, a shared key."""

from __future__ import annotations

import json

import pytest

from tests.chart.activation import Activation, Key
from tests.chart.helm import Failed, Helm
from tests.chart.kubelet.kubelet import Kubelet
from tests.chart.manifests import load
from tests.chart.release import Release, bind_claims, forbidden, values
from tests.chart.test_lifecycle import SECRETS, left_in
from tests.cluster.control_plane.api import Object
from tests.cluster.control_plane.plane import ControlPlane

OWN = {
    "license": {"existingSecret": "my-key"},
    "app": {"apiKey": {"existingSecret": "my-api-key"}, "credentials": {"existingSecret": "my-cred"}},
    "database": {"host": "postgres.invalid", "existingSecret": "my-db", "user": "", "password": ""},
}
API_KEY = "a1b2c3" * 6


def own_secrets(release: Release, key: Key) -> None:
    """Make the Secrets that a careful operator brings himself."""
    content: dict[str, dict[str, str]] = {
        "my-key": {"value": key.text},
        "my-api-key": {"value": API_KEY},
        "my-cred": {"user": "admin", "password": "made-up"},
        "my-db": {"user": "made-up", "password": "made-up"},
    }
    for name, entries in content.items():
        release.admin.create("secrets", {"metadata": {"name": name}, "stringData": entries}, release.namespace)


@pytest.fixture
def neighbour(helm3: Helm, own_control_plane: ControlPlane, kubelet: Kubelet, release: Release) -> Release:
    """Return a second release in the namespace of the first, under names of its own."""
    return Release(helm3, own_control_plane, kubelet, release.namespace, name="other", workload="other-md-icapsrv")


def test_two_releases_in_a_namespace(release: Release, neighbour: Release, activation: Activation) -> None:
    """With the vendor's names the second is refused and touches nothing; with names of its own both live and end."""
    one, two = activation.key(1), activation.key(1)
    release.install(values(activation, one))
    seats, kept = activation.used(one), {name: release.secret(name) for name in SECRETS}
    # Helm's own words, before any hook: a chart that looks into no cluster cannot say it better.
    with pytest.raises(Failed, match=r'must equal "other": current value is "rel"'):
        neighbour.install(values(activation, two))
    assert {name: release.secret(name) for name in SECRETS} == kept
    neighbour.install(values(activation, two, {"naming": "release"}))
    assert len(activation.used(two)) == 1
    neighbour.uninstall()
    assert activation.used(two) == set()
    assert activation.used(one) == seats
    assert {name: release.secret(name) for name in SECRETS} == kept
    assert len(release.pods()) == 1


def test_the_secrets_of_a_release_that_is_gone(release: Release, neighbour: Release, activation: Activation) -> None:
    """Another release does not take the Secrets that an uninstalled one left: it is refused with what to do."""
    one, two = activation.key(1), activation.key(1)
    release.install(values(activation, one))
    release.uninstall()
    kept = {name: release.secret(name) for name in SECRETS}
    neighbour.workload = release.workload
    with pytest.raises(Failed) as refusal:
        neighbour.install(values(activation, two))
    assert "belongs to the release rel" in str(refusal.value)
    assert {name: release.secret(name) for name in SECRETS} == kept
    assert activation.used(two) == set()


def test_without_hooks_and_with_own_secrets(release: Release, activation: Activation) -> None:
    """Who brings all Secrets needs no hook: nothing writes, and the pods themselves give their seats back.

    Their rights are deleted with them, so a record may stay; the next install with the key looks at it and erases it.
    """
    key = activation.key(1)
    own_secrets(release, key)
    given = values(activation, None, OWN)
    release.install(given, "--no-hooks")
    assert len(activation.used(key)) == 1
    before = {it["metadata"]["name"] for it in release.leases()}
    release.uninstall("--no-hooks")
    release.keeps_its_rights = False
    assert activation.used(key) == set()
    mine = {f"secrets/{name}" for name in ("my-key", "my-api-key", "my-cred", "my-db")}
    assert left_in(release) - {f"leases/{name}" for name in before} == mine
    release.install(given, "--no-hooks")
    release.until("the end of the old record", lambda: not before & {it["metadata"]["name"] for it in release.leases()})
    assert len(activation.used(key)) == 1


def test_applied_without_helm(release: Release, activation: Activation) -> None:
    """What `helm template` prints, applied by somebody else, lives; scaled to 0 it leaves neither seat nor record."""
    key = activation.key(1)
    own_secrets(release, key)
    text = json.dumps(values(activation, None, OWN, {"helmTest": {"enabled": False}}))
    rendered = release.helm.template(values=text, namespace=release.namespace, more=["--no-hooks"])
    for it in load(rendered):
        release.admin.apply(it, release.namespace)
    release.until_rolled_out()
    assert len(activation.used(key)) == 1
    release.admin.patch("deployments", "md-icapsrv", {"spec": {"replicas": 0}}, release.namespace)
    release.until("the end", lambda: not activation.used(key) and not release.leases() and not release.pods())


def test_the_key_in_a_secret_of_ones_own_is_changed_by_hand(release: Release, activation: Activation) -> None:
    """`previous` and `value` of the own Secret changed: the seats move without a roll."""
    old, new = activation.key(1), activation.key(1)
    own_secrets(release, old)
    release.install(values(activation, None, OWN))
    (pod,) = release.names()
    entries = {"value": new.text, "previous": old.text}
    release.admin.patch("secrets", "my-key", {"stringData": entries}, release.namespace)
    release.until("the move", lambda: (len(activation.used(old)), len(activation.used(new))) == (0, 1))
    assert release.names() == {pod}


def test_the_cron_job_reclaims_what_nobody_else_would(release: Release, activation: Activation) -> None:
    """All pods are gone without a word and none comes back: one run of the CronJob's Job frees their seats."""
    key = activation.key(2)
    release.install(values(activation, key, {"replicas": 2, "reclaimCronJob": {"enabled": True}}))
    pods = release.names()
    release.admin.patch("deployments", "md-icapsrv", {"spec": {"paused": True}}, release.namespace)
    for pod in pods:
        release.kubelet.kill(release.namespace, pod)
    scale = {"spec": {"replicas": 0}}
    release.admin.patch("deployments", "md-icapsrv", {"spec": {"paused": False, **scale["spec"]}}, release.namespace)
    for pod in pods:
        if release.admin.find("pods", pod, release.namespace) is not None:
            release.admin.force_delete_pod(release.namespace, pod)
    release.until("no pods", lambda: not release.pods())
    assert len(activation.used(key)) == 2
    run_cron_job(release)
    assert activation.used(key) == set()
    assert release.leases() == []


def run_cron_job(release: Release) -> None:
    """Do what `kubectl create job --from=cronjob/…` does, and wait until it has succeeded."""
    (cron,) = release.admin.list("cronjobs", release.namespace)
    job = {"metadata": {"name": "by-hand"}, "spec": cron["spec"]["jobTemplate"]["spec"]}
    release.admin.create("jobs", job, release.namespace)

    def over() -> bool:
        status = release.admin.get("jobs", "by-hand", release.namespace).get("status", {})
        assert not status.get("failed"), release.kubelet.story(release.namespace)
        return bool(status.get("succeeded"))

    release.until("the Job", over)


def test_a_plain_container_waits_for_the_app(release: Release, activation: Activation) -> None:
    """Where there are no native sidecars both are told to end together: the seat goes when the app serves no more."""
    key = activation.key(1)
    release.install(values(activation, key, {"sidecar": {"mode": "container"}}))
    (pod,) = release.pods()
    assert [it["name"] for it in pod["spec"]["containers"]] == ["md-icapsrv", "license-sidecar"]
    release.uninstall()
    assert activation.used(key) == set()
    told = [it.partition(": ") for it in release.kubelet.story(release.namespace).splitlines()]
    when = {what: float(where.split()[0]) for where, _, what in told if where.endswith(pod["metadata"]["name"])}
    # The app's preStop takes a second, and the sidecar was told at its beginning.
    assert when["license-sidecar has ended with 0"] - when["is being deleted"] > 1


def test_the_end_of_the_namespace(release: Release, activation: Activation) -> None:
    """The whole namespace is deleted, rights and Secrets first for all anybody knows: the pods release their seats."""
    key = activation.key(2)
    release.install(values(activation, key, {"replicas": 2}))
    release.keeps_its_rights = False
    release.admin.delete("namespaces", release.namespace)
    release.until("free seats", lambda: not activation.used(key))


def test_the_data_survive_an_uninstall(release: Release, activation: Activation) -> None:
    """The claim with the app's data stays, and the next install of that name finds it."""
    key = activation.key(1)
    given = values(activation, key, {"persistence": {"enabled": True}})
    release.run_unready("install", given)
    bind_claims(release)
    release.until_rolled_out()
    write = ("sh", "-c", "echo data > /opt/mdicapsrv/icap_data/file")
    assert release.kubelet.execute(release.namespace, min(release.names()), "md-icapsrv", *write) == (0, "")
    release.uninstall()
    assert "persistentvolumeclaims/md-icapsrv-data" in left_in(release)
    release.install(given)
    read = ("cat", "/opt/mdicapsrv/icap_data/file")
    assert release.kubelet.execute(release.namespace, min(release.names()), "md-icapsrv", *read) == (0, "data\n")


def test_a_ledger_in_a_namespace_of_its_own(
    helm3: Helm, own_control_plane: ControlPlane, kubelet: Kubelet, activation: Activation
) -> None:
    """Releases of one name share key and ledger over namespaces: each reclaims the other's dead, and drains its own."""
    admin = kubelet.admin
    ledger, *homes = (admin.create_namespace(pod_security="restricted") for _ in range(3))
    key = activation.key(2)
    dying, living = (Release(helm3, own_control_plane, kubelet, home) for home in homes)
    for it, other in ((dying, living), (living, dying)):
        it.install(values(activation, key, {"ledger": {"namespace": ledger, "readPodsIn": [other.namespace]}}))
    assert len(activation.used(key)) == 2
    (victim,) = dying.names()
    kubelet.kill(dying.namespace, victim)
    admin.force_delete_pod(dying.namespace, victim)
    living.until("the seat of the dead", lambda: victim not in {owner(it) for it in admin.list("leases", ledger)})
    dying.until_rolled_out()
    said = dying.uninstall()
    assert "the release rel has 0 pods and 0 seat records" in said
    assert {owner(it) for it in admin.list("leases", ledger)} == living.names()
    assert len(activation.used(key)) == 1
    living.uninstall()
    assert activation.used(key) == set()
    assert admin.list("leases", ledger) == []
    # A drain may not look at the pods of the other namespace, and need not: it has to do with its own records only.
    accounts = {line.split(":")[3] for home in homes for line in forbidden(own_control_plane, home)}
    assert accounts <= {"rel-drain"}
    for name in (ledger, *homes):
        admin.delete_namespace(name)


def owner(lease: Object) -> str:
    """Return the pod whose record this is."""
    return str(lease["metadata"]["annotations"]["license-sidecar/pod"])
