"""The forward pass with targets beside that of transformers, and what is saved."""

import inspect
from pathlib import Path

import torch
from torch.nn import functional as F
from transformers import WhisperForConditionalGeneration

from accel_asr.data.loading.collator import IGNORED_LABEL, Batch
from accel_asr.model import pretrained as modeling
from accel_asr.model.whisper_for_training import WhisperForTraining


def loss_of(model: WhisperForTraining, batch: Batch) -> torch.Tensor:
    return model(
        input_features=batch.input_features,
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
