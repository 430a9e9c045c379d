"""Rows of Parquet files, with numbers and dates as the file has them."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ccutils.errors import InputError, no_such_file, reason
from ccutils.tasks.tables import check_header


def parquet_rows(path: Path) -> list[dict[str, Any]]:
    """Read a file's rows. Raises InputError for a missing or broken file and a repeated column name.

    Not by pandas, which turns whole numbers into floats where one is missing. Floats of 32 bits become the
    shortest number that reads back as them: 0.1 rather than 0.10000000149011612.
    """
    import pyarrow as pa
    from pyarrow import parquet

    if not path.is_file():
        raise no_such_file(path)
    try:
        with parquet.ParquetFile(path) as file:
            table = file.read()
    except (OSError, ValueError, pa.lib.ArrowException) as error:
        raise InputError(f"{path} cannot be read as Parquet ({reason(error)}).") from None
    check_header(table.column_names, str(path))
    for i, column in enumerate(table.schema):
        if column.type == pa.float32():
            table = table.set_column(i, column.name, table[i].cast("string").cast("float64"))
    names: dict[str, dict[int, str]] = {}
    with suppress(ValueError, KeyError, TypeError, AttributeError):  # no metadata of `datasets`, or others
        names = class_names(json.loads(table.schema.metadata[b"huggingface"])["info"]["features"])
    return [with_class_names(row, names) for row in table.to_pylist()]


def class_names(features: Mapping[str, Any]) -> dict[str, dict[int, str]]:
    """Map class numbers to names for each ClassLabel column of `features`, as `datasets` stores it."""
    kinds = {column: kind for column, kind in features.items() if isinstance(kind, Mapping)}
    return {c: dict(enumerate(k["names"])) for c, k in kinds.items() if k.get("_type") == "ClassLabel"}


def with_class_names(row: Mapping[str, Any], names: Mapping[str, Mapping[int, str]]) -> dict[str, Any]:
    """Replace class numbers by names; None for a number without a name, such as -1 (no label)."""
    return {c: names[c].get(v) if c in names and isinstance(v, int) else v for c, v in row.items()}
