"""The forward pass with targets beside that of transformers, and what is saved."""

import inspect
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F
from transformers import WhisperForConditionalGeneration, masking_utils

from accel_asr.data.loading.collator import IGNORED_LABEL, Batch
from accel_asr.model import pretrained as modeling
from accel_asr.model.whisper_for_training import WhisperForTraining


def loss_of(model: WhisperForTraining, batch: Batch) -> torch.Tensor:
    return model(
        **batch.model_inputs(),
        decoder_input_ids=batch.decoder_input_ids,
        use_cache=False,
        target_positions=batch.target_positions,
        target_labels=batch.labels.flatten()[batch.target_positions],
    ).loss_sum


def test_with_targets_it_returns_the_summed_cross_entropy_and_the_same_gradients(
    model_and_processor, collator, clip_items
) -> None:
    model = model_and_processor[0].eval()
    batch = collator([clip_items[0, row] for row in range(3)])
    assert len(batch.target_positions) < batch.labels.numel()  # some rows are shorter

    def gradients(loss: torch.Tensor) -> list[torch.Tensor]:
        model.zero_grad()
        loss.backward()
        return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]

    logits = model(
        input_features=batch.input_features, decoder_input_ids=batch.decoder_input_ids, use_cache=False
    ).logits
    expected = F.cross_entropy(
        logits.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORED_LABEL, reduction="sum"
    )
    loss = loss_of(model, batch)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    for ours, theirs in zip(gradients(loss), gradients(expected), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_batch_without_targets_has_a_loss_of_nothing_and_gradients_for_all(model_and_processor, collator) -> None:
    model, _ = model_and_processor
    loss = loss_of(model, collator([]))
    loss.backward()
    assert float(loss.detach()) == 0
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in trained)


def test_no_search_for_packed_sequences_makes_the_host_wait_and_the_loss_is_the_same(
    model_and_processor, collator, clip_items, monkeypatch
) -> None:
    model = model_and_processor[0].eval()
    batch = collator([clip_items[0, row] for row in range(3)])
    searches, attentions = [], []
    search, attend = masking_utils.find_packed_sequence_indices, F.scaled_dot_product_attention

    def counted_search(*arguments: Any) -> Any:
        searches.append(1)
        return search(*arguments)

    def noted_attention(*arguments: Any, attn_mask: Any, is_causal: bool, **options: Any) -> torch.Tensor:
        attentions.append((attn_mask is None, is_causal))
        return attend(*arguments, attn_mask=attn_mask, is_causal=is_causal, **options)

    monkeypatch.setattr(masking_utils, "find_packed_sequence_indices", counted_search)
    monkeypatch.setattr(F, "scaled_dot_product_attention", noted_attention)
    losses = [loss_of(model, batch)]
    assert not searches
    kinds, layers = attentions.copy(), model.config.decoder_layers
    assert kinds.count((True, True)) == layers  # the decoder looks at no later token, without a mask
    assert kinds.count((True, False)) == layers + model.config.encoder_layers
    with monkeypatch.context() as patch:
        patch.setattr("accel_asr.model.whisper_for_training.DynamicCache", lambda: None)
        losses.append(loss_of(model, batch))
    assert searches  # transformers still has it: else the cache is not needed any more
    assert attentions[len(kinds) :] == kinds
    gradients = [torch.autograd.grad(loss, model.model.decoder.parameters()) for loss in losses]
    assert torch.equal(*losses)
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


def test_generate_sees_the_arguments_of_transformers(model_and_processor) -> None:
    ours, theirs = WhisperForTraining.forward, WhisperForConditionalGeneration.forward
    assert inspect.signature(ours) == inspect.signature(theirs)
    assert isinstance(model_and_processor[0], WhisperForTraining)


def test_what_is_saved_is_an_ordinary_whisper(model_and_processor, tmp_path: Path) -> None:
    model, processor = model_and_processor
    modeling.save_model_folder(model, processor, tmp_path)
    loaded, _ = modeling.load_model_and_processor(str(tmp_path))
    assert loaded.config.architectures == ["WhisperForConditionalGeneration"]
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight), name
