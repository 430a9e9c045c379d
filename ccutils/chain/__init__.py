"""The chain behind `./reproduce.sh`: profiles, checks before a run, jobs, and pages of a finished run.

`cli` is the command line, `profiles` reads profiles, `preflight` refuses what would fail later,
`surroundings` replaces an unusable home or temporary folder, `holding` allows one run at a time per results
folder, `graph` runs Snakemake, `job` runs one notebook with papermill, `environment` compares installed
versions with a lock, `own_profile` writes a profile for a task of one's own, `site` builds the pages. This is
the top layer. `cli` answers --help before anything is installed: modules that it imports at its top use the
standard library only.
"""

from typing import Any

__all__ = ["absolute", "make_profile_text"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from ccutils.chain import own_profile

        return getattr(own_profile, name)
    raise AttributeError(name)
