"""``import`` as the chart's adoption hook runs it: the vendor's Secret as a folder, and a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from tests.cluster.hook_scene import Ended, HookScene
from tests.cluster.stories.scene import PodScene, rules

POD = "icap-import"


class Hook(HookScene):
    """The hook's Job, with the IDs that the vendor's automation left behind."""

    def settle(self, story: PodScene) -> None:
        """Make its pod and its settings."""
        self.story = story
        self.uid = self.admin.create_pod(self.namespace, POD, service_account=self.name)["metadata"]["uid"]
        self.admin.set_pod_status(self.namespace, POD)
        settings = story.settings(None, {"pod.uid": self.uid, "ledger.account_dir": str(self.account)}, name=POD)
        self.config = story.config(settings, POD)
        self.hidden.append(story.key)
        self.vendor = self.folder / "vendor"
        self.vendor.mkdir()
        story.mock.put_key(story.key, seats=20)

    def left(self, pod: str) -> str:
        """Let the vendor's automation have taken a seat for a pod of this name, and have written it down."""
        deployment = f"MSIC{sha256(pod.encode()).hexdigest()[:32]}"
        self.story.take(deployment)
        (self.vendor / pod).write_text(deployment)
        return deployment

    def go(self, *options: str) -> Ended:
        """Run it."""
        return self.run("import", str(self.vendor), "--config", str(self.config), *options)


@pytest.fixture
def bare(story: PodScene, tmp_path: Path) -> Iterator[Hook]:
    """Yield the hook without rights."""
    made = Hook(story.cluster, story.namespace, tmp_path / "hook", "license-import", story.nursery)
    made.settle(story)
    yield made
    made.close()


@pytest.fixture
def hook(bare: Hook) -> Hook:
    """Return the hook with exactly its Role, which is a sidecar's."""
    bare.allow(rules())
    return bare


def fates(ended: Ended) -> dict[str, str]:
    """Return what became of each ID."""
    assert ended.code == 0, ended.err
    return {it["deployment_id"]: it["result"] for it in json.loads(ended.out)["results"]}


def test_what_living_pods_have_is_kept_and_the_old_leaks_are_freed(hook: Hook) -> None:
    """Running and terminating pods keep their seats; of those that ended or do not exist they are released."""
    admin, place, story = hook.admin, hook.namespace, hook.story
    for name in ("runs", "starts", "leaving", "failed"):
        admin.create_pod(place, name)
    admin.set_pod_status(place, "runs")
    admin.set_pod_status(place, "failed", phase="Failed", reason="Evicted")
    admin.set_pod_status(place, "leaving")
    admin.delete_pod(place, "leaving")
    kept = {hook.left(name) for name in ("runs", "starts", "leaving")}
    freed = {hook.left(name) for name in ("failed", "never-there")}
    (hook.vendor / "no-id-yet").write_text("null")
    dry = hook.go("--output", "json")
    assert {it for it, fate in fates(dry).items() if fate == "planned"} == freed
    assert story.taken() == kept | freed
    done = fates(hook.go("--apply", "--output", "json"))
    assert {it for it, fate in done.items() if fate == "released"} == freed
    assert {it for it, fate in done.items() if fate == "kept"} == kept
    assert story.taken() == kept


def test_nothing_is_released_of_pods_that_must_not_be_looked_at(bare: Hook) -> None:
    """The Role shows our own pod only: whatever stands beside a pod's name is kept, and it is said why."""
    own = {"apiGroups": [""], "resources": ["pods"], "resourceNames": [POD], "verbs": ["get"]}
    bare.allow([own, *(rule for rule in rules() if rule["resources"] != ["pods"])])
    left = bare.left("never-there")
    ended = bare.go("--apply")
    assert ended.code == 0
    assert f"we may not look at pods in the namespace {bare.namespace}" in ended.out
    assert bare.story.taken() == {left}


def test_nothing_is_released_from_a_wrong_place(hook: Hook) -> None:
    """Our own pod is not who we think we are: then nobody's absence means anything."""
    left = hook.left("never-there")
    ended = hook.go("--apply", "--pod-uid", "somebody-else")
    assert "our own pod cannot be seen" in ended.out
    assert hook.story.taken() == {left}


def test_a_record_of_the_ledger_is_released_with_its_seat(hook: Hook) -> None:
    """A sidecar has taken over the ID meanwhile, and its pod is gone."""
    left = hook.story.plant(hook.story.gone("before"))
    other = hook.story.plant(replace(hook.story.gone("another"), release="other"))
    (hook.vendor / "before").write_text(left)
    assert fates(hook.go("--apply", "--output", "json")) == {left: "released"}
    assert hook.story.taken() == set(hook.story.records()) == {other}


def test_rights_that_come_later_are_waited_for(bare: Hook) -> None:
    """The Role is made while the hook is already being refused."""
    left = bare.left("never-there")
    process = bare.start("import", bare.vendor, "--config", bare.config, "--apply", "--output", "json")
    bare.heard(process, "403")
    bare.admin.grant(bare.namespace, bare.name, rules())
    assert fates(bare.end(process)) == {left: "released"}
