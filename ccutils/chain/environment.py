"""Does this environment hold the locked versions? `python -m ccutils.chain.environment LOCK` exits 0."""

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement


def read_lock(lock: Path) -> Iterator[Requirement]:
    """Yield the pins of a lock file, those of other platforms and Pythons included."""
    for line in lock.read_text(encoding="utf-8").splitlines():
        text = line.split("#")[0].strip()
        if text:
            yield Requirement(text)


def disagreements(lock: Path) -> list[str]:
    """Return what this environment lacks or has in another version, one short phrase each; empty if it will
    do.
    """
    found = []
    for pin in read_lock(lock):
        if pin.marker and not pin.marker.evaluate():
            continue
        try:
            have = version(pin.name)
        except PackageNotFoundError:
            found.append(f"{pin} is missing")
            continue
        if have not in pin.specifier:  # a local build such as 2.13.0+cpu satisfies ==2.13.0
            found.append(f"{pin} wanted, {have} found")
    return found


if __name__ == "__main__":
    problems = disagreements(Path(sys.argv[1]))
    print("; ".join(problems), file=sys.stderr)
    sys.exit(1 if problems else 0)
