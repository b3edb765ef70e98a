"""What people write (the key file, bodies of the control API), taken apart field by field, every fault named at once.

A message names the field and what is allowed, and never repeats what was written: it may be a key.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, TypeVar, overload

LONGEST_DELAY: Final = 86_400.0
_NAME = re.compile(r"[a-z_]{1,32}")
_FINGERPRINT = re.compile(r"[0-9a-f]{12}")

_Choice = TypeVar("_Choice", bound=StrEnum)


class InputError(ValueError):
    """What was written cannot be used; ``faults`` lists every reason as a sentence."""

    def __init__(self, *faults: str) -> None:
        """Keep every fault."""
        super().__init__("; ".join(faults))
        self.faults = faults


class Fields:
    """Takes the fields of one mapping out, collects what is wrong, and complains about what is left."""

    def __init__(self, data: object, place: str, *, texts: bool = False) -> None:
        """Take apart ``data``; ``texts``: numbers are written as the digits of a text, as in the key file."""
        self._place = f"{place}: " if place else ""
        self._texts = texts
        self.faults: list[str] = []
        self._left: dict[object, Any] = {}
        if isinstance(data, Mapping):
            self._left = dict(data)
        else:
            self.wrong("must be a mapping of fields")

    def wrong(self, sentence: str) -> None:
        """Note a fault."""
        self.faults.append(f"{self._place}{sentence}")

    def take(self, name: str) -> Any:
        """Take a field out as it is; None if it is not there."""
        return self._left.pop(name, None)

    def text(self, name: str, default: str, *, longest: int = 200) -> str:
        """Take a printable text."""
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
            self.wrong(f"{name} must be a printable text of 1 to {longest} characters")
            return default
        return value

    def integer(self, name: str, default: int | None, *, least: int, most: int) -> int | None:
        """Take a whole number."""
        value = self.take(name)
        if value is None:
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # JSON knows one kind of numbers: 3.0 is 3
        if (
            self._texts
            and isinstance(value, str)
            and value.isascii()
            and value.isdigit()
            and len(value) <= len(str(most))
        ):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self.wrong(f"{name} must be a whole number from {least} to {most}")
            return default
        return value

    def seconds(self, name: str) -> float:
        """Take a duration, which must be there."""
        value = self.take(name)
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not math.isfinite(value)
            or not 0 <= value <= LONGEST_DELAY
        ):
            self.wrong(f"{name} must be a number of seconds from 0 to {LONGEST_DELAY:.0f}")
            return 0.0
        return float(value)

    @overload
    def number(self, name: str, default: float, *, least: float, most: float) -> float: ...

    @overload
    def number(self, name: str, default: None, *, least: float, most: float) -> float | None: ...

    def number(self, name: str, default: float | None, *, least: float, most: float) -> float | None:
        """Take a number that may be absent."""
        value = self.take(name)
        if value is None:
            return default
        # NaN is not between any two numbers; a whole number may be too large for a float.
        if isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most:
            return float(value)
        self.wrong(f"{name} must be a number from {least:g} to {most:g}")
        return default

    def flag(self, name: str) -> bool:
        """Take true or false; absent is false."""
        value = self.take(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        self.wrong(f"{name} must be true or false")
        return False

    def choice(self, name: str, kind: type[_Choice], default: _Choice) -> _Choice:
        """Take one word of a closed set."""
        value = self.take(name)
        if value is None:
            return default
        if isinstance(value, str) and value in list(kind):
            return kind(value)
        self.wrong(f"{name} must be one of {', '.join(kind)}")
        return default

    def finish(self) -> None:
        """Complain about every field that nobody took, and raise ``InputError`` if anything was wrong."""
        for name in self._left:
            known_shape = isinstance(name, str) and _NAME.fullmatch(name)
            self.wrong(f"there is no field {name}" if known_shape else "there is a field with an impossible name")
        self.check()

    def fingerprint(self, name: str) -> str | None:
        """Take a key's fingerprint."""
        value = self.take(name)
        if value is None or (isinstance(value, str) and _FINGERPRINT.fullmatch(value)):
            return value
        self.wrong(f"{name} must be 12 hexadecimal digits")
        return None

    def check(self) -> None:
        """Raise ``InputError`` if anything was wrong so far."""
        if self.faults:
            raise InputError(*self.faults)
