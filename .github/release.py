"""What the release workflow asks of the tree: may this tag go out, and make the chart fit to be published.

    python .github/release.py check v1.2.3
    python .github/release.py chart v1.2.3 --image ghcr.io/owner/license-sidecar --digest sha256:... --source https://...

``chart`` writes into the chart's folder, so that the published chart knows its image, its runbook and its history; it
is for a checkout that is thrown away. It must not reach anything over the network.
"""  # noqa: INP001 - a script, no module of a package

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[1]
KINDS: Final = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
"""Headings of Keep a Changelog; Artifact Hub has the same kinds in lower case."""
_VERSION: Final = re.compile(r"v(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)")


class Unfit(Exception):  # noqa: N818 - it says what stands against a release
    """This tree is not to be published under this tag; the text names every reason."""


def faults(root: Path, tag: str) -> list[str]:
    """Return what stands against publishing the tree as this tag: one version, everywhere, with its history told."""
    match = _VERSION.fullmatch(tag)
    if match is None:
        return [f"the tag {tag} is no version: v1.2.3 or v1.2.3-rc.1"]
    version = match.group(1)
    code = re.search(r'^__version__ = "([^"]+)"$', _read(root / "sidecar" / "__init__.py"), re.MULTILINE)
    chart = yaml.safe_load(_read(root / "charts" / "icap" / "Chart.yaml"))
    found = {
        "__version__ of sidecar/__init__.py": code.group(1) if code else None,
        "version of charts/icap/Chart.yaml": chart["version"],
        "appVersion of charts/icap/Chart.yaml": chart["appVersion"],
    }
    wrong = [f"{where} is {it}, the tag says {version}" for where, it in found.items() if it != version]
    if not changes(root, version):
        wrong.append(f"CHANGELOG.md has no section [{version}] with a date and an entry")
    return wrong


def changes(root: Path, version: str) -> list[dict[str, str]]:
    """Return the changelog's entries of a version, in the form that Artifact Hub reads."""
    text = _read(root / "CHANGELOG.md")
    heading = re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", text, re.MULTILINE)
    if heading is None:
        return []
    section = re.split(r"^## |^\[", text[heading.end() :], maxsplit=1, flags=re.MULTILINE)[0]
    pieces = re.split(r"^### (\w+)$", section, flags=re.MULTILINE)
    return [
        {"kind": kind.lower(), "description": " ".join(entry.replace("`", "").split())}
        for kind, entries in zip(pieces[1::2], pieces[2::2], strict=True)
        if kind in KINDS
        for entry in re.split(r"^- ", entries, flags=re.MULTILINE)[1:]
    ]


def prepare(root: Path, tag: str, *, image: str, digest: str, source: str) -> None:
    """Write into the chart what is known only now. Raises ``Unfit``."""
    wrong = faults(root, tag)
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        wrong.append(f"{digest or 'nothing'} is no digest of an image")
    registry, slash, repository = image.partition("/")
    if not slash or image != image.lower():
        wrong.append(f"{image} is no image: registry/name, in lower case")
    if wrong:
        raise Unfit("\n".join(wrong))
    chart, pages = root / "charts" / "icap", f"{source}/blob/{tag}"
    values = _read(chart / "values.yaml")
    values = _set(values, ("sidecar", "image", "registry"), registry)
    values = _set(values, ("sidecar", "image", "repository"), repository)
    values = _set(values, ("monitoring", "rules", "runbookUrl"), f"{pages}/docs/runbook.md")
    _write(chart / "values.yaml", values)
    _write(chart / "README.md", absolute(_read(chart / "README.md"), f"{pages}/charts/icap"))
    version = tag.removeprefix("v")
    about = yaml.safe_load(_read(chart / "Chart.yaml"))
    about |= {"home": source, "sources": [source]}
    about["annotations"] = about.get("annotations", {}) | {
        "artifacthub.io/images": _yaml([{"name": "license-sidecar", "image": f"{image}:{version}@{digest}"}]),
        "artifacthub.io/links": _yaml(
            [
                {"name": "Getting started", "url": f"{pages}/docs/kubernetes.md"},
                {"name": "Operations", "url": f"{pages}/docs/operations.md"},
                {"name": "From the vendor's chart", "url": f"{pages}/docs/migration.md"},
            ]
        ),
        "artifacthub.io/changes": _yaml(changes(root, version)),
        "artifacthub.io/prerelease": "true" if "-" in version else "false",
    }
    _write(chart / "Chart.yaml", _yaml(about))


def absolute(page: str, base: str) -> str:
    """Return a page whose relative links lead to ``base``: a chart that was unpacked has no neighbours."""

    def one(link: re.Match[str]) -> str:
        steps = [*base.split("/"), *link.group(1).split("/")]
        while ".." in steps:
            at = steps.index("..")
            del steps[at - 1 : at + 1]
        return f"]({'/'.join(steps)})"

    return re.sub(r"\]\((?![a-z][a-z0-9+.-]*:|#)([^)\s]+)\)", one, page)


def _set(text: str, path: tuple[str, ...], value: str) -> str:
    """Return YAML text with one more scalar set; comments and the order stay, for they make the chart's pages."""
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    for part in path:
        node = next(it for key, it in node.value if key.value == part)
    return f"{text[: node.start_mark.index]}{value}{text[node.end_mark.index :]}"


class _Readable(yaml.SafeDumper):
    """Writes text of several lines as such: `helm show chart` is read by people, too."""


_Readable.add_representer(
    str, lambda dumper, it: dumper.represent_scalar("tag:yaml.org,2002:str", it, style="|" if "\n" in it else None)
)


def _yaml(content: Any) -> str:
    return str(yaml.dump(content, Dumper=_Readable, sort_keys=False, allow_unicode=True, width=1000))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def main(words: list[str]) -> int:
    """Do what the command line says; 1 with every fault on standard error."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="may this tree go out as this tag?")
    chart = commands.add_parser("chart", help="make the chart fit to be published")
    for command in (check, chart):
        command.add_argument("tag")
    for name in ("image", "digest", "source"):
        chart.add_argument(f"--{name}", required=True)
    given = parser.parse_args(words)
    try:
        if given.command == "chart":
            prepare(ROOT, given.tag, image=given.image, digest=given.digest, source=given.source)
        wrong = faults(ROOT, given.tag)
    except Unfit as unfit:
        wrong = [str(unfit)]
    sys.stderr.writelines(f"{it}\n" for it in wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
