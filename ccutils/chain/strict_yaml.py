"""YAML as a person means it: a name once, no number that reads in two ways, names that are texts."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ccutils.errors import InputError

TWO_WAYS = re.compile(r"[-+]?(0[0-9_]+|[0-9][0-9_]*(:[0-5]?[0-9])+)(\.[0-9_]*)?")
"""What YAML 1.1 counts by eight or by sixty: 010 is 8 to it, and 1:30 is 90."""


def load_yaml(text: str) -> Any:
    """Read one YAML document. Raises yaml.YAMLError, with line and column, for a name that stands twice in a
    mapping and for a number such as 010 or 1:30; ValueError for a date that there is not.
    """
    import yaml  # here, since the command line must be able to show its help before anything is installed

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            names: set[str] = set()
            for key, _ in node.value:
                if key.value in names and key.tag != "tag:yaml.org,2002:merge":
                    refuse(key, f"the name {key.value!r} stands twice; take one out")
                names.add(str(key.value))
            return super().construct_mapping(node, deep)

        def construct_scalar(self, node: Any) -> Any:
            number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
            if number and TWO_WAYS.fullmatch(node.value):
                refuse(node, f"{node.value} can be read in two ways; write it as a plain number or in quotes")
            return super().construct_scalar(node)

    def refuse(node: Any, why: str) -> None:
        raise yaml.constructor.ConstructorError(None, None, why, node.start_mark)

    return yaml.load(text, Loader)


def check_once(where: str, names: Iterable[str]) -> None:
    """Raise InputError for a name that a list holds twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{where} holds {name!r} twice: give each once.")
        seen.add(name)


def check_names_are_texts(where: str, values: Mapping[Any, Any]) -> None:
    """Raise InputError for a name that YAML has read as something else, such as yes or 5."""
    for name in values:
        if not isinstance(name, str):
            raise InputError(f"{where}: the name {name!r} is not a text; put it in quotes.")


def check_named(where: str, folder: Any) -> None:
    """Raise InputError for an empty name of a folder, which would be that of the repository."""
    if folder == "":
        raise InputError(f"{where} is empty: name a folder, or leave it out.")
