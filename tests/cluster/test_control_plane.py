"""The test cluster itself: what the other tests believe of it is true, and nothing of it stays."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import yaml

from tests.cluster.control_plane.accounts import claims
from tests.cluster.control_plane.admin import Admin
from tests.cluster.control_plane.api import ApiError, Object, wait_for
from tests.cluster.control_plane.cluster import Cluster, ExistingCluster
from tests.cluster.control_plane.plane import ControlPlane
from tests.cluster.control_plane.pods import APP, SIDECAR, terminated
from tests.process.processes import ROOT

LEASES = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "list", "watch"]}]


def lease(name: str) -> Object:
    """Return a lease, good enough for the API."""
    return {"metadata": {"name": name}, "spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 60}}


def refused(call: object, *arguments: object, **named: object) -> ApiError:
    """Return the API server's refusal of a call; fail if there was none."""
    assert callable(call)
    with pytest.raises(ApiError) as told:
        call(*arguments, **named)
    return told.value


def alive(pid: int) -> bool:
    """Tell whether a process of this id runs."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_it_is_ready_within_seconds(own_control_plane: ControlPlane) -> None:
    """The version that was chosen answers, and the time it took is printed."""
    print(f"{own_control_plane.version} ready in {own_control_plane.started_in:.1f} s")  # noqa: T201 - a figure to see
    assert own_control_plane.version.startswith("v1.")


def test_an_account_has_the_rights_it_was_given_and_no_others(control_plane: Cluster, namespace: str) -> None:
    """RBAC decides: what no rule allows is 403, also for the same verb in another namespace."""
    admin = control_plane.admin
    admin.create_service_account(namespace, "sidecar", LEASES)
    with admin.as_user(admin.token(namespace, "sidecar")) as sidecar:
        wait_for("the new role", lambda: sidecar_may(sidecar, namespace))
        sidecar.create("leases", lease("seat"), namespace)
        assert refused(sidecar.delete, "leases", "seat", namespace).code == httpx.codes.FORBIDDEN
        assert refused(sidecar.list, "pods", namespace).code == httpx.codes.FORBIDDEN
        assert refused(sidecar.list, "leases", "default").code == httpx.codes.FORBIDDEN


def sidecar_may(sidecar: Admin, namespace: str) -> bool:
    """Tell whether the role has arrived: the API server learns of it through a watch of its own."""
    try:
        sidecar.list("leases", namespace)
    except ApiError:
        return False
    return True


def test_without_a_good_token_nobody_is_anybody(admin: Admin, namespace: str) -> None:
    """A made-up token is 401; one that is bound to a pod is 401 within 10 s of the pod's end (a cache)."""
    with admin.as_user("made-up") as nobody:
        assert refused(nobody.list, "leases", namespace).code == httpx.codes.UNAUTHORIZED
    admin.create_pod(namespace, "icap-1")
    token = admin.token(namespace, "default", pod="icap-1")
    assert claims(token)["kubernetes.io"]["pod"]["name"] == "icap-1"
    with admin.as_user(token) as pod:
        assert refused(pod.list, "leases", namespace).code == httpx.codes.FORBIDDEN
        admin.force_delete_pod(namespace, "icap-1")
        wait_for("the end of the token", lambda: refused(pod.list, "leases", namespace).code == 401)


def test_the_audit_log_names_verb_and_resource_of_an_account(own_control_plane: ControlPlane, namespace: str) -> None:
    """What an account did can be read from the log, also what was refused; what the administrator did is not there."""
    admin = own_control_plane.admin
    user = admin.create_service_account(namespace, "audited", LEASES)
    with admin.as_user(admin.token(namespace, "audited")) as audited:
        wait_for("the new role", lambda: sidecar_may(audited, namespace))
        audited.create("leases", lease("seat"), namespace)
        refused(audited.get, "pods", "icap-1", namespace)
        refused(audited.patch_status, "pods", "icap-1", {}, namespace)
    admin.get("leases", "seat", namespace)
    assert own_control_plane.used(user) == {
        ("coordination.k8s.io", "leases", "create"),
        ("coordination.k8s.io", "leases", "list"),
        ("", "pods", "get"),
        ("", "pods/status", "patch"),
    }


def test_pod_security_is_enforced(admin: Admin) -> None:
    """In a restricted namespace the pods of the tests are admitted, a privileged one is refused."""
    name = admin.create_namespace(pod_security="restricted")
    try:
        admin.create_pod(name, "good")
        privileged = {"containers": [{"name": "app", "image": "x", "securityContext": {"privileged": True}}]}
        refusal = refused(admin.create_pod, name, "bad", spec=privileged)
        assert refusal.code == httpx.codes.FORBIDDEN
        assert "restricted" in refusal.message
    finally:
        admin.delete_namespace(name)


def test_a_deleted_pod_stays_until_it_is_forced(admin: Admin, namespace: str) -> None:
    """A graceful deletion sets deletionTimestamp only; no controller collects the pod of a node that nobody made."""
    admin.create_pod(namespace, "icap-1", grace=7)
    admin.set_pod_status(namespace, "icap-1")
    deleted = admin.delete_pod(namespace, "icap-1")
    assert deleted["metadata"]["deletionGracePeriodSeconds"] == 7
    assert "deletionTimestamp" in admin.get("pods", "icap-1", namespace)["metadata"]
    admin.force_delete_pod(namespace, "icap-1")
    assert admin.find("pods", "icap-1", namespace) is None


def test_a_status_changes_only_what_is_said(admin: Admin, namespace: str) -> None:
    """A restart has a new container ID and leaves the other container alone; conditions are kept."""
    admin.create_pod(namespace, "icap-1")
    first = containers(admin.set_pod_status(namespace, "icap-1", podIP="192.0.2.1"))
    second = containers(admin.restart_container(namespace, "icap-1", exit_code=137))
    assert second[APP]["restartCount"] == 1
    assert second[APP]["containerID"] != first[APP]["containerID"]
    assert second[APP]["lastState"]["terminated"]["containerID"] == first[APP]["containerID"]
    assert second[SIDECAR] == first[SIDECAR]
    ended = admin.set_pod_status(
        namespace,
        "icap-1",
        phase="Failed",
        reason="Evicted",
        containers={APP: {"state": terminated(137, "OOMKilled"), "ready": False}},
        conditions={"DisruptionTarget": "True"},
    )
    assert containers(ended)[APP]["state"]["terminated"]["reason"] == "OOMKilled"
    assert {one["type"] for one in ended["status"]["conditions"]} >= {"Ready", "DisruptionTarget"}
    with pytest.raises(ValueError, match="no container typo"):
        admin.set_pod_status(namespace, "icap-1", containers={"typo": {}})


def containers(pod: Object) -> dict[str, Object]:
    """Return the statuses of all containers by name."""
    status = pod["status"]
    return {one["name"]: one for one in (*status["containerStatuses"], *status["initContainerStatuses"])}


def test_a_controller_makes_pods_and_the_scheduler_binds_them(admin: Admin, namespace: str) -> None:
    """A Job makes a pod, which is bound to a node that was registered; a test that plays kubelet completes the Job."""
    node = f"node-{namespace}"
    admin.create_node(node)
    try:
        container = {"name": "app", "image": "registry.invalid/test:1"}
        template = {"spec": {"restartPolicy": "Never", "containers": [container], "nodeName": None}}
        admin.create("jobs", {"metadata": {"name": "job"}, "spec": {"template": template}}, namespace)

        def bound() -> Object | None:
            return next((one for one in admin.list("pods", namespace) if one["spec"].get("nodeName")), None)

        pod = wait_for("a bound pod", bound)
        done = {"app": {"state": terminated(0), "ready": False}}
        admin.set_pod_status(namespace, pod["metadata"]["name"], phase="Succeeded", containers=done)
        wait_for("the Job", lambda: admin.get("jobs", "job", namespace).get("status", {}).get("succeeded"))
    finally:
        admin.delete("nodes", node)


def test_a_mounted_token_is_exchanged_as_one(control_plane: Cluster, namespace: str, tmp_path: Path) -> None:
    """A folder like a pod's holds what is needed to be the account; rotation exchanges it under the same name."""
    admin = control_plane.admin
    admin.create_service_account(namespace, "sidecar")
    folder = admin.mount(tmp_path / "account", namespace, "sidecar")
    first = folder.token
    assert claims(first)["sub"] == f"system:serviceaccount:{namespace}:sidecar"
    assert (tmp_path / "account" / "namespace").read_text() == namespace
    assert (tmp_path / "account" / "ca.crt").read_text().strip() == control_plane.ca_file.read_text().strip()
    folder.write(admin.token(namespace, "sidecar", 1200))
    assert folder.token != first
    assert sorted(one.name for one in (tmp_path / "account").iterdir()) == [
        *("..data", "..turn-2", "ca.crt", "namespace", "token")
    ]
    place = control_plane.environment()
    assert control_plane.url == f"https://{place['KUBERNETES_SERVICE_HOST']}:{place['KUBERNETES_SERVICE_PORT']}"


def test_a_kubeconfig_is_that_of_its_token(own_control_plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    """Whoever reads the file is the administrator, or the account whose token it holds."""
    with Admin.from_kubeconfig(own_control_plane.kubeconfig(tmp_path / "admin")) as admin:
        assert admin.get("namespaces", namespace)
    token = own_control_plane.admin.token(namespace, "default")
    with Admin.from_kubeconfig(own_control_plane.kubeconfig(tmp_path / "account", token)) as account:
        assert refused(account.get, "namespaces", namespace).code == httpx.codes.FORBIDDEN


@pytest.mark.parametrize("embedded", [True, False], ids=["data", "files"])
def test_a_client_certificate_is_as_good_as_a_token(
    own_control_plane: ControlPlane, tmp_path: Path, embedded: bool
) -> None:
    """A kubeconfig as kind and kubeadm write it makes its user the administrator of an existing cluster."""
    certificate, key = own_control_plane.client_certificate("somebody", "system:masters")
    content = {
        "certificate-authority": own_control_plane.ca_file.read_bytes(),
        "client-certificate": certificate,
        "client-key": key,
    }
    fields = {f"{name}-data": base64.b64encode(value).decode() for name, value in content.items()}
    if not embedded:
        for name, value in content.items():
            (tmp_path / name).write_bytes(value)
        fields = {name: name for name in content}
    trust = {name: fields.pop(name) for name in list(fields) if "authority" in name}
    config = {
        "clusters": [{"name": "kind", "cluster": {"server": own_control_plane.url, **trust}}],
        "users": [{"name": "kind-user", "user": fields}],
        "contexts": [{"name": "here", "context": {"cluster": "kind", "user": "kind-user"}}],
        "current-context": "here",
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    existing = ExistingCluster(tmp_path / "config", tmp_path)
    try:
        assert existing.version == own_control_plane.version
        assert existing.environment() == own_control_plane.environment()
        assert existing.ca_file.read_bytes() == own_control_plane.ca_file.read_bytes()
        name = existing.admin.create_namespace()
        with existing.admin.as_user(existing.admin.token(name, "default")) as account:
            assert refused(account.get, "namespaces", name).code == httpx.codes.FORBIDDEN
        with Admin.from_kubeconfig(existing.kubeconfig(tmp_path / "copy")) as copy:
            copy.delete_namespace(name, wait=True)
        assert existing.admin.find("namespaces", name) is None
    finally:
        existing.stop()


def test_a_stopped_api_server_refuses_and_comes_back_with_everything(
    own_control_plane: ControlPlane, namespace: str
) -> None:
    """The port refuses while it is stopped; then the same objects are there under the same address."""
    admin = own_control_plane.admin
    before = admin.create("leases", lease("seat"), namespace)
    own_control_plane.stop_api_server()
    with pytest.raises(httpx.ConnectError):
        admin.get("leases", "seat", namespace)
    own_control_plane.start_api_server()
    assert admin.get("leases", "seat", namespace) == before


def test_a_paused_api_server_takes_connections_and_says_nothing(own_control_plane: ControlPlane) -> None:
    """A client waits for its own time-out, and is served again after the pause."""
    own_control_plane.pause_api_server()
    with pytest.raises(httpx.TimeoutException):
        own_control_plane.admin.client.get("/version", timeout=0.3)
    own_control_plane.resume_api_server()
    assert own_control_plane.version


def test_a_forgotten_version_is_gone(own_control_plane: ControlPlane, namespace: str) -> None:
    """After compaction and restart a watch from an old version is answered with 410, and so is the rest of a LIST."""
    admin = own_control_plane.admin
    for number in range(3):
        admin.create("leases", lease(f"seat-{number}"), namespace)
    target = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    page = admin.request("GET", target, params={"limit": "1"})["metadata"]
    rest = {"limit": "1", "continue": page["continue"]}
    version = page["resourceVersion"]
    own_control_plane.compact_etcd()  # alone it changes nothing for a watch: the API server has a cache
    assert watched(admin, namespace, version) == httpx.codes.OK
    own_control_plane.forget_versions()
    assert watched(admin, namespace, version) == httpx.codes.GONE
    assert refused(admin.request, "GET", target, params=rest).code == httpx.codes.GONE


def watched(admin: Admin, namespace: str, version: str) -> int:
    """Return the status of a watch from a version: the server tells a 410 as an event or as its answer."""
    try:
        with admin.watch("leases", namespace, resourceVersion=version, timeoutSeconds="1") as events:
            for event in events:
                if event["type"] == "ERROR":
                    code: int = event["object"]["code"]
                    return code
    except ApiError as error:
        return error.code
    return httpx.codes.OK


def test_nothing_is_left_running(tmp_path: Path) -> None:
    """After stop none of its processes runs, and its port is free."""
    control_plane = ControlPlane(tmp_path / "control-plane")
    control_plane.start()
    pids = control_plane.pids
    assert set(pids) == {"etcd", "kube-apiserver", "kube-controller-manager"}
    assert all(map(alive, pids.values()))
    control_plane.stop()
    assert not any(map(alive, pids.values()))
    with pytest.raises(httpx.ConnectError):
        httpx.get(control_plane.url, trust_env=False)


def test_a_killed_test_run_leaves_nothing_running(tmp_path: Path) -> None:
    """The kernel ends the control plane of a pytest that was killed with SIGKILL."""
    program = (
        "import pathlib, sys, time; from tests.cluster.control_plane.plane import ControlPlane\n"
        "plane = ControlPlane(pathlib.Path(sys.argv[1])); plane.start()\n"
        "print(*plane.pids.values(), flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "control-plane")]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as killed:
        try:
            assert killed.stdout is not None
            pids = [int(pid) for pid in killed.stdout.readline().split()]
            assert len(pids) == 3
            assert all(map(alive, pids))
        finally:
            killed.kill()
    wait_for("the end of all", lambda: not any(map(alive, pids)), limit=5)


def test_a_control_plane_that_cannot_start_leaves_nothing_running(tmp_path: Path) -> None:
    """The error has the program's last words, and what had been started is ended."""
    control_plane = ControlPlane(tmp_path / "control-plane", api_server_flags=("--no-such-flag",))
    since = time.monotonic()
    with pytest.raises(Exception, match="no-such-flag"):
        control_plane.start()
    assert time.monotonic() - since < 30
    assert control_plane.pids == {}
    data = str(tmp_path / "control-plane")
    assert not [entry for entry in Path("/proc").glob("[0-9]*/cmdline") if data in read(entry)]


def read(entry: Path) -> str:
    """Return the command line of a process that may be gone by now."""
    try:
        return entry.read_text("utf-8", "replace")
    except OSError:
        return ""
