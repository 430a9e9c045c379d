"""Training rows with contrastive contexts, written to a file for trainers that read files."""

import json
import os
from pathlib import Path

from tqdm import tqdm

from ccutils.contexts.your_data import ContrastiveContexts
from ccutils.errors import InputError


def write_export(made: ContrastiveContexts, epochs: int, form: str, path: Path) -> tuple[int, int]:
    """Write the rows of all epochs as JSON lines, whole or not at all.

    Returns how many rows there are, and in how many labels are wrong on purpose (counterfactual).

    The same values give the same bytes. Raises InputError where the file cannot be written.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    total, wrong = epochs * len(made.drawn.pool), 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8", newline="\n") as file:
            for row in tqdm(made.rows(epochs, form), total=total, desc="rows", unit="row", mininterval=1):
                wrong += row.get("counterfactual", False)
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): choose another -o.") from error
    finally:
        part.unlink(missing_ok=True)
    return total, wrong
