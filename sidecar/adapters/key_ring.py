"""The activation keys in their folder (design.md "Keys" and rule 9; protocol.md section 1, "Key").

``value`` holds the key, ``previous`` any number of former ones. A mounted Kubernetes Secret changes by a swap of the
link ``..data``: the folder behind it is opened once, so that both files belong together. What is unusable is no change.
It must not reject a key for its looks, since no pattern is published, nor forget one: a release may need it.
"""

from __future__ import annotations

import os
import re
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar.adapters.disk_thread import DiskThread
from sidecar.core.facts import KeySnapshot
from sidecar.errors import Misconfigured
from sidecar.secrets import MASKER, Secret

TIMEOUT: Final = 5.0
VALUE: Final = "value"
PREVIOUS: Final = "previous"
_LARGEST: Final = {VALUE: 4 * 1024, PREVIOUS: 64 * 1024}
_SETTLED_AFTER: Final = 2.0
_PLACEHOLDER: Final = re.compile(r"<?SET_LICENSE_KEY_HERE>?", re.IGNORECASE)
_SHAPE: Final = re.compile(r"[A-Za-z0-9]{4}(?:-[A-Za-z0-9]{4}){6,7}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_UNUSUAL: Final = (
    "key.dir: the activation key in {path} does not look like one (seven or eight groups of four letters or digits, "
    "joined by -); it is used all the same"
)


class _Unusable(Exception):  # noqa: N818 - it is no error of the program, and goes no further than this module
    """A file that gives no key; the message completes the sentence that begins with the file's path."""


@dataclass(frozen=True, slots=True)
class _Found:
    """One look at the folder: texts, or why there is none; ``signature`` None if the next look must read again."""

    signature: tuple[object, ...] | None
    value: str | _Unusable
    previous: str | _Unusable | None


class KeyRing:
    """The port ``Keys`` over a folder. Keeps every key that it ever saw, in memory only."""

    def __init__(self, folder: Path, disk: DiskThread | None = None, *, timeout: float = TIMEOUT) -> None:
        """Take the folder; nothing is read yet.

        ``disk``: a thread for the look at the folder, not the ledger's: a hung ledger must not hide a new key.
        ``timeout``: seconds for one look.
        """
        self._folder = folder
        self._disk = disk or DiskThread("keys")
        self._timeout = timeout
        self._seen: dict[str, Secret] = {}
        self._listed: tuple[str, ...] = ()
        self._signature: tuple[object, ...] | None = None
        self._snapshot = KeySnapshot(current=None, fault=self._sentence("was not read yet"))

    async def poll(self) -> KeySnapshot:
        """Look at the folder again; what is unusable is no change. Never raises for a bad folder."""
        try:
            found = await self._disk.run(lambda _: self._look(), seconds=self._timeout)
        except TimeoutError:
            self._signature = None
            self._snapshot = self._kept(self._sentence(f"does not answer within {self._timeout:g} s"))
        except OSError as error:
            self._signature = None
            self._snapshot = self._kept(
                self._sentence(f"cannot be opened ({error.strerror}); mount the key there, in a file named {VALUE}")
            )
        else:
            if found is not None:
                self._signature = found.signature
                self._snapshot = self._take(found)
        return self._snapshot

    def reveal(self, fingerprint: str) -> Secret | None:
        """Return the key with this fingerprint, if it was ever seen by this process."""
        return self._seen.get(fingerprint)

    def close(self) -> None:
        """Let the thread go."""
        self._disk.close()

    def _sentence(self, text: str) -> str:
        return f"key.dir: {self._folder} {text}"

    def _kept(self, fault: str) -> KeySnapshot:
        """Return the last good keys with a fault."""
        last = self._snapshot
        return KeySnapshot(last.current, last.previous, fault, last.warning)

    def _take(self, found: _Found) -> KeySnapshot:
        faults: list[str] = []
        current, warning = self._snapshot.current, self._snapshot.warning
        try:
            key = _only_key(found.value)
        except _Unusable as fault:
            keep = "the last good key is kept" if current else "there is no key until that is put right"
            faults.append(f"{self._sentence(f'has no usable key: {VALUE}')} {fault}; {keep}")
        else:
            current = self._remember(key)
            warning = "" if _SHAPE.fullmatch(key) else _UNUSUAL.format(path=self._folder / VALUE)
        if found.previous is not None:
            try:
                keys, unusable = _former_keys(found.previous)
                self._listed = tuple(dict.fromkeys(self._remember(key) for key in keys))
                if unusable:
                    faults.append(self._sentence(f"{PREVIOUS} has unusable lines ({unusable}), which are left out"))
            except _Unusable as fault:
                faults.append(f"{self._sentence(PREVIOUS)} {fault}; former keys that were read before are kept")
        # A key that was current, or was listed once, stays good for releases: the newest of these first.
        others = (*self._listed, *reversed(self._seen))
        previous = tuple(dict.fromkeys(it for it in others if it != current))
        return KeySnapshot(current, previous, "; ".join(faults), warning)

    def _remember(self, key: str) -> str:
        secret = Secret(key)
        if secret.fingerprint not in self._seen:
            MASKER.register(secret)
            self._seen[secret.fingerprint] = secret
        return secret.fingerprint

    def _look(self) -> _Found | None:
        """Read both files if anything changed since the last look, else return None. Runs in the thread."""
        for _ in range(3):
            folder = _open_folder(self._folder)
            try:
                found = _read(folder, self._signature)
                if _same_folder(folder, self._folder):
                    break
                # Swapped meanwhile, and the folder we read from may have lost its files already: look again.
            finally:
                os.close(folder)
        return found


def read_secret_file(path: Path, setting: str) -> Secret:
    """Return the one line of a file that holds a secret (``app.api_key_file``), and mask it from now on.

    Raises ``Misconfigured`` that names the setting and the file.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            secret = Secret(_only_key(_content(file, _LARGEST[VALUE])))
        finally:
            os.close(file)
    except OSError as error:
        raise Misconfigured(f"{setting}: {path} cannot be read: {error.strerror}") from error
    except _Unusable as fault:
        raise Misconfigured(f"{setting}: {path} {fault}") from None
    MASKER.register(secret)
    return secret


def _read(folder: int, last: tuple[object, ...] | None) -> _Found | None:
    """Read both files of an open folder, or return None if its signature is the last one's."""
    marks = (_mark(folder, VALUE), _mark(folder, PREVIOUS))
    signature = (os.fstat(folder).st_ino, *marks)
    if signature == last:
        return None
    value, previous = _text(folder, VALUE), _text(folder, PREVIOUS)
    # Written less than a tick of the file system's clock ago, it may be written again without another signature.
    changed = max((mark[2] for mark in marks if mark), default=0) / 1e9
    settled = time.time() - changed > _SETTLED_AFTER
    return _Found(signature if settled else None, _Unusable("is missing") if value is None else value, previous)


def _same_folder(folder: int, path: Path) -> bool:
    """Tell whether the open folder is still the one that a new look would open."""
    now = _open_folder(path)
    try:
        return os.path.samestat(os.fstat(folder), os.fstat(now))
    finally:
        os.close(now)


def _open_folder(path: Path) -> int:
    """Open the folder behind the link ``..data`` that kubelet swaps, or a plain folder."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        return os.open(path / "..data", flags)
    except (FileNotFoundError, NotADirectoryError):
        return os.open(path, flags)


def _mark(folder: int, name: str) -> tuple[int, int, int, int] | None:
    """Return what changes when a file is written, or None if there is none to look at."""
    try:
        it = os.stat(name, dir_fd=folder)
    except OSError:
        return None
    return it.st_dev, it.st_ino, it.st_ctime_ns, it.st_size


def _text(folder: int, name: str) -> str | _Unusable | None:
    """Return the text of a file, or why it has none; None if there is no file."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        return _Unusable(f"cannot be read ({error.strerror}); let the user that runs this read it")
    try:
        return _content(file, _LARGEST[name])
    except _Unusable as fault:
        return fault
    except OSError as error:
        return _Unusable(f"cannot be read ({error.strerror})")
    finally:
        os.close(file)


def _content(file: int, largest: int) -> str:
    """Return the text of an open file without a byte order mark. Raises ``_Unusable`` or ``OSError``."""
    before = os.fstat(file)
    if not stat.S_ISREG(before.st_mode):
        raise _Unusable("is no regular file")
    content = os.read(file, largest + 1)
    after = os.fstat(file)
    if len(content) > largest:
        raise _Unusable(f"is larger than {largest} bytes")
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise _Unusable("is being written just now; it is read again with the next look")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = None
    if text is None:  # raised out here, because the decoder's error holds the content and would be the context
        raise _Unusable("is no UTF-8 text; save it as plain text")
    return text


def _only_key(text: str | _Unusable) -> str:
    """Return the only line, without surrounding white space. Raises ``_Unusable``."""
    if isinstance(text, _Unusable):
        raise text
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not lines:
        raise _Unusable("is empty; write the key into it")
    if len(lines) > 1:
        raise _Unusable(f"has {len(lines)} lines; it holds one key (former ones go into {PREVIOUS})")
    return _key(lines[0])


def _former_keys(text: str | _Unusable) -> tuple[list[str], int]:
    """Return one key a line, and how many lines are unusable; blank lines, comments (#) and placeholders are ignored.

    Raises ``_Unusable`` if there is no text at all.
    """
    if isinstance(text, _Unusable):
        raise text
    lines = [line.strip() for line in text.split("\n")]
    keys = [line for line in lines if line and not line.startswith("#") and not _PLACEHOLDER.fullmatch(line)]
    usable = [key for key in keys if not _CONTROL.search(key)]
    return usable, len(keys) - len(usable)


def _key(line: str) -> str:
    if _PLACEHOLDER.fullmatch(line):
        raise _Unusable("holds the placeholder of the vendor's chart; write the key into it")
    if _CONTROL.search(line):
        raise _Unusable("holds control characters; save it as plain UTF-8 text")
    return line
