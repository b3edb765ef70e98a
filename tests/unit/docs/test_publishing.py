"""Nothing is published by accident, by more rights than it needs, by somebody else's code, or under two versions."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
import yaml

from sidecar import __version__
from tests.unit.docs.pages import ROOT, text

FOLDER: Final = ROOT / ".github" / "workflows"
FILES: Final = sorted(FOLDER.glob("*.yml"))
ALLOWED: Final = {"contents": "read", "packages": "write", "id-token": "write"}
DIGEST: Final = f"sha256:{'0123456789abcdef' * 4}"
SOURCE: Final = "https://github.com/example/license-sidecar"
TAG: Final = f"v{__version__}"


class _Text(yaml.BaseLoader):
    """Reads `on` as the word that it is, and not as a truth."""


def workflow(file: Path) -> dict[str, Any]:
    """Return a workflow."""
    content = yaml.load(file.read_text(encoding="utf-8"), Loader=_Text)  # noqa: S506 - it makes text and nothing else
    assert isinstance(content, dict)
    return content


def jobs() -> list[Any]:
    """Return every job of every workflow."""
    return [
        pytest.param(job, id=f"{file.stem}-{name}") for file in FILES for name, job in workflow(file)["jobs"].items()
    ]


def steps() -> list[dict[str, Any]]:
    """Return every step of every job."""
    return [step for job in jobs() for step in job.values[0].get("steps", [])]


@pytest.fixture(scope="module")
def release() -> ModuleType:
    """Return `.github/release.py`."""
    spec = importlib.util.spec_from_file_location("release", ROOT / ".github" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a tree that a release is made of, with a changelog that tells of this version."""
    (tmp_path / "sidecar").mkdir()
    shutil.copy(ROOT / "sidecar" / "__init__.py", tmp_path / "sidecar")
    shutil.copytree(ROOT / "charts" / "icap", tmp_path / "charts" / "icap")
    (tmp_path / "CHANGELOG.md").write_text(
        f"# Changelog\n\n## [Unreleased]\n### Added\n- Later.\n\n## [{__version__}] - 2026-11-27\nWords.\n### Added\n"
        "- A thing that\n  goes on, `here`.\n- More.\n### Fixed\n- A leak.\n\n"
        "## [0.0.1] - 2025-01-01\n### Added\n- Old.\n",
        encoding="utf-8",
    )
    return tmp_path


def test_only_the_tag_of_a_version_starts_anything() -> None:
    """One workflow is started by tags that are versions; the others can only be called."""
    triggers = {file.stem: workflow(file)["on"] for file in FILES}
    assert set(triggers) == {"release", "image", "chart"}
    assert set(triggers["release"]) == {"push"}
    assert set(triggers["release"]["push"]) == {"tags"}
    assert triggers["release"]["push"]["tags"] == ["v[0-9]+.[0-9]+.[0-9]+", "v[0-9]+.[0-9]+.[0-9]+-*"]
    assert [set(triggers[name]) for name in ("image", "chart")] == [{"workflow_call"}] * 2


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_rights_are_given_job_by_job(file: Path) -> None:
    """A workflow as a whole has none, and pipes fail where their first half does."""
    assert workflow(file)["permissions"] == {}
    assert workflow(file)["defaults"] == {"run": {"shell": "bash"}}


@pytest.mark.parametrize("job", jobs())
def test_a_job_has_no_more_rights_than_publishing_needs(job: dict[str, Any]) -> None:
    """Reading the code, writing packages, a certificate for the signature: the check has only the first of them."""
    rights = job["permissions"]
    assert rights.items() <= ALLOWED.items()
    if not any(word in str(job) for word in ("cosign", "workflows/")):
        assert rights == {"contents": "read"}
    assert "timeout-minutes" in job or "uses" in job


def test_a_called_workflow_is_given_what_it_asks_for() -> None:
    """The rights of the caller's job are those of the called one, or GitHub would refuse to start."""
    for name, job in workflow(FOLDER / "release.yml")["jobs"].items():
        if "uses" in job:
            file = ROOT / job["uses"]
            assert file.exists()
            assert workflow(file)["jobs"][name]["permissions"] == job["permissions"]


def test_actions_are_pinned_by_commit() -> None:
    """A tag can be moved by whoever owns the action, a commit cannot; the comment names its release for people."""
    lines = [line for file in FILES for line in file.read_text(encoding="utf-8").splitlines() if "uses: " in line]
    foreign = [line.split("uses: ")[1] for line in lines if "uses: ./" not in line]
    assert len(foreign) > 8
    assert [it for it in foreign if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", it)] == []
    versions = {tuple(re.split(r"[@ ]", it)[:2]) for it in foreign}
    assert len(versions) == len({name for name, _ in versions}), "one action, two commits"


def test_nothing_from_outside_becomes_a_part_of_a_script() -> None:
    """Scripts get names through the environment: a tag could be called `$(…)`. No credentials stay in the checkout."""
    assert [step["run"] for step in steps() if "${{" in step.get("run", "")] == []
    kept = [step for step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert kept
    assert all(step["with"]["persist-credentials"] == "false" for step in kept)


def test_the_image_has_all_that_is_promised() -> None:
    """Two architectures, SBOM, provenance, and a signature of what was pushed, by digest."""
    build = next(step for step in steps() if "build-push-action" in step.get("uses", ""))["with"]
    assert build["platforms"] == "linux/amd64,linux/arm64"
    assert (build["push"], build["sbom"], build["provenance"]) == ("true", "true", "mode=max")
    signing = [step["env"] for step in steps() if "cosign sign" in step.get("run", "")]
    image = "${{ steps.name.outputs.image }}@${{ steps.build.outputs.digest }}"
    assert signing == [{"CHART": "${{ steps.push.outputs.chart }}"}, {"IMAGE": image}]
    assert "chart=$charts/md-icapsrv@$digest" in text(FOLDER / "chart.yml")


def test_users_verify_as_the_workflows_do() -> None:
    """The page names the files whose signatures count, and the issuer that the workflows themselves verify with."""
    page = text(ROOT / "docs" / "publishing.md")
    verified = "".join(step["run"] for step in steps() if "cosign verify" in step.get("run", ""))
    for part in (".github/workflows/image.yml@", ".github/workflows/chart.yml@", "token.actions.githubusercontent.com"):
        assert part in verified
        assert part in page


def test_one_version_for_everything() -> None:
    """Chart, image (appVersion) and package have one version: who names it names all three."""
    chart = yaml.safe_load(text(ROOT / "charts" / "icap" / "Chart.yaml"))
    assert [str(chart["version"]), str(chart["appVersion"])] == [__version__, __version__]


def test_helm_is_the_one_that_the_tests_use() -> None:
    """What is published was packaged by the Helm that rendered it in the tests."""
    used = re.search(r'3: "(v[\d.]+)"', text(ROOT / "tests" / "chart" / "helm.py"))
    assert used
    assert f"version: {used.group(1)}\n" in text(FOLDER / "chart.yml")


def test_a_tag_that_does_not_fit_is_refused(release: ModuleType, tree: Path) -> None:
    """Another version, no version at all, or a changelog that is silent: each is named, all at once."""
    assert release.faults(tree, TAG) == []
    assert len(release.faults(tree, "v99.0.0")) == 4
    assert release.faults(tree, "latest") == ["the tag latest is no version: v1.2.3 or v1.2.3-rc.1"]
    (tree / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n### Added\n- All of it.\n", encoding="utf-8")
    assert release.faults(tree, TAG) == [f"CHANGELOG.md has no section [{__version__}] with a date and an entry"]


def test_the_changelog_is_read_as_artifact_hub_wants_it(release: ModuleType, tree: Path) -> None:
    """The entries of this version alone, each in one line with its kind."""
    assert release.changes(tree, __version__) == [
        {"kind": "added", "description": "A thing that goes on, here."},
        {"kind": "added", "description": "More."},
        {"kind": "fixed", "description": "A leak."},
    ]


def test_a_published_chart_knows_its_image_and_its_pages(release: ModuleType, tree: Path) -> None:
    """Values name image and runbook, the README's links lead to the source, and Artifact Hub is told the rest."""
    chart = tree / "charts" / "icap"
    before = yaml.safe_load(text(chart / "values.yaml"))
    (chart / "README.md").write_text("[a](../../docs/a.md#b) [c](values.yaml) [d](#d) [e](https://e.test/)\n", "utf-8")
    release.prepare(tree, TAG, image="ghcr.io/example/license-sidecar", digest=DIGEST, source=SOURCE)
    values = yaml.safe_load(text(chart / "values.yaml"))
    assert (
        values["sidecar"]["image"] | {"registry": "ghcr.io", "repository": "example/license-sidecar"}
        == values["sidecar"]["image"]
    )
    assert values["monitoring"]["rules"]["runbookUrl"] == f"{SOURCE}/blob/{TAG}/docs/runbook.md"
    for path in ("registry", "repository"):
        values["sidecar"]["image"][path] = before["sidecar"]["image"][path]
    values["monitoring"]["rules"]["runbookUrl"] = before["monitoring"]["rules"]["runbookUrl"]
    assert values == before
    assert text(chart / "README.md") == (
        f"[a]({SOURCE}/blob/{TAG}/docs/a.md#b) [c]({SOURCE}/blob/{TAG}/charts/icap/values.yaml) [d](#d) [e](https://e.test/)\n"
    )
    notes = yaml.safe_load(text(chart / "Chart.yaml"))["annotations"]
    image = {"name": "license-sidecar", "image": f"ghcr.io/example/license-sidecar:{__version__}@{DIGEST}"}
    assert yaml.safe_load(notes["artifacthub.io/images"]) == [image]
    assert len(yaml.safe_load(notes["artifacthub.io/changes"])) == 3
    assert all(isinstance(value, str) for value in notes.values())
    for link in yaml.safe_load(notes["artifacthub.io/links"]):
        assert (ROOT / link["url"].removeprefix(f"{SOURCE}/blob/{TAG}/")).exists()


@pytest.mark.parametrize(
    ("image", "digest"),
    [("license-sidecar", DIGEST), ("ghcr.io/Example/license-sidecar", DIGEST), ("ghcr.io/example/it", "latest")],
)
def test_an_image_that_cannot_be_pulled_is_refused(release: ModuleType, tree: Path, image: str, digest: str) -> None:
    """Nothing is written for an image without a registry, with capitals, or without a digest."""
    before = text(tree / "charts" / "icap" / "values.yaml")
    with pytest.raises(release.Unfit, match="is no "):
        release.prepare(tree, TAG, image=image, digest=digest, source=SOURCE)
    assert text(tree / "charts" / "icap" / "values.yaml") == before
