"""The checkpoints of a run on disk: which are complete, which can be resumed, how long training took."""

import shutil
from pathlib import Path

from ccutils.records import read_json, write_json

WHOLE = "whole.json"
"""The last file of a checkpoint; a folder without it is incomplete and ignored.

transformers writes its own last file, trainer_state.json, in place and before other processes have written
the states of their random numbers: a kill then would leave a checkpoint that only looks complete.
"""
RESUME_FILES = (
    "optimizer.pt",
    "optimizer.bin",
    "pytorch_model_fsdp.bin",
    "scheduler.pt",
    "scaler.pt",
    "rng_state*.pth",
    "training_args.bin",
)


def checkpoints(folder: Path) -> dict[int, Path]:
    """Find the complete checkpoints of a run, by step, ascending."""
    found = {
        int(path.name.rpartition("-")[2]): path
        for path in folder.glob("checkpoint-*")
        if (path / WHOLE).exists()
    }
    return dict(sorted(found.items()))


def newest(folder: Path) -> str | None:
    """Find the last complete checkpoint, from which a run resumes."""
    found = list(checkpoints(folder).values())
    return str(found[-1]) if found else None


def spent(folder: Path) -> float:
    """Return the seconds of training up to the last complete checkpoint, earlier attempts included."""
    path = newest(folder)
    mark = read_json(Path(path) / WHOLE) if path else {}
    return float(mark.get("seconds", 0.0))


def mark_whole(checkpoint: Path, step: int, seconds: float) -> None:
    """Mark a checkpoint as complete, atomically."""
    write_json(checkpoint / WHOLE, {"step": step, "seconds": round(seconds, 1)})


def strip_older(folder: Path, keep: int) -> None:
    """Delete all but the adapter from complete checkpoints, except the newest `keep`."""
    for checkpoint in list(checkpoints(folder).values())[:-keep]:
        for pattern in RESUME_FILES:
            for path in checkpoint.glob(pattern):
                path.unlink()


def remove_cut_off(folder: Path) -> None:
    """Delete incomplete checkpoints, left by a kill while writing."""
    whole = set(checkpoints(folder).values())
    for path in folder.glob("checkpoint-*"):
        if path not in whole:
            shutil.rmtree(path, ignore_errors=True)  # another process may delete it too
