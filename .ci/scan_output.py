"""Look for keys in everything that the tests printed: the last proof of NO_SECRET.

It knows two ways to find one: by shape (a licence key or an API key in the vendor's form), and by value (whatever
looks like a key in the sources of the tests). It says where a key stands and its fingerprint, never the key.
"""  # noqa: INP001 - a script, no module of a package

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# protocol.md section 1: seven or eight groups of four letters or digits; shorter ones are caught for good measure.
SHAPE = re.compile(r"(?<![A-Za-z0-9-])[A-Za-z0-9]{4}(?:-[A-Za-z0-9]{4}){5,7}(?![A-Za-z0-9-])")
SHORT_KEY = re.compile(r"""(?<=["'])(?=[A-Z0-9-]*[A-Z])[A-Z0-9]{4}(?:-[A-Z0-9]{4}){1,7}(?=["'])""")
# protocol.md section 2: exactly 36 characters of 0-9a-f. No digest in common use has that length.
API_KEY = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{36}(?![0-9A-Za-z])")
HEX = frozenset("0123456789abcdef")
SOURCES = ("tests", "docs", "mock_activation", "charts", "README.md")


def is_picture(text: str) -> bool:
    """Tell whether this only draws the form of a key (XXXX-XXXX-…), as a help text may."""
    return len(set(text.upper()) - {"-"}) == 1


def known_keys() -> set[str]:
    """Collect every key that stands in the sources of the tests and of the demos."""
    listed = subprocess.run(  # noqa: S603 - a fixed command
        ["git", "ls-files", "-z", *SOURCES],  # noqa: S607 - git of the machine
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    keys: set[str] = set()
    for name in filter(None, listed.split("\0")):
        path = Path(name)
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        patterns = (SHAPE, API_KEY, SHORT_KEY) if name.startswith("tests/") else (SHAPE, API_KEY)
        for pattern in patterns:
            keys.update(key for key in pattern.findall(text) if not is_picture(key))
    return keys


def stands_in(key: str, line: str) -> bool:
    """Tell whether the key stands in the line; for an API key, other than as a part of a longer digest."""
    if key not in line:
        return False
    return not HEX.issuperset(key) or re.search(rf"(?<![0-9a-f]){key}(?![0-9a-f])", line) is not None


def findings(path: Path, keys: set[str]) -> Iterator[tuple[int, str]]:
    """Yield line number and key for each key in one file of output."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            shaped = {text for pattern in (SHAPE, API_KEY) for text in pattern.findall(line) if not is_picture(text)}
            for key in sorted(shaped | {key for key in keys if stands_in(key, line)}):
                yield number, key


def main(paths: list[str]) -> int:
    """Scan the named files and folders; 0 when they are clean, 1 when a key was found."""
    keys = known_keys()
    files = [file for name in map(Path, paths) for file in ([name] if name.is_file() else sorted(name.rglob("*")))]
    files = [file for file in files if file.is_file()]
    found = 0
    for file in files:
        for number, key in findings(file, keys):
            found += 1
            fingerprint = hashlib.sha256(key.encode()).hexdigest()[:12]
            sys.stdout.write(f"a key (fingerprint {fingerprint}) stands in {file.name}, line {number}\n")
    sys.stdout.write(f"looked for {len(keys)} keys and their shapes in {len(files)} files of output: {found} found\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
