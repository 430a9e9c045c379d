"""Training rows with contrastive contexts, written to a file for trainers that read files."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ccutils.contexts.your_data import ContrastiveContexts
from ccutils.errors import InputError
from ccutils.tasks.files import read_records


def read_rows_as_text(path: Path, input_column: str, output_column: str) -> list[Mapping[str, Any]]:
    """Read the rows of a data file, values as text.

    Raises InputError, with the line, for a row without text in one of the two columns.
    """
    rows: list[Mapping[str, Any]] = []
    for record in read_records(path, (input_column, output_column)):
        for column in (input_column, output_column):
            if not record.text(column):
                raise InputError(f"{record.place}: no text in column {column!r}; mend or leave out the row.")
        rows.append({name: record.text(name) for name in record.values})
    return rows


def write_export(made: ContrastiveContexts, epochs: int, form: str, path: Path) -> int:
    """Write the rows of all epochs as JSON lines, whole or not at all; return how many.

    The same values give the same bytes. Raises InputError where the file cannot be written.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    total = epochs * len(made.drawn.pool)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8", newline="\n") as file:
            for row in tqdm(made.rows(epochs, form), total=total, desc="rows", unit="row", mininterval=1):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): choose another -o.") from error
    finally:
        part.unlink(missing_ok=True)
    return total
