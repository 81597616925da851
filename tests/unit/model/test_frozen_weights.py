"""Frozen weights in bf16: half the bytes, the same bits of loss and gradient under autocast, originals that stay."""

import copy
from collections.abc import Callable

import pytest
import torch

from accel_asr.model.adapter_layers import add_adapters, merged
from accel_asr.model.frozen_weights import originals, store_frozen_in_bf16, weight_bytes
from accel_asr.model.parts import freeze
from accel_asr.model.whisper_for_training import WhisperForTraining
from tests.refusals import refused

BF16 = torch.bfloat16


def with_encoder_frozen(model: WhisperForTraining) -> None:
    freeze(model, ["encoder"])


def with_all_frozen_but_the_lowest_decoder_layer(model: WhisperForTraining) -> None:
    model.requires_grad_(False)
    model.get_decoder().layers[0].requires_grad_(True)


def with_adapters(model: WhisperForTraining) -> None:
    add_adapters(
        model,
        target_modules="all-linear",
        modules_to_save=["conv2"],
        seed=3,
        base_name="base",
        base_revision=None,
        r=4,
        lora_alpha=8,
        lora_dropout=0.0,
    )
    for name, weight in model.named_parameters():
        if "lora_B" in name:  # zeros, and then nothing of the other matrix would matter
            torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(5))


def loss_and_gradients(model: WhisperForTraining) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Of a fixed batch under autocast, in training mode without dropout."""
    draw = torch.Generator().manual_seed(7)
    features = torch.randn(3, 80, 200, generator=draw)
    tokens = torch.randint(0, 300, (3, 9), generator=draw)
    with torch.autocast("cpu", dtype=BF16):
        loss = model(
            input_features=features,
            decoder_input_ids=tokens,
            use_cache=False,
            target_positions=torch.arange(27),
            target_labels=tokens.flatten(),
        ).loss_sum
    loss.backward()
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    return loss.detach(), {name: weight.grad for name, weight in trained.items()}  # type: ignore[misc]


@pytest.mark.parametrize("freezing", [with_encoder_frozen, with_all_frozen_but_the_lowest_decoder_layer, with_adapters])
def test_not_a_bit_of_loss_and_gradient_changes(
    model_and_processor, freezing: Callable[[WhisperForTraining], None]
) -> None:
    model = model_and_processor[0].train()
    freezing(model)
    rounded = copy.deepcopy(model)
    count = store_frozen_in_bf16(rounded, keeps_originals=True)
    assert weight_bytes(rounded) == weight_bytes(model) - 2 * count
    assert count > 0.4 * sum(weight.numel() for weight in model.get_encoder().parameters())
    loss, gradients = loss_and_gradients(model)
    same_loss, same_gradients = loss_and_gradients(rounded)
    assert torch.equal(loss, same_loss)
    assert gradients.keys() == same_gradients.keys()
    assert all(torch.equal(same_gradients[name], gradient) for name, gradient in gradients.items())
    assert all(gradient.dtype == torch.float32 and gradient.any() for gradient in gradients.values())


def test_embeddings_norms_and_what_is_trained_stay_in_fp32(model_and_processor) -> None:
    model = model_and_processor[0]
    with_all_frozen_but_the_lowest_decoder_layer(model)
    store_frozen_in_bf16(model, keeps_originals=False)
    dtypes = {name: weight.dtype for name, weight in model.named_parameters()}
    halved = {name for name, dtype in dtypes.items() if dtype == BF16}
    assert "model.encoder.conv1.weight" in halved
    assert "model.encoder.conv1.bias" in halved
    assert "model.decoder.layers.1.fc1.weight" in halved
    assert not [name for name in halved if "layer_norm" in name or "embed" in name or "decoder.layers.0." in name]
    assert model.proj_out.weight is model.get_input_embeddings().weight


def test_originals_are_kept_where_they_are_wanted_and_nothing_is_where_not(model_and_processor) -> None:
    model = model_and_processor[0]
    with_encoder_frozen(model)
    before = copy.deepcopy(model.state_dict())
    rounded = copy.deepcopy(model)
    store_frozen_in_bf16(rounded, keeps_originals=False)
    assert originals(rounded) == {}
    store_frozen_in_bf16(model, keeps_originals=True)
    kept = originals(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in kept.items())
    assert {name for name, weight in model.named_parameters() if weight.dtype == BF16} == kept.keys()


def test_nothing_to_round_is_refused(model_and_processor) -> None:
    model = model_and_processor[0]
    freeze(model, ["embeddings"])
    with refused("--model.frozen_dtype", "no linear layer", value="bfloat16", remedy="--model.freeze"):
        store_frozen_in_bf16(model, keeps_originals=True)


def test_adapters_are_merged_into_the_originals(model_and_processor, tmp_path) -> None:
    from accel_asr.training.saving.snapshot import Snapshot

    class AtOnce:
        def start(self, work: Callable[[], None]) -> None:
            work()

        def wait_for_those_before(self, step: int) -> None:
            pass

    model, processor = model_and_processor
    with_adapters(model)
    expected = merged(model).state_dict()
    store_frozen_in_bf16(model, keeps_originals=True)
    snapshot = Snapshot(model, processor, is_main_process=True, written=AtOnce())  # type: ignore[arg-type]
    snapshot.take_weights(model, step=1)
    snapshot.save_model_folder(tmp_path)
    saved = WhisperForTraining.from_pretrained(tmp_path, dtype=torch.float32).state_dict()
    assert all(torch.equal(saved[name], tensor) for name, tensor in expected.items())
