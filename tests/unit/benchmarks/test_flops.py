"""The formula for a step's FLOPs, against torch's own count and against figures from elsewhere."""

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed.flops import WhisperShape, product_flops, train_step_flops
from benchmarks.speed.material import TINY, Material
from benchmarks.speed.own_loop import Own

# (mel bins, width, feed-forward, encoder layers, decoder layers, vocabulary)
WHISPER_TINY = WhisperShape(80, 384, 1536, 4, 4, 51_865)
SMALL = WhisperShape(80, 768, 3072, 12, 12, 51_865)
LARGE_V3_TURBO = WhisperShape(128, 1280, 5120, 32, 4, 51_866)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [(WHISPER_TINY, 129e9), (SMALL, 1.2e12), (LARGE_V3_TURBO, 7.0e12)],
    ids=["tiny", "small", "turbo"],
)
def test_a_clip_of_30_seconds_costs_what_was_computed_by_hand(shape: WhisperShape, expected: float) -> None:
    # known to two or three digits, for a label of about 40 tokens: within 2% (observed: 0.1% to 0.4%)
    flops = train_step_flops(shape, clips=1, positions=1_500, tokens=40, targets=40)
    assert flops == pytest.approx(expected, rel=0.02)


def flops_of_adding(total: list[int], one: list[int], other: list[int], **_: object) -> int:
    """Of the product that is added in place, which torch's counter does not know; of the shapes of three matrices."""
    return product_flops(one[0], one[1], other[1])


def test_a_step_costs_what_torch_counts(tmp_path: Path) -> None:
    own = Own(Material(tmp_path, TINY, device=torch.device("cpu")), mixed_precision="no")
    own.unwrapped.set_attn_implementation("eager")  # the counter knows matrix products, not every attention kernel
    batch = own.material.batch(3)
    clips, tokens = batch.labels.shape
    targets = len(batch.target_positions)
    assert targets < clips * tokens  # or the head's own count would not be seen
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: flops_of_adding}) as counter:
        own.train_step([batch])
    shape = WhisperShape.of(own.unwrapped.config)
    flops = train_step_flops(shape, clips=clips, positions=100, tokens=tokens, targets=targets)
    assert flops == counter.get_total_flops()
