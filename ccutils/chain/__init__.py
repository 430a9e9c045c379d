"""The whole chain from one command: `./reproduce.sh`, its profiles, its jobs, and what is checked beforehand.

`cli` is the command line, `profiles` (by `strict_yaml`) says which runs a profile makes, `preflight` refuses
what would fail later, `job` runs one notebook with papermill, `environment` compares installed versions with
a lock, `own_profile` writes a profile for a task of one's own, `colab` prepares a Colab runtime, `address`
writes the repository's address where it is needed, `graph` starts Snakemake, `announce` tells of a run what
will come (`estimate`, from a timing by `speed`), `site` makes pages of a finished run. It stands on top and
may use every room; but the command line answers --help before anything is installed, so this file and what
`cli` imports at its top are the standard library's alone. `graph` is tested in tests/chain/test_cli.py,
`strict_yaml` in tests/chain/test_profiles.py,
`speed` in tests/chain/test_estimate.py.
"""

from typing import Any

__all__ = ["absolute", "make_profile_text"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from ccutils.chain import own_profile

        return getattr(own_profile, name)
    raise AttributeError(name)
