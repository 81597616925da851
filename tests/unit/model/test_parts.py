"""Which weights a part of the model has, which are frozen, and what is then not computed."""

import copy
from typing import Any

import pytest
import torch
from transformers import WhisperForConditionalGeneration

from accel_asr.config.trained_parts import frozen_parts
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.model import chunked_loss
from accel_asr.model.parts import freeze, parameters_by_part, parameters_in_words
from accel_asr.training.optimizers import build_optimizer
from accel_asr.training.step import train_step
from tests.refusals import refused

ENCODER, DECODER = "model.encoder.", "model.decoder."
EMBEDDINGS = (f"{DECODER}embed_tokens.", f"{DECODER}embed_positions.")
LOWEST = (f"{ENCODER}conv1.", f"{ENCODER}conv2.", f"{ENCODER}layers.0.")


@pytest.fixture
def model(model_and_processor) -> WhisperForConditionalGeneration:
    return model_and_processor[0].train()


def trained(model: torch.nn.Module) -> set[str]:
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize(
    ("setting", "prefixes"),
    [
        (["encoder"], (ENCODER,)),
        (["decoder"], (DECODER,)),
        (["embeddings"], EMBEDDINGS),
        ([{"encoder_layers": 1}], LOWEST),
        ([{"encoder_layers": 2}], (*LOWEST, f"{ENCODER}layers.1.")),
        ([{"encoder_layers": 1}, "embeddings"], (*LOWEST, *EMBEDDINGS)),
        (["encoder", "embeddings"], (ENCODER, *EMBEDDINGS)),
    ],
    ids=str,
)
def test_what_is_frozen_does_not_move_and_all_else_does(
    model, clip_items: ClipItems, collator, accelerator, setting: list[Any], prefixes: tuple[str, ...]
) -> None:
    everything = trained(model)
    freeze(model, *frozen_parts(setting))
    frozen = {name for name in everything if name.startswith(prefixes)}
    assert frozen
    assert trained(model) == everything - frozen
    before = copy.deepcopy(model.state_dict())
    prepared, optimizer = accelerator.prepare(model, build_optimizer(model, learning_rate=1e-2, weight_decay=0.1))
    batch = collator([clip_items[0, row] for row in range(4)])
    train_step(prepared, optimizer, [batch], accelerator=accelerator, max_grad_norm=1.0)
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    # the key projections have no bias, and proj_out is the embedding under its other name
    assert moved - {"proj_out.weight"} == everything - frozen


def test_frozen_lowest_layers_save_nothing_for_the_backward_pass(model) -> None:
    features = torch.randn(2, 80, 200)
    saved = []

    def count(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor)
        return tensor

    def saved_by_encoder() -> int:
        saved.clear()
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            model.get_encoder()(features)
        return len(saved)

    everything = saved_by_encoder()
    freeze(model, (), 1)
    upper_layer = saved_by_encoder()
    freeze(model, (), 2)
    norm_alone = saved_by_encoder()
    freeze(model, ["encoder"])
    assert everything > upper_layer > norm_alone > saved_by_encoder() == 0
    # both layers are alike: what one saves is saved once and not twice
    assert everything - upper_layer > upper_layer - norm_alone


def test_a_frozen_decoder_spares_the_gradient_of_the_vocabulary_projection(
    model, clip_items: ClipItems, collator, accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    products = []
    monkeypatch.setattr(chunked_loss, "_add_product", lambda *_: products.append(1))

    def products_of_a_step() -> int:
        products.clear()
        optimizer = accelerator.prepare(torch.optim.SGD(model.parameters(), lr=0.0))
        batch = collator([clip_items[0, row] for row in range(2)])
        train_step(model, optimizer, [batch], accelerator=accelerator, max_grad_norm=0.0)
        return len(products)

    assert products_of_a_step() == 1
    freeze(model, ["decoder"])
    assert products_of_a_step() == 0


def test_more_layers_than_the_encoder_has_are_refused(model) -> None:
    with refused("--model.freeze", "only 2 layers", value={"encoder_layers": 3}, remedy="at most 2"):
        freeze(model, (), 3)


def test_parameters_are_counted_by_part(model) -> None:
    freeze(model, ["encoder"])
    counts = parameters_by_part(model)
    weights = dict(model.named_parameters())
    sizes = {part: sum(w.numel() for n, w in weights.items() if n.startswith(part)) for part in (ENCODER, *EMBEDDINGS)}
    assert counts["encoder"] == {"trained": 0, "all": sizes[ENCODER]}
    embeddings = sum(sizes[part] for part in EMBEDDINGS)
    assert counts["embeddings"] == {"trained": embeddings, "all": embeddings}
    assert sum(count["all"] for count in counts.values()) == sum(w.numel() for w in weights.values())
    assert parameters_in_words({"encoder": {"trained": 0, "all": 1500}, "decoder": {"trained": 7, "all": 8}}) == (
        "7 of 1,508 (encoder 0 of 1,500, decoder 7 of 8)"
    )
