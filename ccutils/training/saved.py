"""The checkpoints of a run on disk: which are whole, what they are kept for, how long they took."""

import shutil
from pathlib import Path

from ccutils.records import read_json, write_json

WHOLE = "whole.json"
"""The last file of a checkpoint; a folder without it was cut off and is ignored."""
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
    """Return the whole checkpoints of a run by step, ascending."""
    found = {
        int(path.name.rpartition("-")[2]): path
        for path in folder.glob("checkpoint-*")
        if (path / WHOLE).exists()
    }
    return dict(sorted(found.items()))


def newest(folder: Path) -> str | None:
    """Return the last whole checkpoint, from which a run resumes."""
    found = list(checkpoints(folder).values())
    return str(found[-1]) if found else None


def spent(folder: Path) -> float:
    """Return seconds of training up to the last whole checkpoint, those of earlier tries included."""
    path = newest(folder)
    mark = read_json(Path(path) / WHOLE) if path else {}
    return float(mark.get("seconds", 0.0))


def mark_whole(checkpoint: Path, step: int, seconds: float) -> None:
    """Say that all files of a checkpoint are written, in one step that a kill cannot split."""
    write_json(checkpoint / WHOLE, {"step": step, "seconds": round(seconds, 1)})


def strip_older(folder: Path, keep: int) -> None:
    """Leave only the adapter in all whole checkpoints but the newest `keep`."""
    for checkpoint in list(checkpoints(folder).values())[:-keep]:
        for pattern in RESUME_FILES:
            for path in checkpoint.glob(pattern):
                path.unlink()


def remove_cut_off(folder: Path) -> None:
    """Remove checkpoints that a kill cut off in the middle of writing."""
    whole = set(checkpoints(folder).values())
    for path in folder.glob("checkpoint-*"):
        if path not in whole:
            shutil.rmtree(path, ignore_errors=True)  # another process may be at it
