"""A pod's volumes as folders of this machine: written as the kubelet writes them, renewed when their source changes."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tests.chart.kubelet.environment import Fetch, NotYetError, Object, entries, field

Token = Callable[[Object], str]
"""A ``serviceAccountToken`` source to a token of the pod."""
_LINK: Final = "..data"


class Volumes:
    """All volumes of one pod. Claims are folders that outlive it."""

    def __init__(self, pod: Object, folder: Path, claims: Path, fetch: Fetch, token: Token) -> None:
        self._pod = pod
        self._folder = folder
        self._claims = claims
        self._fetch = fetch
        self._token = token
        self._tokens: dict[str, bytes] = {}
        self._writing = threading.Lock()

    def place(self, name: str) -> Path:
        """Return the folder of a volume."""
        volume = next(it for it in self._pod["spec"].get("volumes", ()) if it["name"] == name)
        claim = volume.get("persistentVolumeClaim")
        if claim is not None:
            return self._claims / f"{self._pod['metadata']['namespace']}_{claim['claimName']}"
        return self._folder / name

    def write(self) -> None:
        """Bring all of them to what their sources say; what has not changed is not touched.

        Raises:
            NotYetError: a source is not there.

        """
        with self._writing:
            for volume in self._pod["spec"].get("volumes", ()):
                place = self.place(volume["name"])
                content = self._content(volume)
                if content is None:
                    place.mkdir(parents=True, exist_ok=True)
                    place.chmod(0o777)
                else:
                    publish(place, *content)

    def sources(self) -> set[tuple[str, str]]:
        """Return (kind, name) of the objects that these volumes show."""
        found = set()
        for volume in self._pod["spec"].get("volumes", ()):
            for source in (volume, *volume.get("projected", {}).get("sources", ())):
                if "secret" in source:
                    found.add(("secrets", source["secret"].get("secretName") or source["secret"]["name"]))
                if "configMap" in source:
                    found.add(("configmaps", source["configMap"]["name"]))
        return found

    def _content(self, volume: Object) -> tuple[dict[str, bytes], int] | None:
        match volume:
            case {"secret": source}:
                return self._object("secrets", source["secretName"], source), source.get("defaultMode", 0o644)
            case {"configMap": source}:
                return self._object("configmaps", source["name"], source), source.get("defaultMode", 0o644)
            case {"projected": projected}:
                files: dict[str, bytes] = {}
                for source in projected["sources"]:
                    files |= self._projected(source)
                return files, projected.get("defaultMode", 0o644)
            case {"emptyDir": _} | {"persistentVolumeClaim": _}:
                return None
        raise NotYetError(f"nobody here knows volumes of this kind: {volume['name']}")

    def _projected(self, source: Object) -> dict[str, bytes]:
        match source:
            case {"serviceAccountToken": wanted}:
                path = wanted["path"]
                if path not in self._tokens:
                    self._tokens[path] = self._token(wanted).encode()
                return {path: self._tokens[path]}
            case {"secret": inner}:
                return self._object("secrets", inner["name"], inner)
            case {"configMap": inner}:
                return self._object("configmaps", inner["name"], inner)
            case {"downwardAPI": inner}:
                return {it["path"]: field(self._pod, it["fieldRef"]["fieldPath"]).encode() for it in inner["items"]}
        raise NotYetError(f"nobody here knows this source: {', '.join(source)}")

    def _object(self, kind: str, name: str, source: Object) -> dict[str, bytes]:
        optional = bool(source.get("optional"))
        found = self._fetch(kind, name)
        if found is None and not optional:
            raise NotYetError(f"{kind} {name} is not there")
        data = entries(kind, found or {})
        items: Any = source.get("items")
        if not items:
            return data
        missing = [it["key"] for it in items if it["key"] not in data]
        if missing and not optional:
            raise NotYetError(f"{kind} {name} has no {', '.join(missing)}")
        return {it["path"]: data[it["key"]] for it in items if it["key"] in data}


def publish(folder: Path, files: Mapping[str, bytes], mode: int) -> None:
    """Show these files in a folder, all of them at one moment, by the exchange of a link."""
    current = folder / _LINK
    if current.is_symlink() and {it.name: it.read_bytes() for it in current.iterdir()} == dict(files):
        return
    folder.mkdir(parents=True, exist_ok=True)
    before = current.readlink() if current.is_symlink() else None
    turn = folder / f"..turn-{1 + int(str(before).rpartition('-')[2]) if before else 0}"
    turn.mkdir()
    for name, content in files.items():
        (turn / name).write_bytes(content)
        (turn / name).chmod(mode)
    following = folder / f"{_LINK}_tmp"
    following.symlink_to(turn.name)
    following.replace(current)
    for link in folder.iterdir():
        if not link.name.startswith("..") and link.name not in files:
            link.unlink()
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"{_LINK}/{name}")
    if before is not None:
        shutil.rmtree(folder / before)
