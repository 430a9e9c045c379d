"""Write training rows with contrastive contexts to a file, for trainers that read files."""

import json
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from ccutils.contexts.your_data import ContrastiveContexts
from ccutils.errors import InputError, check_count
from ccutils.records import atomic


def write_export(made: ContrastiveContexts, epochs: int, form: str, path: Path) -> tuple[int, int]:
    """Write the rows of all epochs as JSON lines, atomically.

    Returns the number of rows, and of rows with wrong labels on purpose (counterfactual). The same arguments
    give the same bytes. Raises InputError if the file cannot be written.
    """
    check_count("epochs", epochs)
    total, wrong = epochs * len(made.drawn.pool), 0
    try:
        with atomic(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
            for row in tqdm(made.rows(epochs, form), total=total, desc="rows", unit="row", mininterval=1):
                wrong += row.get("counterfactual", False)
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): choose another -o.") from error
    return total, wrong


def check_not_input(data: Path, *outputs: Path) -> None:
    """Raise InputError if one of the outputs is the data file, by whatever name."""
    for path in outputs:
        with suppress(OSError):  # one of the files does not exist
            if path.samefile(data):
                raise InputError(f"{path} is the data file itself: choose another -o.")
