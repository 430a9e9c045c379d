"""Checkpoints on disk: which are whole, what older ones keep."""

import json
from pathlib import Path

from ccutils.training.saved import checkpoints, mark_whole, newest, remove_cut_off, spent, strip_older


def test_a_checkpoint_without_its_mark_is_none(tmp_path: Path) -> None:
    for step, whole in ((9, True), (10, True), (100, False)):
        make_checkpoint(tmp_path, step, whole)
    assert list(checkpoints(tmp_path)) == [9, 10]
    assert newest(tmp_path) == str(tmp_path / "checkpoint-10")
    remove_cut_off(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-9"]
    assert json.loads((tmp_path / "checkpoint-9" / "whole.json").read_text()) == {"step": 9, "seconds": 13.5}
    assert spent(tmp_path) == 15  # those of step 10
    assert spent(tmp_path / "nothing") == 0


def test_older_checkpoints_keep_the_adapter_alone(tmp_path: Path) -> None:
    folders = [make_checkpoint(tmp_path, step) for step in (2, 4, 6)]
    strip_older(tmp_path, keep=2)
    assert sorted(p.name for p in folders[0].iterdir()) == ["adapter_model.safetensors", "whole.json"]
    assert (folders[1] / "optimizer.pt").exists()
    assert (folders[2] / "rng_state_0.pth").exists()


def make_checkpoint(folder: Path, step: int, whole: bool = True) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    for name in ("adapter_model.safetensors", "optimizer.pt", "rng_state_0.pth"):
        (path / name).write_text("x")
    if whole:
        mark_whole(path, step, 1.5 * step)
    return path
