"""Rows of Parquet files, numbers and dates as the file has them."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccutils.errors import InputError, no_such_file, reason
from ccutils.tasks.tables import check_header

if TYPE_CHECKING:
    from pyarrow import Table


def parquet_rows(path: Path) -> list[dict[str, Any]]:
    """Read a file's rows. Raises InputError for a file that is missing or broken, or names a column twice.

    Not by pandas, which makes floats of whole numbers where one is missing.
    """
    import pyarrow as pa
    from pyarrow import parquet

    if not path.is_file():
        raise no_such_file(path)
    try:
        with parquet.ParquetFile(path) as file:
            table = file.read()
        check_header(table.column_names, str(path))
        rows: list[dict[str, Any]] = shortest_floats(table).to_pylist()
        names = class_names(stored_features(table.schema.metadata or {}))
    except InputError:
        raise
    except (OSError, ValueError, pa.lib.ArrowException) as error:
        raise InputError(f"{path} cannot be read as Parquet ({reason(error)}).") from None
    return [with_class_names(row, names) for row in rows] if names else rows


def class_names(features: Mapping[str, Any]) -> dict[str, dict[int, str]]:
    """Map the numbers of each ClassLabel column to names; `features` is what `datasets` writes as JSON."""
    kinds = {name: kind for name, kind in features.items() if isinstance(kind, Mapping)}
    return {
        n: dict(enumerate(k["names"]))
        for n, k in kinds.items()
        if k.get("_type") == "ClassLabel" and k.get("names")
    }


def with_class_names(row: Mapping[str, Any], names: Mapping[str, Mapping[int, str]]) -> dict[str, Any]:
    """Replace the numbers of classes by names; None for one without a name, such as -1 (no label)."""
    return {c: names[c].get(v) if c in names and isinstance(v, int) else v for c, v in row.items()}


def stored_features(metadata: Mapping[bytes, bytes]) -> Mapping[str, Any]:
    """Read the features that `datasets` stores in a Parquet file's metadata; none where there are none."""
    with suppress(ValueError, KeyError, TypeError):
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return features if isinstance(features, Mapping) else {}
    return {}


def shortest_floats(table: "Table") -> "Table":
    """Return a table whose floats of 32 and 16 bits are the shortest numbers that they can be read from: 0.1
    rather than 0.10000000149011612.
    """
    import pyarrow as pa

    for i, field in enumerate(table.schema):
        if pa.types.is_float32(field.type) or pa.types.is_float16(field.type):
            numbers = table.column(i).to_numpy()
            valid = table.column(i).is_valid().to_pylist()
            exact = [float(str(x)) if there else None for x, there in zip(numbers, valid, strict=True)]
            table = table.set_column(i, field.name, [exact])
    return table
