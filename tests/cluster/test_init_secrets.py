"""``init-secrets`` as the chart's hook runs it: a real API server, a service account with exactly the hook's Role."""

from __future__ import annotations

import base64
import json
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from sidecar.adapters.kubernetes_api import KubernetesApi
from sidecar.adapters.secret_store import ApiSecretStore
from sidecar.adapters.service_account import ServiceAccount
from sidecar.errors import LedgerOutage, Refused
from sidecar.hook_ports import SecretContent, SecretStore
from sidecar.operate.generated import api_key_fault
from tests.cluster.control_plane.api import wait_for
from tests.cluster.control_plane.cluster import Cluster
from tests.cluster.control_plane.plane import ControlPlane
from tests.cluster.hook_scene import Ended, HookScene
from tests.cluster.roles import Rules, refused, rights, used
from tests.cluster.stories.fixtures import Cast
from tests.contract.secrets_contract import NAME, SecretStoreContract, there
from tests.process.scene import made_up_key

API_KEY, CRED, LICENSE = "mdicapsrv-api-key", "mdicapsrv-cred", "mdicapsrv-license-key"
KINDS = {API_KEY: "api-key", CRED: "credentials", LICENSE: "license-key"}


def role(*names: str) -> Rules:
    """Return the hook's Role: names cannot narrow create."""
    return [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": list(names), "verbs": ["get", "update"]},
    ]


class Hook(HookScene):
    """The hook with its plan and what was given."""

    def plan(self, release: str = "icap") -> Path:
        """Write the plan, as the chart does."""
        entries = [{"name": name, "kind": kind, "labels": {"team": "a"}} for name, kind in KINDS.items()]
        file = self.folder / "plan.yaml"
        file.write_text(json.dumps({"release": release, "chart": "md-icapsrv", "secrets": entries}))
        return file

    def give(self, **files: str) -> None:
        """Give values; ``license`` and ``previous`` are the licence key's, others are hidden from outputs as well."""
        folder = self.folder / "given"
        folder.mkdir(exist_ok=True)
        names = {"license": f"{LICENSE}.value", "previous": f"{LICENSE}.previous", "password": f"{CRED}.password"}
        for short, value in files.items():
            (folder / names[short]).write_text(value)
            self.hidden += value.split()

    def command(self, *options: str, release: str = "icap") -> list[str]:
        """Return the command of the hook."""
        given = self.folder / "given"
        more = ["--given", str(given)] if given.exists() else []
        return ["init-secrets", "--plan", str(self.plan(release)), *more, *options]

    def go(self, *options: str, release: str = "icap") -> Ended:
        """Run it."""
        return self.run(*self.command(*options, release=release))

    def data(self, name: str) -> dict[str, str]:
        """Return the values of a Secret."""
        stored = self.admin.get("secrets", name, self.namespace)
        return {field: base64.b64decode(value).decode() for field, value in stored.get("data", {}).items()}

    def versions(self) -> dict[str, str]:
        """Return the resourceVersion of each Secret that is there."""
        found = self.admin.list("secrets", self.namespace)
        return {it["metadata"]["name"]: it["metadata"]["resourceVersion"] for it in found}


@pytest.fixture
def bare(control_plane: Cluster, namespace: str, tmp_path: Path, cast: Cast) -> Iterator[Hook]:
    """Yield the hook without rights."""
    made = Hook(control_plane, namespace, tmp_path / "hook", "init-secrets", cast.births)
    yield made
    made.close()


@pytest.fixture
def hook(bare: Hook) -> Hook:
    """Return the hook with exactly its Role."""
    bare.allow(role(*KINDS))
    return bare


def results(ended: Ended) -> dict[str, str]:
    """Return what became of each Secret, from the table."""
    assert ended.code in (0, 77), ended.err
    rows = [line.split() for line in ended.out.splitlines()]
    return {row[0]: row[2] for row in rows if row and row[0] in KINDS}


@pytest.fixture
async def stores(hook: Hook, control_plane: Cluster) -> AsyncIterator[tuple[SecretStore, SecretStore]]:
    """Return two clients' views of one namespace."""
    hook.allow(role(*KINDS, "absent"))
    account = ServiceAccount.of_pod(control_plane.environment(), hook.account)
    apis = [KubernetesApi(account), KubernetesApi(account)]
    one, two = (ApiSecretStore(api, hook.namespace) for api in apis)
    yield one, two
    for api in apis:
        await api.aclose()


class TestApiSecretStore(SecretStoreContract):
    """Two hooks' clients, with the rights of the hook."""

    @pytest.fixture
    def stores(self, stores: tuple[SecretStore, SecretStore]) -> tuple[SecretStore, SecretStore]:
        """Return the module's."""
        return stores

    @pytest.fixture
    def remove(self, hook: Hook) -> Callable[[str], object]:
        """Return what deletes a Secret."""
        return lambda name: hook.admin.delete("secrets", name, hook.namespace)

    async def test_what_is_not_ours_in_a_secret_is_written_back(
        self, stores: tuple[SecretStore, SecretStore], hook: Hook
    ) -> None:
        """Type, owners and finalizers are those of before; what is being deleted says so."""
        owner = hook.admin.get("serviceaccounts", "default", hook.namespace)["metadata"]["uid"]
        reference = {"apiVersion": "v1", "kind": "ServiceAccount", "name": "default", "uid": owner}
        meta = {"name": NAME, "finalizers": ["example.com/hold"], "ownerReferences": [reference]}
        made = {"metadata": meta, "type": "example.com/odd", "stringData": {"user": "u"}}
        hook.admin.create("secrets", made, hook.namespace)
        await stores[0].replace(
            await there(stores[0]), SecretContent(data={"user": b"v"}, labels={"l": "1"}, annotations={})
        )
        after = hook.admin.get("secrets", NAME, hook.namespace)
        assert (after["type"], hook.data(NAME)) == ("example.com/odd", {"user": "v"})
        assert after["metadata"]["ownerReferences"][0]["uid"] == owner
        hook.admin.delete("secrets", NAME, hook.namespace)
        assert (await there(stores[0])).deleting
        hook.admin.patch("secrets", NAME, {"metadata": {"finalizers": None}}, hook.namespace)

    async def test_what_the_api_server_does_not_take_is_a_refusal(
        self, stores: tuple[SecretStore, SecretStore], hook: Hook
    ) -> None:
        """With its own sentence; an immutable Secret is one of these, and known beforehand."""
        with pytest.raises(Refused, match=r"metadata\.labels"):
            await stores[0].create(NAME, SecretContent(data={}, labels={"l": "no label!"}, annotations={}))
        made = {"metadata": {"name": NAME}, "immutable": True, "stringData": {"user": "u"}}
        hook.admin.create("secrets", made, hook.namespace)
        stored = await there(stores[0])
        assert stored.immutable
        with pytest.raises(Refused, match="immutable"):
            await stores[0].replace(stored, SecretContent(data={"user": b"v"}, labels={}, annotations={}))

    async def test_what_is_not_allowed_is_an_outage_that_lasts(self, stores: tuple[SecretStore, SecretStore]) -> None:
        """A name that the Role does not name."""
        with pytest.raises(LedgerOutage, match="403") as told:
            await stores[0].read("somebody-elses")
        assert told.value.lasting


def test_the_hooks_life_with_exactly_its_role(hook: Hook, own_control_plane: ControlPlane) -> None:
    """Created, left alone byte by byte, rotated; no right is missing, none is superfluous, no value is shown."""
    first = hook.go()
    assert results(first) == {API_KEY: "created", CRED: "created", LICENSE: "waiting"}
    assert "no activation key was given yet" in first.out
    assert api_key_fault(hook.data(API_KEY)["value"]) == ""
    assert hook.data(CRED)["user"] == "admin"
    hook.hidden += [hook.data(API_KEY)["value"], hook.data(CRED)["password"]]
    old, new = made_up_key("old"), made_up_key("new")
    hook.give(license=f"{old}\n")
    assert results(hook.go())[LICENSE] == "created"
    versions = hook.versions()
    assert results(hook.go()) == dict.fromkeys(KINDS, "kept")
    hook.give(license="<SET_LICENSE_KEY_HERE>")
    assert results(hook.go()) == dict.fromkeys(KINDS, "kept")
    assert hook.versions() == versions
    hook.give(license=new)
    assert results(hook.go("--dry-run"))[LICENSE] == "changed"
    assert hook.versions() == versions
    assert results(hook.go()) == {API_KEY: "kept", CRED: "kept", LICENSE: "changed"}
    assert hook.data(LICENSE) == {"value": new, "previous": old}
    assert used(own_control_plane, hook.user) == {hook.namespace: rights(role())}
    assert refused(own_control_plane, hook.user) == []


def test_a_program_is_told_everything_but_values(hook: Hook) -> None:
    """JSON with what became of each field, and fingerprints."""
    hook.give(license=made_up_key("json"), password="s3cret-Password")
    told = json.loads(hook.go("--output", "json").out)
    assert (told["namespace"], told["release"]) == (hook.namespace, "icap")
    by_name = {it["name"]: it for it in told["secrets"]}
    assert by_name[CRED]["fields"] == {"user": "generated", "password": "set"}
    assert len(by_name[LICENSE]["key_fingerprint"]) == 12
    assert {it["result"] for it in by_name.values()} == {"created"}


def test_the_vendors_kept_secrets_are_adopted_and_another_releases_are_not(hook: Hook) -> None:
    """Helm's marks of this release's name are taken for ours and stay; those of another stop everything: exit 77."""
    marks = {"meta.helm.sh/release-name": "icap", "meta.helm.sh/release-namespace": hook.namespace}
    meta = {"name": LICENSE, "annotations": marks, "labels": {"app.kubernetes.io/managed-by": "Helm"}}
    key = made_up_key("vendor")
    hook.hidden.append(key)
    hook.admin.create("secrets", {"metadata": meta, "stringData": {"value": key}}, hook.namespace)
    other = hook.go(release="other")
    assert other.code == 77
    assert results(other) == {API_KEY: "untouched", CRED: "untouched", LICENSE: "refused"}
    assert "it belongs to the release icap, and this is the release other" in other.out
    assert list(hook.versions()) == [LICENSE]
    assert results(hook.go()) == {API_KEY: "created", CRED: "created", LICENSE: "changed"}
    adopted = hook.admin.get("secrets", LICENSE, hook.namespace)["metadata"]
    assert adopted["annotations"].items() >= {**marks, "helm.sh/resource-policy": "keep"}.items()
    assert adopted["labels"] == {"app.kubernetes.io/managed-by": "Helm", "team": "a"}
    assert hook.data(LICENSE) == {"value": key}
    assert hook.go(release="other").code == 77
    assert results(hook.go("--adopt", release="other")) == dict.fromkeys(KINDS, "changed")


def test_rights_that_come_a_moment_later_are_waited_for(bare: Hook) -> None:
    """The Role is made while the command already asks."""
    process = bare.start(*bare.command())
    bare.heard(process, "403")
    bare.admin.grant(bare.namespace, bare.name, role(*KINDS))
    assert results(bare.end(process))[API_KEY] == "created"


@pytest.mark.parametrize("missing", ["get", "create"])
def test_a_right_that_never_comes_is_named(missing: str, bare: Hook) -> None:
    """Exit code 69 within the time, with what is forbidden and to whom; nothing else was done."""
    rules = role(*KINDS)
    rules = [{**rule, "verbs": [verb for verb in rule["verbs"] if verb != missing]} for rule in rules]
    bare.allow([rule for rule in rules if rule["verbs"]])
    ended = bare.run(*bare.command("--timeout", "2s"))
    assert ended.code == 69
    assert f'cannot {missing} resource "secrets"' in ended.err
    assert bare.versions() == {}


def test_two_hooks_at_once_agree(hook: Hook) -> None:
    """Three processes at the same time: every one ends with 0, and there is one set of values."""
    hook.give(license=made_up_key("at once"))
    ended = [hook.end(process) for process in [hook.start(*hook.command()) for _ in range(3)]]
    assert [it.code for it in ended] == [0] * 3
    for name in KINDS:
        assert sorted(results(it)[name] for it in ended) == ["created"] + ["kept"] * 2
    assert results(hook.go()) == dict.fromkeys(KINDS, "kept")


def test_somebody_who_writes_to_the_same_secret_loses_nothing(hook: Hook) -> None:
    """Thirty annotations a second while a key is replaced: the replacement arrives, so does each annotation."""
    old, new = made_up_key("storm"), made_up_key("calm")
    hook.give(license=old)
    assert hook.go().code == 0
    over, written = threading.Event(), []

    def storm() -> None:
        with hook.admin.as_user(hook.cluster.admin_token) as another:  # type: ignore[attr-defined]
            while not over.is_set():
                notes = {"metadata": {"annotations": {f"storm/{len(written)}": "x"}}}
                another.patch("secrets", LICENSE, notes, hook.namespace)
                written.append(len(written))
                time.sleep(0.03)

    if not hasattr(hook.cluster, "admin_token"):
        pytest.skip("a second administrator is needed, and the cluster is somebody else's")
    thread = threading.Thread(target=storm)
    thread.start()
    try:
        hook.give(license=new)
        assert results(hook.go())[LICENSE] == "changed"
        wait_for("a storm that deserves the name", lambda: len(written) > 5)
    finally:
        over.set()
        thread.join(10)
    notes = hook.admin.get("secrets", LICENSE, hook.namespace)["metadata"]["annotations"]
    assert len(written) > 5
    assert [it for it in notes if it.startswith("storm/")] == sorted(f"storm/{number}" for number in written)
    assert hook.data(LICENSE) == {"value": new, "previous": old}


def test_an_api_server_that_is_gone_in_the_middle_is_waited_for(hook: Hook, own_control_plane: ControlPlane) -> None:
    """It stops before the hook begins and comes back: the hook has said so meanwhile, and ends with 0."""
    command = hook.command()
    own_control_plane.stop_api_server()
    process = hook.start(*command)
    hook.heard(process, "no connection to the API server")
    own_control_plane.start_api_server()
    assert results(hook.end(process))[API_KEY] == "created"


def test_an_api_server_that_hangs_is_not_waited_for_longer_than_said(
    hook: Hook, own_control_plane: ControlPlane
) -> None:
    """Exit code 69 within the time."""
    command = hook.command("--timeout", "5s")
    own_control_plane.pause_api_server()
    began = time.monotonic()
    ended = hook.run(*command)
    assert ended.code == 69
    assert "no answer of the API server" in ended.err
    assert time.monotonic() - began < 5.0 + 5.0  # the machine may be busy


def test_a_hook_that_is_killed_anywhere_is_finished_by_the_next(hook: Hook) -> None:
    """SIGKILL at growing distances from the start: whatever is there is whole and stays, and the last run completes."""
    hook.give(license=made_up_key("killed"))
    fields = {API_KEY: {"value"}, CRED: {"user", "password"}, LICENSE: {"value"}}
    for number in range(8):
        process = hook.start(*hook.command())
        time.sleep(0.02 * number)
        process.signal(signal.SIGKILL)
        hook.end(process)
        before = {name: hook.data(name) for name in hook.versions()}
        assert {name: set(data) for name, data in before.items()}.items() <= fields.items()
        if number == 7:
            assert hook.go().code == 0
            after = {name: hook.data(name) for name in hook.versions()}
            assert after.items() >= before.items()
            assert set(after) == set(KINDS)
