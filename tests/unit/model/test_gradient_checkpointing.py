"""Checkpointed layers: fewer saved tensors, the same gradients, and none of it outside of training."""

import copy

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.model.gradient_checkpointing import checkpoint_layers
from accel_asr.model.parts import freeze
from accel_asr.model.whisper_for_training import WhisperForTraining
from tests.unit.model.test_whisper_for_training import loss_of

HALVES = ("encoder", "decoder", "both")


@pytest.fixture
def model(model_and_processor) -> WhisperForTraining:
    return model_and_processor[0].train()


def with_dropout(model: WhisperForTraining, chance: float) -> WhisperForTraining:
    for module in model.modules():
        for name in ("dropout", "activation_dropout"):
            if hasattr(module, name):
                setattr(module, name, chance)
    model.get_encoder().layerdrop = model.get_decoder().layerdrop = chance
    return model


@pytest.fixture
def step(collator, clip_items: ClipItems):
    """One forward and backward pass of a copy: the loss, the gradients, and the bytes saved in between."""
    batch = collator([clip_items[0, row] for row in range(3)])

    def run(model: WhisperForTraining, which: str):
        model = copy.deepcopy(model)
        checkpoint_layers(model, which)
        saved: dict[int, int] = {}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        torch.manual_seed(7)
        with saved_tensors_hooks(note, lambda tensor: tensor):
            loss = loss_of(model, batch)
        loss.backward()
        gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
        return loss.detach(), gradients, sum(saved.values())

    return run


@pytest.mark.parametrize("which", HALVES)
@pytest.mark.parametrize("chance", [0.0, 0.3], ids=["no dropout", "dropout"])
def test_gradients_are_the_same_bit_for_bit_with_less_saved(
    model: WhisperForTraining, step, which: str, chance: float
) -> None:
    with_dropout(model, chance)
    loss, gradients, saved_bytes = step(model, "none")
    mine, same_gradients, fewer_bytes = step(model, which)
    assert torch.equal(mine, loss)
    assert gradients.keys() == same_gradients.keys()
    assert all(torch.equal(same_gradients[name], gradient) for name, gradient in gradients.items())
    assert fewer_bytes < saved_bytes


def test_both_save_least(model: WhisperForTraining, step) -> None:
    saved = {which: step(model, which)[2] for which in ("none", *HALVES)}
    assert saved["both"] < saved["encoder"] < saved["decoder"] < saved["none"]


@pytest.mark.parametrize("which", HALVES)
def test_a_frozen_encoder_is_no_obstacle(model: WhisperForTraining, step, which: str) -> None:
    freeze(model, ["encoder"])
    _, gradients, _ = step(model, "none")
    _, same_gradients, _ = step(model, which)
    assert same_gradients.keys() == gradients.keys() == {n for n, w in model.named_parameters() if w.requires_grad}
    assert all(torch.equal(same_gradients[name], gradient) for name, gradient in gradients.items())


def test_generation_uses_the_cache_and_evaluation_computes_nothing_twice(
    model: WhisperForTraining, collator, clip_items: ClipItems, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = checkpoint_layers(model, "both")
    calls: list[int] = []
    for layer in layers:
        monkeypatch.setattr(layer, "_gradient_checkpointing_func", lambda *_: calls.append(1))
    model.eval()
    features = collator([clip_items[0, 0]]).input_features
    token_counts: list[int] = []
    model.get_decoder().layers[0].register_forward_pre_hook(lambda _, inputs: token_counts.append(inputs[0].shape[1]))
    model.generate(features, max_new_tokens=4)
    assert len(token_counts) > 1
    assert set(token_counts[1:]) == {1}  # one token at a time: those before are in the cache
    assert not calls


def test_none_changes_nothing(model: WhisperForTraining) -> None:
    assert checkpoint_layers(model, "none") == []
    assert not any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
