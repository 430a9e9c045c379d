"""Reading data sets of the Hugging Face Hub into rows that know their place."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from ccutils.errors import InputError, reason
from ccutils.tasks.files import Record, is_file_name, named_rows, without_headers

T = TypeVar("T")


def is_hub_id(path: str) -> bool:
    """Tell whether `path` names a Hub data set (owner/name) rather than a file or folder here.

    What ends as a file does is a file, there or not.
    """
    owner, slash, name = path.partition("/")
    named = slash and owner.strip(".~") and name and "/" not in name
    return bool(named and not is_file_name(path) and not Path(path).exists())


def read_hub(name: str, split: str, config: str | None = None, most: int | None = None) -> list[Record]:
    """Read the rows of one split of a Hub data set, or `most` of them drawn at random, the same ones always.

    Raises InputError where it cannot be had, saying what to check.
    """
    import datasets  # seconds to import, and not needed for local files

    what = f"data set {name!r}, split {split!r},"
    rows = _get(lambda: datasets.load_dataset(name, config, split=split), name, what)
    numbers = range(1, len(rows) + 1)
    if most is not None and len(rows) > most:
        chosen = np.sort(np.random.default_rng(0).choice(len(rows), most, replace=False))
        rows, numbers = rows.select(chosen), (chosen + 1).tolist()
    numbered = zip(numbers, named_rows(rows), strict=True)
    return without_headers(Record.of(row, f"{name} ({split}), row {number}") for number, row in numbered)


def hub_splits(name: str, config: str | None = None) -> list[str]:
    """Return names of a Hub data set's splits. Raises InputError as `read_hub` does."""
    import datasets

    return list(_get(lambda: datasets.get_dataset_split_names(name, config), name, f"data set {name!r}"))


def hub_configs(name: str) -> list[str]:
    """Return names of a Hub data set's configurations. Raises InputError as `read_hub` does."""
    import datasets

    return list(_get(lambda: datasets.get_dataset_config_names(name), name, f"data set {name!r}"))


def _get(load: Callable[[], T], name: str, what: str) -> T:
    """Return what `load` returns; without a network, from what is on this machine. Raises InputError."""
    import datasets

    cause, before = unreachable(name), datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or cause is not None
    try:
        return load()
    except Exception as error:  # the library raises many kinds: no such id, no licence, no split
        why = reason(cause or error)
        raise InputError(
            f"{what} could not be loaded ({why}): there is no file or folder of that name here either; "
            "check the path, or the id, the network, and whether a licence must be accepted."
        ) from None
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def unreachable(name: str) -> Exception | None:
    """Return why the Hub cannot be asked for a data set; None where it answers, whatever it says.

    Asked once: `datasets` by itself tries for 23 seconds before it tells of a missing network.
    """
    from huggingface_hub import dataset_info
    from huggingface_hub.errors import HfHubHTTPError

    try:
        dataset_info(name, timeout=10)
    except (HfHubHTTPError, ValueError):  # no such id, no licence: what `datasets` says of it is clearer
        return None
    except Exception as error:  # no network, a proxy's refusal: no common class below Exception
        return error
    return None
