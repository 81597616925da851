"""A best score without its model is put aside."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from accel_asr.training.saving.checkpoint_state import Progress
from accel_asr.training.saving.kept_best import put_aside_lost_best

WEIGHTS = "model.safetensors"


@pytest.fixture
def best(tmp_path: Path) -> Path:
    folder = tmp_path / "best"
    folder.mkdir()
    save_file({"weight": torch.ones(100)}, folder / WEIGHTS)
    return folder


def progress() -> Progress:
    return Progress(step=4, evaluated_step=4, scores={"best": {"step": 2}, "last": {"step": 4}})


def test_a_best_model_that_is_there_keeps_its_score(best: Path) -> None:
    kept = progress()
    assert put_aside_lost_best(best.parent, kept) == []
    assert kept == progress()


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "no weights", "not finite", "no folder"])
def test_a_best_model_that_is_lost_loses_its_score(best: Path, damage: str) -> None:
    weights = best / WEIGHTS
    content = weights.read_bytes()
    weights.unlink()
    if damage in ("empty", "cut"):
        weights.write_bytes(content[:-8] if damage == "cut" else b"")
    elif damage == "not finite":
        save_file({"weight": torch.full((100,), torch.nan)}, weights)
    elif damage != "no weights":
        best.rmdir()
        if damage == "no folder":
            best.write_text("x")
    left = progress()
    notices = put_aside_lost_best(best.parent, left)
    assert len(notices) == 1
    assert str(best) in notices[0]
    assert "of step 2, is lost" in notices[0]
    # evaluated again, so that a run at its end has a best
    assert (left.scores, left.evaluated_step) == ({"last": {"step": 4}}, 0)


def test_averages_of_the_weights_are_scored_again_too(tmp_path: Path) -> None:
    scores = {"best": {"step": 4, "weights": "ema"}, "last": {"step": 4}, "ema": {"step": 4, "weights": "ema"}}
    left = Progress(step=4, evaluated_step=4, scores=scores)
    put_aside_lost_best(tmp_path, left)
    assert left.scores == {"last": {"step": 4}}


def test_a_run_without_a_best_model_lacks_nothing(tmp_path: Path) -> None:
    early = Progress(step=1, scores={"baseline": {"step": 0}})
    assert put_aside_lost_best(tmp_path, early) == []
    assert early.scores == {"baseline": {"step": 0}}
