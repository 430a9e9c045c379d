"""Check the installed versions against a lock file: `python -m ccutils.chain.environment LOCK`.

Exits with 0 if they agree, else with a message.
"""

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement


def read_lock(lock: Path) -> Iterator[Requirement]:
    """Yield the pins of a lock file, including those of other platforms and Pythons."""
    for line in lock.read_text(encoding="utf-8").splitlines():
        if text := line.split("#")[0].strip():
            yield Requirement(text)


def disagreements(lock: Path) -> list[str]:
    """List the pins for this platform that are not installed, or in another version."""
    found = []
    for pin in read_lock(lock):
        if pin.marker is None or pin.marker.evaluate():
            try:
                if version(pin.name) not in pin.specifier:  # 2.13.0+cpu satisfies ==2.13.0
                    found.append(f"{pin}: {version(pin.name)} found")
            except PackageNotFoundError:
                found.append(f"{pin}: missing")
    return found


if __name__ == "__main__":
    problems = disagreements(Path(sys.argv[1]))
    sys.exit("; ".join(problems) if problems else 0)
