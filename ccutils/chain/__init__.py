"""The chain behind `./reproduce.sh`: profiles, checks before a run, jobs, and HTML pages of a finished run.

`cli` is the command line, `profiles` reads profiles, `preflight` checks a profile before a run,
`surroundings` replaces an unusable home or temporary folder, `holding` locks a results folder for one run,
`graph` runs Snakemake, `job` runs one notebook with papermill, `environment` compares installed versions with
a lock file, `own_profile` writes a profile for a user's own task, `site` builds the pages. This is the top
layer. `--help` works before anything is installed, so modules that `cli` imports at its top use the standard
library only.
"""

from typing import Any

__all__ = ["absolute", "make_profile_text"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from ccutils.chain import own_profile

        return getattr(own_profile, name)
    raise AttributeError(name)
