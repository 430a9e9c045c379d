"""Read data sets of the Hugging Face Hub into records that carry their row number."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from ccutils.errors import InputError, reason
from ccutils.tasks.files import Record, is_file_name, named_rows, without_headers

T = TypeVar("T")


def is_hub_id(path: str) -> bool:
    """Check whether `path` is a Hub id (owner/name): no existing file or folder, and no file name."""
    owner, slash, name = path.partition("/")
    named = slash and owner.strip(".~") and name and "/" not in name
    return bool(named and not is_file_name(path) and not Path(path).exists())


def read_hub(name: str, split: str, config: str | None = None, most: int | None = None) -> list[Record]:
    """Read the rows of one split of a Hub data set, or a random sample of `most`, always the same.

    Raises InputError, with what to check, if the data set cannot be loaded.
    """
    import datasets  # seconds to import, and not needed for local files

    rows = _get(lambda: datasets.load_dataset(name, config, split=split), name, f", split {split!r},")
    numbers = range(1, len(rows) + 1)
    if most is not None and len(rows) > most:
        chosen = np.sort(np.random.default_rng(0).choice(len(rows), most, replace=False))
        rows, numbers = rows.select(chosen), (chosen + 1).tolist()
    numbered = zip(numbers, named_rows(rows), strict=True)
    return without_headers(Record.of(row, f"{name} ({split}), row {number}") for number, row in numbered)


def hub_splits(name: str) -> list[str]:
    """List the splits of a Hub data set. Raises InputError as `read_hub` does."""
    import datasets

    return list(_get(lambda: datasets.get_dataset_split_names(name), name))


def hub_configs(name: str) -> list[str]:
    """List the configurations of a Hub data set. Raises InputError as `read_hub` does."""
    import datasets

    return list(_get(lambda: datasets.get_dataset_config_names(name), name))


def _get(load: Callable[[], T], name: str, part: str = "") -> T:
    """Call `load`; without a network, offline, so that it reads the local cache. Raises InputError."""
    import datasets

    cause, before = unreachable(name), datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or cause is not None
    try:
        return load()
    except Exception as error:  # the library raises many kinds: no such id, no licence, no split
        raise InputError(
            f"data set {name!r}{part} could not be loaded ({reason(cause or error)}), and there is no "
            "such file or folder here: check the path, the id, the network, and the licence."
        ) from None
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def unreachable(name: str) -> Exception | None:
    """Return the error if the Hub cannot be reached, else None.

    Asks once: without a network, `datasets` tries for 23 seconds.
    """
    from huggingface_hub import dataset_info
    from huggingface_hub.errors import HfHubHTTPError

    try:
        dataset_info(name, timeout=10)
    except (HfHubHTTPError, ValueError):  # no such id, no licence: the message of `datasets` is clearer
        return None
    except Exception as error:  # no network, a proxy's refusal: no common class below Exception
        return error
    return None
