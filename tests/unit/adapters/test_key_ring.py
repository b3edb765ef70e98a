"""The activation keys in their folder."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.adapters.disk_thread import DiskThread
from sidecar.adapters.key_ring import KeyRing, read_secret_file
from sidecar.errors import Misconfigured
from sidecar.secrets import MASK, MASKER, Secret

ONE, TWO, THREE = (f"ABCD-EFGH-IJKL-MNOP-QRST-UVWX-000{number}" for number in (1, 2, 3))
FIRST, SECOND, THIRD = (Secret(key).fingerprint for key in (ONE, TWO, THREE))


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[KeyRing]:
    """Return a ring over an empty folder."""
    it = KeyRing(tmp_path)
    yield it
    it.close()


def mount(folder: Path, version: str, **files: str) -> None:
    """Swap the folder's content as kubelet does it: a new folder, then the link ``..data`` renamed over."""
    (folder / version).mkdir()
    for name, text in files.items():
        (folder / version / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)
    (folder / "..data_tmp").symlink_to(version)
    (folder / "..data_tmp").rename(folder / "..data")


def shows(text: str, *keys: str) -> bool:
    """Tell whether a text contains a key; said as a bool, so that a failing test prints none."""
    return any(key in text for key in keys)


@pytest.mark.parametrize(
    "form", ["{}", "{}\n", "  {}\t\r\n", "\ufeff{}\n", "\n\n{}\n\n"], ids=["bare", "newline", "spaces", "mark", "lines"]
)
async def test_rule_9_what_surrounds_a_key_is_no_part_of_it(ring: KeyRing, tmp_path: Path, form: str) -> None:
    """White space, a byte order mark and final newlines are left out; nothing is wrong with them."""
    (tmp_path / "value").write_text(form.format(ONE), "utf-8")
    snapshot = await ring.poll()
    assert (snapshot.current, snapshot.previous, snapshot.fault, snapshot.warning) == (FIRST, (), "", "")
    assert ring.reveal(FIRST) == Secret(ONE)
    assert ring.reveal(SECOND) is None


UNUSABLE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "blank": (b" \n\t\n", "is empty"),
    "mark only": (b"\xef\xbb\xbf\n", "is empty"),
    "placeholder": (b"<SET_LICENSE_KEY_HERE>\n", "placeholder"),
    "bare placeholder": (b"SET_LICENSE_KEY_HERE", "placeholder"),
    "two lines": (f"{ONE}\n{TWO}\n".encode(), "has 2 lines"),
    "no UTF-8": (TWO.encode("utf-16"), "no UTF-8"),
    "UTF-16 without mark": (TWO.encode("utf-16-le"), "control characters"),
    "too large": (b"A" * 5000, "larger than 4096 bytes"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
async def test_rule_9_an_unusable_key_is_no_key_and_is_told(ring: KeyRing, tmp_path: Path, kind: str) -> None:
    """Without a good key there is none; the sentence names the setting, the folder and the file, and shows no key."""
    content, fault = UNUSABLE[kind]
    (tmp_path / "value").write_bytes(content)
    snapshot = await ring.poll()
    assert snapshot.current is None
    assert snapshot.fault.startswith(f"key.dir: {tmp_path} has no usable key: value ")
    assert fault in snapshot.fault
    assert not shows(snapshot.fault, ONE, TWO)


@pytest.mark.parametrize("kind", UNUSABLE)
async def test_rule_9_an_unusable_key_is_no_change(ring: KeyRing, tmp_path: Path, kind: str) -> None:
    """A good key is kept when its file becomes unusable, and the fault ends when the file is good again."""
    content, fault = UNUSABLE[kind]
    (tmp_path / "value").write_text(ONE)
    await ring.poll()
    (tmp_path / "value").write_bytes(content)
    snapshot = await ring.poll()
    assert (snapshot.current, snapshot.previous) == (FIRST, ())
    assert fault in snapshot.fault
    assert "the last good key is kept" in snapshot.fault
    (tmp_path / "value").write_text(TWO)
    snapshot = await ring.poll()
    assert (snapshot.current, snapshot.previous, snapshot.fault) == (SECOND, (FIRST,), "")


async def test_a_missing_folder_is_told_and_appears_later(tmp_path: Path) -> None:
    """Nothing mounted yet is a fault that says what to do; the key is found as soon as it is there."""
    ring = KeyRing(tmp_path / "absent")
    snapshot = await ring.poll()
    assert snapshot.current is None
    assert snapshot.fault.startswith(f"key.dir: {tmp_path / 'absent'} cannot be opened (No such file or directory); ")
    (tmp_path / "absent").mkdir()
    assert "value is missing" in (await ring.poll()).fault
    (tmp_path / "absent" / "value").write_text(ONE)
    assert (await ring.poll()).current == FIRST
    (tmp_path / "absent").rename(tmp_path / "gone")
    snapshot = await ring.poll()
    assert snapshot.current == FIRST
    assert "cannot be opened" in snapshot.fault
    ring.close()


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
async def test_what_is_no_file_is_not_waited_for(ring: KeyRing, tmp_path: Path, kind: str) -> None:
    """A folder, a pipe without a writer, an endless device: a fault at once."""
    path = tmp_path / "value"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    snapshot = await ring.poll()
    assert snapshot.current is None
    assert "is no regular file" in snapshot.fault


async def test_a_file_without_rights_is_told() -> None:
    """A key that this user may not read is a fault with the reason and the remedy; the key that was read is kept."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        path = Path(place) / "value"
        path.write_text(ONE)
        ring = KeyRing(Path(place))
        await ring.poll()
        path.chmod(0)
        if user == 0:
            os.seteuid(65534)
        try:
            snapshot = await ring.poll()
        finally:
            os.seteuid(user)
        ring.close()
    assert snapshot.current == FIRST
    assert "value cannot be read (Permission denied); let the user that runs this read it" in snapshot.fault


async def test_a_hung_volume_is_no_change(tmp_path: Path) -> None:
    """A look that does not come back is given up, told, and repeated by the next poll."""
    (tmp_path / "value").write_text(ONE)
    disk, go_on = DiskThread("keys-of-a-test"), threading.Event()
    ring = KeyRing(tmp_path, disk, timeout=0.05)
    await ring.poll()
    hang = asyncio.ensure_future(disk.run(lambda _: go_on.wait(10), seconds=10))
    await asyncio.sleep(0)
    snapshot = await ring.poll()
    go_on.set()
    await hang
    assert snapshot.current == FIRST
    assert snapshot.fault == f"key.dir: {tmp_path} does not answer within 0.05 s"
    assert (await ring.poll()).fault == ""
    ring.close()


@pytest.mark.parametrize(
    "key",
    ["ABCD-EFGH", "ABCD EFGH IJKL MNOP QRST UVWX 0001", f"{ONE}-0002-0003", '"quoted"'],
    ids=["short", "spaces", "long", "quotes"],
)
async def test_an_unusual_key_is_used_with_a_warning(ring: KeyRing, tmp_path: Path, key: str) -> None:
    """No pattern is published, so a key is never rejected for its looks."""
    (tmp_path / "value").write_text(key)
    snapshot = await ring.poll()
    assert (snapshot.current, snapshot.fault) == (Secret(key).fingerprint, "")
    assert snapshot.warning.startswith(f"key.dir: the activation key in {tmp_path / 'value'} does not look like one")
    assert not shows(snapshot.warning, key)


async def test_rule_9_previous_holds_any_number_of_keys(ring: KeyRing, tmp_path: Path) -> None:
    """One key a line in the file's order; comments, blank lines, placeholders and the current key are left out."""
    (tmp_path / "value").write_text(ONE)
    (tmp_path / "previous").write_text(f"# 2024\n{THREE}\n\n  {TWO} \n{ONE}\n{THREE}\n<SET_LICENSE_KEY_HERE>\n")
    snapshot = await ring.poll()
    assert (snapshot.current, snapshot.previous, snapshot.fault) == (FIRST, (THIRD, SECOND), "")
    assert ring.reveal(THIRD) == Secret(THREE)


async def test_a_damaged_line_of_previous_costs_only_itself(ring: KeyRing, tmp_path: Path) -> None:
    """The other former keys are good for releases all the same, and the current key is no affair of this file's."""
    (tmp_path / "value").write_text(ONE)
    (tmp_path / "previous").write_text(f"A\x00B\n{TWO}\n")
    snapshot = await ring.poll()
    assert (snapshot.current, snapshot.previous) == (FIRST, (SECOND,))
    assert "previous has unusable lines (1)" in snapshot.fault


async def test_an_unusable_previous_is_no_change(ring: KeyRing, tmp_path: Path) -> None:
    """Former keys that were read once stay good when their file becomes unusable."""
    (tmp_path / "value").write_text(ONE)
    (tmp_path / "previous").write_text(TWO)
    await ring.poll()
    (tmp_path / "previous").write_bytes(b"\xff\xff")
    snapshot = await ring.poll()
    assert (snapshot.current, snapshot.previous) == (FIRST, (SECOND,))
    assert "previous is no UTF-8 text" in snapshot.fault


async def test_rule_9_a_key_that_was_seen_stays_good_for_releases(ring: KeyRing, tmp_path: Path) -> None:
    """A former current key, and one that `previous` listed once, is never forgotten by this process."""
    (tmp_path / "value").write_text(ONE)
    (tmp_path / "previous").write_text(THREE)
    await ring.poll()
    (tmp_path / "value").write_text(TWO)
    (tmp_path / "previous").unlink()
    snapshot = await ring.poll()
    assert snapshot.current == SECOND
    assert snapshot.known() == {FIRST, SECOND, THIRD}
    assert [ring.reveal(fingerprint) for fingerprint in (FIRST, THIRD)] == [Secret(ONE), Secret(THREE)]
    (tmp_path / "value").write_text(ONE)
    snapshot = await ring.poll()
    assert (snapshot.current, set(snapshot.previous)) == (FIRST, {SECOND, THIRD})


async def test_a_mounted_secret_is_read_as_one(ring: KeyRing, tmp_path: Path) -> None:
    """Both files come from the one folder behind the link, before and after the swap."""
    mount(tmp_path, "..v1", value=ONE)
    assert (await ring.poll()).known() == {FIRST}
    mount(tmp_path, "..v2", value=TWO, previous=THREE)
    snapshot = await ring.poll()
    assert (snapshot.current, snapshot.previous, snapshot.fault) == (SECOND, (THIRD, FIRST), "")


async def test_a_swap_during_a_look_is_no_fault(ring: KeyRing, tmp_path: Path) -> None:
    """A look that races with kubelet, which removes the former folder, finds the former keys or the new ones."""
    mount(tmp_path, "..v0", value=ONE, previous=THREE)

    def swap(number: int) -> None:
        mount(tmp_path, f"..v{number}", value=(ONE, TWO)[number % 2], previous=THREE)
        shutil.rmtree(tmp_path / f"..v{number - 1}")

    for number in range(1, 60):
        snapshot, _ = await asyncio.gather(ring.poll(), asyncio.to_thread(swap, number))
        assert snapshot.fault == ""
    assert (await ring.poll()).known() == {FIRST, SECOND, THIRD}


async def test_a_secret_that_loses_its_key_is_no_change(ring: KeyRing, tmp_path: Path) -> None:
    """A swap to a secret without `value` keeps the key; the links that are left hanging are told as missing."""
    mount(tmp_path, "..v1", value=ONE)
    await ring.poll()
    mount(tmp_path, "..v2", other="x")
    snapshot = await ring.poll()
    assert snapshot.current == FIRST
    assert "value is missing" in snapshot.fault


async def test_what_did_not_change_is_not_read_again(ring: KeyRing, tmp_path: Path) -> None:
    """Files that were old when they were read cost a look at their times only: the answer is the very same."""
    (tmp_path / "value").symlink_to(os.__file__)
    first = await ring.poll()
    assert "larger than" in first.fault
    assert await ring.poll() is first
    (tmp_path / "value").unlink()
    (tmp_path / "value").write_text(ONE)
    assert (await ring.poll()).current == FIRST


async def test_no_secret_every_key_is_masked_from_the_moment_it_is_read(ring: KeyRing, tmp_path: Path) -> None:
    """NO_SECRET: current, former and unusual keys are known to the masking of logs."""
    odd = "odd-key-of-the-ring"
    (tmp_path / "value").write_text(odd)
    (tmp_path / "previous").write_text("former-odd-key")
    await ring.poll()
    masked = MASKER.mask(f"a {odd} b former-odd-key c")
    assert not shows(masked, odd, "former-odd-key")
    assert masked.count(MASK) == 2


# Other secrets --------------------------------------------------------------------------------------------------------


def test_a_secret_file_gives_its_one_line(tmp_path: Path) -> None:
    """The API key of the app is read without what surrounds it, and masked from then on."""
    path = tmp_path / "apikey"
    path.write_text("\ufeff ab12cd34ef56ab12cd34ef56ab12cd34ef56 \n", "utf-8")
    secret = read_secret_file(path, "app.api_key_file")
    assert secret == Secret("ab12cd34ef56ab12cd34ef56ab12cd34ef56")
    assert not shows(MASKER.mask(f"sent {secret.reveal()}"), secret.reveal())


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty"),
        (b"first-secret\nsecond-secret\n", "has 2 lines"),
        (b"secret\xff", "is no UTF-8 text"),
        (b"s" * 9999, "is larger than"),
    ],
    ids=["missing", "empty", "two lines", "no UTF-8", "too large"],
)
def test_a_secret_file_that_holds_none_is_a_fault_of_its_setting(
    tmp_path: Path, content: bytes | None, fault: str
) -> None:
    """The message names the setting and the file; neither it nor what it was raised from shows the content."""
    path = tmp_path / "apikey"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Misconfigured) as raised:
        read_secret_file(path, "app.api_key_file")
    assert raised.value.faults[0].startswith(f"app.api_key_file: {path} {fault}")
    chain: BaseException | None = raised.value
    while chain is not None:
        assert not isinstance(chain, UnicodeDecodeError)
        chain = chain.__cause__ or chain.__context__
