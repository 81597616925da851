"""`WhisperForTraining` with merged padding: checkpointing, autocast, copies, beams, and the kernel of its attention."""

import copy
from dataclasses import replace

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import GenerationMixin
from transformers.modeling_outputs import BaseModelOutput

from accel_asr.data.loading.collator import Batch, Collator
from accel_asr.data.loading.items import Item
from accel_asr.model import pretrained as modeling
from accel_asr.model.gradient_checkpointing import checkpoint_layers
from accel_asr.model.silence_merging import KeptPositions, KeyBias, SilenceMerging, encode_clips
from accel_asr.model.whisper_for_training import WhisperForTraining
from tests.tiny_models import make_tiny_whisper
from tests.unit.model.test_whisper_for_training import loss_of

CLIPS_S = (1.0, 0.4, 2.5)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory):
    """(model, processor) with a window of 12 s."""
    modeling.quiet_libraries()
    folder = make_tiny_whisper(tmp_path_factory.mktemp("twelve-seconds"), max_source_positions=600)
    return modeling.load_model_and_processor(str(folder))


@pytest.fixture
def model(loaded) -> WhisperForTraining:
    return copy.deepcopy(loaded[0]).train()


@pytest.fixture(scope="module")
def collators(loaded) -> dict[str, Collator]:
    model, processor = loaded
    whole = Collator(
        feature_extractor=processor.feature_extractor,
        start_token_id=model.config.decoder_start_token_id,
        pad_token_id=model.config.pad_token_id,
    )
    merging = SilenceMerging.of_model(model, window_s=12)
    return {
        "full": whole,
        "merged": replace(whole, merging=merging),
        "factor 1": replace(whole, merging=replace(merging, factor=1)),
    }


@pytest.fixture(scope="module")
def items(loaded) -> list[Item]:
    start = loaded[0].config.decoder_start_token_id
    generator = torch.Generator().manual_seed(1)
    return [
        Item(
            f"clip-{row}",
            clip_s,
            torch.randint(-9_000, 9_000, (int(clip_s * 16_000),), generator=generator, dtype=torch.int16).numpy(),
            (start, 5 + row, 7, 9 + row),
            row_seed=row,
        )
        for row, clip_s in enumerate(CLIPS_S)
    ]


def outcome(model: WhisperForTraining, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of a copy, and its gradients."""
    own = copy.deepcopy(model)
    loss = loss_of(own, batch)
    loss.backward()
    return loss.detach(), {name: weight.grad for name, weight in own.named_parameters() if weight.grad is not None}


def assert_equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_a_batch_has_fewer_positions_and_hardly_more_features_than_its_longest_clip(collators, items) -> None:
    batch = collators["merged"](items)
    assert batch.kept.positions.shape == (3, 384)
    assert batch.input_features.shape == (3, 80, 2 * (125 + 8))
    assert torch.equal(batch.input_features, collators["full"](items).input_features[..., :266])
    on_device = replace(collators["merged"], features_on_device=True)(items).to(torch.device("cpu"))
    torch.testing.assert_close(on_device.input_features, batch.input_features, rtol=0, atol=1e-4)
    assert torch.equal(on_device.kept.log_counts, batch.kept.log_counts)


def test_nothing_merged_is_the_training_of_the_whole_window_bit_for_bit(model, collators, items) -> None:
    merged, full = (outcome(model, collators[name](items)) for name in ("factor 1", "full"))
    assert torch.equal(merged[0], full[0])
    assert_equal(merged[1], full[1])


def test_merged_gradients_reach_every_weight_and_are_near_those_of_the_window(model, collators, items) -> None:
    (loss, ours), (full_loss, full) = (outcome(model, collators[name](items)) for name in ("merged", "full"))
    assert ours.keys() == full.keys()
    assert float(loss) == pytest.approx(float(full_loss), rel=1e-2)
    assert not torch.equal(loss, full_loss)
    flat = [torch.cat([weight.flatten() for weight in gradients.values()]) for gradients in (ours, full)]
    assert torch.cosine_similarity(*flat, dim=0) > 0.9  # of random weights


@pytest.mark.parametrize("which", ["encoder", "decoder", "both"])
def test_checkpointed_layers_give_the_same_gradients(model, collators, items, which: str) -> None:
    batch = collators["merged"](items)
    expected = outcome(model, batch)
    checkpoint_layers(model, which)
    loss, gradients = outcome(model, batch)
    assert torch.equal(loss, expected[0])
    assert_equal(gradients, expected[1])


def test_a_batch_may_be_split(model, collators, items) -> None:
    whole, parts = collators["merged"](items), [collators["merged"]([item]) for item in items]
    together = outcome(model, whole)
    alone = [outcome(model, part) for part in parts]
    torch.testing.assert_close(sum(loss for loss, _ in alone), together[0], rtol=1e-5, atol=1e-5)
    for name, gradient in together[1].items():
        summed = sum(gradients[name] for _, gradients in alone)
        torch.testing.assert_close(summed, gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max()), msg=name)


def test_a_step_in_bf16_is_near_that_in_fp32(model, collators, items) -> None:
    batch = collators["merged"](items)
    expected, _ = outcome(model, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, gradients = outcome(model, batch)
    assert float(loss) == pytest.approx(float(expected), rel=2e-2)
    assert all(gradient.isfinite().all() for gradient in gradients.values())


def test_a_batch_of_whole_windows_is_not_weighed_by_the_batch_before_it(model, collators, items) -> None:
    expected, _ = outcome(model, collators["full"](items))
    loss_of(model, collators["merged"](items)).backward()
    assert torch.equal(loss_of(model, collators["full"](items)).detach(), expected)
    assert KeyBias.of_model(model).of_batch is None


def test_a_copy_of_a_model_weighs_its_own_positions(model, collators, items) -> None:
    batch = collators["merged"](items)
    loss_of(model, batch)
    own = copy.deepcopy(model)
    loss_of(own, collators["full"](items))
    assert KeyBias.of_model(own) is not KeyBias.of_model(model)
    assert torch.equal(KeyBias.of_model(model).of_batch, batch.kept.key_bias())
    hooks = [len(layer.encoder_attn._forward_pre_hooks) for layer in own.get_decoder().layers]
    assert hooks == [1] * len(hooks)


@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_search_weighs_the_positions_in_each_of_its_steps(model, collators, items, num_beams: int) -> None:
    """Transcripts of all clips together are those of each alone, and not those without weights."""
    model.eval()
    start = torch.full((1, 1), model.config.decoder_start_token_id)

    def generated(batch: Batch, kept: KeptPositions) -> list[list[float]]:
        with torch.no_grad():
            encoded = encode_clips(model, batch.input_features, kept)
            bias = KeyBias.of_model(model)
            bias.of_batch = bias.of_batch.repeat_interleave(num_beams, dim=0)
            return GenerationMixin.generate(
                model,
                encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
                decoder_input_ids=start.expand(len(encoded), -1),
                max_new_tokens=6,
                num_beams=num_beams,
                output_logits=True,
                return_dict_in_generate=True,
            ).logits[-1]

    batch = collators["merged"](items)
    together = generated(batch, batch.kept)
    parts = [collators["merged"]([item]) for item in items]
    alone = torch.cat([generated(part, part.kept) for part in parts])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    unweighed = replace(batch.kept, log_counts=batch.kept.log_counts.clamp(max=0))
    assert (generated(batch, unweighed) - together).abs().max() > 1e-3


def test_attention_with_weighed_keys_keeps_the_fused_kernel(model, collators, items) -> None:
    batch = collators["merged"](items)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        loss_of(model, batch).backward()
    kernels = {event.key for event in profiled.key_averages() if "scaled_dot_product" in event.key}
    assert "aten::_scaled_dot_product_flash_attention_for_cpu" in kernels
    assert not [kernel for kernel in kernels if "math" in kernel]


def test_logits_of_merged_padding_have_the_loss_and_leave_no_bias_behind(
    model: WhisperForTraining, collators: dict[str, Collator], items: list[Item]
) -> None:
    model.eval()
    whole, merged = collators["full"](items), collators["merged"](items)
    plain = model(input_features=whole.input_features, decoder_input_ids=whole.decoder_input_ids).logits
    logits = model(**merged.model_inputs(), decoder_input_ids=merged.decoder_input_ids).logits
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), merged.labels.flatten(), reduction="sum")
    torch.testing.assert_close(loss_of(model, merged), expected, rtol=1e-5, atol=0)
    again = model(input_features=whole.input_features, decoder_input_ids=whole.decoder_input_ids).logits
    assert torch.equal(again, plain)
