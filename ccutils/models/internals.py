"""The few places where a library's own workings are changed, each guarded: another version may lack them."""

import warnings
from importlib.metadata import version
from typing import Any


def replace_internal(owner: Any, name: str, value: Any, *, package: str, lost: str) -> bool:
    """Put `value` in the place of `owner.name`, and say whether it could be.

    Where this version of `package` has no such name, a warning says what is lost, and all goes on without.
    """
    if not hasattr(owner, name):
        warn_lost(name, package, lost)
        return False
    setattr(owner, name, value)
    return True


def warn_lost(name: str, package: str, lost: str) -> None:
    """Warn that this version of a package has no such name, and what is lost by that."""
    warnings.warn(f"{package} {version(package)} has no {name}: {lost}. All else works.", stacklevel=3)
