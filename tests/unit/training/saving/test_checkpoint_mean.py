"""Which checkpoints are averaged, and their mean."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from accel_asr.files.run_folder import checkpoint_path
from accel_asr.training.saving import checkpoint_mean
from accel_asr.training.saving.checkpoint_mean import mean_weights, newest_intact


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Checkpoints of the steps 2, 4, 6 and 9, of which a damaged one has a file that says so."""
    generator = torch.manual_seed(3)
    made = [checkpoint_path(tmp_path, step) for step in (2, 4, 6, 9)]
    for folder in made:
        folder.mkdir(parents=True)
        tensors = {name: torch.randn(5, 3, generator=generator) for name in ("first", "second", "frozen")}
        save_file(tensors, folder / "model.safetensors")
    monkeypatch.setattr(
        checkpoint_mean, "damage_of", lambda folder: "cut short" if (folder / "damaged").exists() else None
    )
    return made


def weights(folder: Path, name: str) -> np.ndarray:
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")[name].astype(np.float64)


def test_the_mean_is_that_of_float64(folders: list[Path]) -> None:
    means = dict(mean_weights(folders[:3], ["first", "second"]))
    assert list(means) == ["first", "second"]  # those that are asked for
    for name, mean in means.items():
        expected = np.mean([weights(folder, name) for folder in folders[:3]], axis=0).astype(np.float32)
        assert mean.dtype == torch.float32
        np.testing.assert_array_equal(mean.numpy(), expected)


def test_the_last_intact_ones_up_to_a_step_are_averaged_in_order(folders: list[Path], tmp_path: Path) -> None:
    assert newest_intact(tmp_path, step=9, most=2) == (folders[2:], [])
    # a later one is damaged, or the run would have resumed from it
    assert newest_intact(tmp_path, step=6, most=2) == (folders[1:3], [])
    assert newest_intact(tmp_path, step=9, most=9) == (folders, [])


def test_a_damaged_one_is_left_out_and_named(folders: list[Path], tmp_path: Path) -> None:
    (folders[2] / "damaged").touch()
    found, notices = newest_intact(tmp_path, step=9, most=2)
    assert found == [folders[1], folders[3]]
    assert len(notices) == 1
    assert str(folders[2]) in notices[0]
    assert "cut short" in notices[0]
