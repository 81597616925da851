"""Dropout by rows: the right share, independent of everything but the row, its layer and the place."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from accel_asr.data.loading.row_seeds import row_seed
from accel_asr.model.adapter_layers import add_adapters
from accel_asr.model.gradient_checkpointing import checkpoint_layers
from accel_asr.model.pretrained import load_model_and_processor
from accel_asr.model.row_dropout import RowDropout, RowSeeds, dropped, layer_word
from accel_asr.model.whisper_for_training import WhisperForTraining

SEEDS = torch.tensor([row_seed(42, 1, row) for row in range(6)])
MOST_DEVIATION = 4.0  # of a mean of independent numbers, in standard deviations


def deviation(numbers: torch.Tensor) -> float:
    """Of the mean of numbers that should be independent, of mean 0 and variance 1: in standard deviations."""
    return float(numbers.mean().abs()) * numbers.numel() ** 0.5


def standardised(mask: torch.Tensor, p: float) -> torch.Tensor:
    return (mask.double() - p) / (p * (1 - p)) ** 0.5


@pytest.mark.parametrize("p", [0.05, 0.5])
def test_the_share_is_p_and_neighbours_do_not_know_of_each_other(p: float) -> None:
    mask = standardised(dropped(SEEDS, (6, 300, 200), p=p, layer=layer_word(3)), p)
    other_layer = standardised(dropped(SEEDS, (6, 300, 200), p=p, layer=layer_word(4)), p)
    assert all(deviation(row) < MOST_DEVIATION for row in mask)
    pairs = {
        "next position": mask[:, 1:] * mask[:, :-1],
        "next feature": mask[:, :, 1:] * mask[:, :, :-1],
        "next row": mask[1:] * mask[:-1],
        "next layer": mask * other_layer,
        "a square": mask[:, 1:, 1:] * mask[:, 1:, :-1] * mask[:, :-1, 1:] * mask[:, :-1, :-1],
    }
    assert {name: deviation(pair) for name, pair in pairs.items() if deviation(pair) >= MOST_DEVIATION} == {}
    for axis in (1, 2):  # no position and no feature is dropped more often than chance has it
        means = mask.mean(axis)
        assert float(means.std()) == pytest.approx(mask.shape[axis] ** -0.5, rel=0.1)


def test_a_row_has_its_mask_in_any_batch_and_with_any_padding() -> None:
    all_rows = dropped(SEEDS, (6, 50, 32), p=0.3, layer=layer_word(1))
    shorter = dropped(SEEDS[[4, 2]], (2, 20, 32), p=0.3, layer=layer_word(1))
    assert torch.equal(shorter, all_rows[[4, 2], :20])


def test_the_mask_is_what_whole_numbers_without_end_give() -> None:
    """torch's overflow is relied on: Python's integers, cut off by hand, tell whether it does what it should."""
    expected = [
        [[is_dropped(seed, position, feature - 16) for feature in range(16)] for position in range(5)]
        for seed in (1, 2**62 + 5)
    ]
    assert dropped(torch.tensor([1, 2**62 + 5]), (2, 5, 16), p=0.25, layer=layer_word(0)).tolist() == expected


def is_dropped(seed: int, position: int, feature: int) -> bool:
    """A quarter of all, in layer 0."""
    of_position, of_feature = (split_mix(seed, place) for place in (position, feature))
    word = (of_position ^ of_feature) % 2**32 * (of_position >> 32 | 1) % 2**32
    return (word + 2**31) % 2**32 < 2**30  # as a signed number, among the lowest quarter


def split_mix(seed: int, place: int) -> int:
    word = ((seed ^ 0xD1B54A32D192ED03) + place * 0x9E3779B97F4A7C15) % 2**64
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ word >> 27) * 0x94D049BB133111EB % 2**64
    return word ^ word >> 31


def test_what_is_left_is_scaled_up_and_gradients_flow_through_it_alone() -> None:
    dropout = RowDropout(0.25, RowSeeds(SEEDS), layer=2)
    inputs = torch.ones(6, 40, 8, requires_grad=True)
    outputs = dropout(inputs)
    outputs.sum().backward()
    mask = dropped(SEEDS, (6, 40, 8), p=0.25, layer=layer_word(2))
    torch.testing.assert_close(outputs, torch.where(mask, 0.0, 4 / 3))
    torch.testing.assert_close(inputs.grad, torch.where(mask, 0.0, 4 / 3))
    assert dropout.eval()(inputs) is inputs


def test_a_batch_without_seeds_is_not_trained_on() -> None:
    with pytest.raises(AssertionError, match="seed of each row"):
        RowDropout(0.25, RowSeeds(), layer=0)(torch.ones(1, 1, 1))


def adapted_in_training(folder: Path) -> WhisperForTraining:
    """The tiny model with adapters that drop half of their inputs, and do something already."""
    model, _ = load_model_and_processor(str(folder))
    options = {"target_modules": "all-linear", "modules_to_save": [], "base_name": "tiny", "base_revision": None}
    add_adapters(model, seed=1, r=4, lora_alpha=8, lora_dropout=0.5, **options)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".lora_B." in name:
                weight.fill_(0.1)
    return model.train()


def logits(model: WhisperForTraining, rows: Sequence[int] = range(6), *, seeds: torch.Tensor = SEEDS) -> torch.Tensor:
    rows = list(rows)
    features = torch.randn(6, 80, 200, generator=torch.Generator().manual_seed(2))[rows]
    tokens = torch.arange(18).reshape(6, 3)[rows]
    return model(input_features=features, decoder_input_ids=tokens, row_seeds=seeds[rows]).logits


def test_every_adapter_has_a_number_of_its_own_and_none_has_dropout_of_torch(tiny_folder: Path) -> None:
    modules = list(adapted_in_training(tiny_folder).modules())
    assert [module.layer for module in modules if isinstance(module, RowDropout)] == list(range(2 * 6 + 2 * 10))
    assert not [module for module in modules if isinstance(module, torch.nn.Dropout)]


def test_adapters_drop_by_the_seeds_that_the_batch_brings(tiny_folder: Path) -> None:
    model = adapted_in_training(tiny_folder)
    together = logits(model).detach()
    torch.testing.assert_close(logits(model, [4, 2]).detach(), together[[4, 2]], atol=1e-4, rtol=1e-4)
    torch.manual_seed(99)
    assert torch.equal(logits(model).detach(), together)
    next_epoch = torch.tensor([row_seed(42, 2, row) for row in range(6)])
    assert float((logits(model, seeds=next_epoch).detach() - together).abs().max()) > 0.01


def test_layers_that_are_computed_again_drop_the_same(tiny_folder: Path) -> None:
    gradients = []
    for which in ("none", "both"):
        model = adapted_in_training(tiny_folder)
        checkpoint_layers(model, which)
        logits(model).square().mean().backward()
        gradients.append({name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad})
    assert all(torch.equal(gradients[1][name], gradient) for name, gradient in gradients[0].items())
