"""The key file: what it may hold, and a clear sentence for everything else."""

from pathlib import Path

import pytest

from mock_activation.fields import InputError
from mock_activation.key_input import read_key_file
from mock_activation.pool import KeySpec, KeyState
from tests.unit.mock.vendor_client import KEY, OTHER_KEY, expect_no_key


def test_every_field_of_a_key(tmp_path: Path) -> None:
    """Numbers, dates and names are read; what is not there has its default."""
    path = tmp_path / "keys.yaml"
    path.write_text(
        f"""
keys:
  - {{key: {KEY}, seats: 10}}
  - key: {OTHER_KEY}
    seats: 0
    state: suspended
    expires: 1970-01-02T00:00:00+00:00
    product_id: X
    product_name: yes
    licensed_to: 0123
    licensed_engines: [a, b]
  - {{key: 1e10, seats: 1, licensed_engines: "*"}}
"""
    )
    first, second, third = read_key_file(path).items()
    assert first[1] == KeySpec(10)
    assert second[1] == KeySpec(0, KeyState.SUSPENDED, 86400.0, "X", "yes", "0123", ("a", "b"))
    assert third == ("1e10", KeySpec(1))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", '"keys" must be a list'),
        (b"just words", '"keys" must be a list'),
        (b"keys: []\nmore: 1", 'exactly one field, "keys"'),
        (b"keys:\n  - key: K\n    seats: many", "entry 1: seats must be a whole number from 0"),
        (b"keys:\n  - key: K\n    seats: 99999999999999999999", "entry 1: seats must be a whole number from 0"),
        (b"keys:\n  - [K, 2]", "entry 1: must be a mapping"),
        (b"keys:\n  - key: *<KEY>", "not valid YAML"),
        (b"keys:\n  - key: '<KEY>", "not valid YAML in line 2"),
        (b"keys:\n\t- <KEY>", "not valid YAML in line 2"),
        (b"\xff\xfe\x00", "not UTF-8 text"),
        (b"keys: \x00", "not valid YAML"),
        (b"[" * 5000, "not valid YAML"),
        (b"? {a: b}\n: c", "not valid YAML"),
        (b"? [a]\n: c", "not valid YAML"),
    ],
)
def test_a_broken_file_is_told_by_name_and_reason(tmp_path: Path, content: bytes, says: str) -> None:
    """The sentence names the file, the line where there is one, and shows nothing of the line."""
    path = tmp_path / "keys.yaml"
    path.write_bytes(content.replace(b"<KEY>", KEY.encode()))  # a parameter would stand in the test's name
    with pytest.raises(InputError) as caught:
        read_key_file(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert says in text
    expect_no_key(text)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Absent files and folders are told as such."""
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            read_key_file(path)
