"""What a store of Secrets promises to ``init-secrets``; the fake of its tests and the API server run through it.

A subclass gives the fixture ``stores``: two handles on one empty namespace.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sidecar.hook_ports import SecretChanged, SecretContent, SecretStore, StoredSecret

NAME = "mdicapsrv-cred"
Stores = tuple[SecretStore, SecretStore]


def content(*, labels: dict[str, str] | None = None, notes: dict[str, str] | None = None, **data: str) -> SecretContent:
    """Return a content of texts."""
    return SecretContent(
        data={name: value.encode() for name, value in data.items()}, labels=labels or {}, annotations=notes or {}
    )


async def there(store: SecretStore, name: str = NAME) -> StoredSecret:
    """Return the Secret, which must be there."""
    stored = await store.read(name)
    assert stored is not None
    return stored


class SecretStoreContract:
    """The behaviours; subclasses say how a store is made."""

    @pytest.fixture
    def stores(self) -> Stores:
        """Return two handles on one empty namespace."""
        raise NotImplementedError

    @pytest.fixture
    def remove(self, stores: Stores) -> Callable[[str], object]:
        """Return what deletes a Secret by its name, as an administrator does."""
        raise NotImplementedError

    async def test_what_is_not_there_is_none(self, stores: Stores) -> None:
        """A Secret that nobody made is no error."""
        assert await stores[0].read(NAME) is None

    async def test_what_is_created_is_read_by_everybody(self, stores: Stores) -> None:
        """Values are bytes, whatever they are, and labels and annotations come along."""
        one, two = stores
        written = SecretContent(data={"a.b": b"\x00\xff", "c": b""}, labels={"l": "1"}, annotations={"n": "a b"})
        await one.create(NAME, written)
        stored = await there(two)
        assert (stored.data, stored.labels, stored.annotations) == (written.data, {"l": "1"}, {"n": "a b"})
        assert (stored.name, stored.immutable, stored.deleting) == (NAME, False, False)
        assert "a.b" not in repr(stored) + repr(written)

    async def test_a_second_creation_is_refused_and_changes_nothing(self, stores: Stores) -> None:
        """Of two who find nothing and create, one wins and the other is told."""
        one, two = stores
        await one.create(NAME, content(user="first"))
        with pytest.raises(SecretChanged):
            await two.create(NAME, content(user="second"))
        assert (await there(one)).data == {"user": b"first"}

    async def test_a_replacement_is_whole(self, stores: Stores) -> None:
        """What the new content does not have is gone, what the store keeps for itself is not."""
        one, two = stores
        await one.create(NAME, content(user="u", password="p", labels={"l": "1"}, notes={"n": "1"}))
        await two.replace(await there(two), content(user="v", labels={"m": "2"}))
        stored = await there(one)
        assert (stored.data, stored.labels, stored.annotations) == ({"user": b"v"}, {"m": "2"}, {})

    async def test_only_the_version_that_was_read_is_written_over(self, stores: Stores) -> None:
        """Of two who read and write, one wins and the other is told; a Secret made anew is another one as well."""
        one, two = stores
        await one.create(NAME, content(user="u"))
        mine, theirs = await there(one), await there(two)
        await two.replace(theirs, content(user="theirs"))
        with pytest.raises(SecretChanged):
            await one.replace(mine, content(user="mine"))
        assert (await there(one)).data == {"user": b"theirs"}

    async def test_what_is_gone_is_another_than_expected(self, stores: Stores, remove: Callable[[str], object]) -> None:
        """Writing over what was deleted meanwhile does not make it again, nor does it touch one that was made anew."""
        one, two = stores
        await one.create(NAME, content(user="u"))
        gone = await there(one)
        remove(NAME)
        with pytest.raises(SecretChanged):
            await two.replace(gone, content(user="v"))
        assert await one.read(NAME) is None
        await one.create(NAME, content(user="u"))
        with pytest.raises(SecretChanged):
            await two.replace(gone, content(user="v"))
        assert (await there(two)).data == {"user": b"u"}
