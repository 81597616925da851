"""Canaries: library behaviour that the design relies on. One that fails after an upgrade says what to rethink.

The numbers in comments are those of facts.md.
"""

import inspect
from pathlib import Path

import pytest
import soundfile
import torch
from accelerate import Accelerator
from accelerate.scheduler import AcceleratedScheduler
from accelerate.state import PartialState
from safetensors import safe_open
from torch.nn import functional as F
from torch.utils.data import DataLoader
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperTokenizer

from accel_asr.audio.log_mel import log_mel
from tests.conftest import forget_accelerate


@pytest.fixture
def features(model_and_processor, utterances) -> torch.Tensor:
    extractor = model_and_processor[1].feature_extractor
    return torch.stack([torch.from_numpy(log_mel(utterance.samples(), extractor)) for utterance in utterances])


# -- Whisper


def test_beginning_of_sentence_is_the_end_of_text_and_so_is_padding() -> None:  # 12
    defaults = inspect.signature(WhisperTokenizer.__init__).parameters
    assert defaults["bos_token"].default == defaults["eos_token"].default == "<|endoftext|>"
    config = WhisperConfig()
    assert config.bos_token_id == config.eos_token_id == config.pad_token_id
    assert config.decoder_start_token_id != config.bos_token_id


def test_the_tiny_model_shares_these_traps(model_and_processor) -> None:
    model, processor = model_and_processor
    tokenizer, config = processor.tokenizer, model.config
    assert tokenizer.bos_token_id == tokenizer.eos_token_id == tokenizer.pad_token_id == config.eos_token_id
    assert tokenizer("x").input_ids[0] == config.decoder_start_token_id != tokenizer.bos_token_id


@pytest.mark.parametrize("items", [1, 1000])
def test_its_own_loss_is_a_mean_whatever_number_of_items_it_is_given(model_and_processor, features, items) -> None:  # 5
    model, _ = model_and_processor
    decoder_input_ids = torch.arange(10).repeat(2, 1)
    labels = torch.tensor([[5] * 10, [6, 7] + [-100] * 8])
    output = model(
        input_features=features[:2], decoder_input_ids=decoder_input_ids, labels=labels, num_items_in_batch=items
    )
    mean = F.cross_entropy(output.logits.flatten(0, 1), labels.flatten())  # over 12 targets
    torch.testing.assert_close(output.loss, mean)


@pytest.mark.parametrize("beams", [1, 3])
def test_generating_from_encoder_outputs_gives_the_ids_of_generating_from_features(  # 15
    model_and_processor, features, beams: int
) -> None:
    model, _ = model_and_processor
    with torch.no_grad():
        encoded = model.get_encoder()(features)
    from_features = model.generate(features, num_beams=beams)
    assert torch.equal(model.generate(encoder_outputs=encoded, num_beams=beams), from_features)
    assert len({tuple(row) for row in from_features.tolist()}) > 2


def test_generated_sequences_begin_with_the_prompt_and_are_padded_with_the_end(model_and_processor, features) -> None:
    model, processor = model_and_processor
    sequences = model.generate(
        features[:2], return_dict_in_generate=True, force_unique_generate_call=True, max_new_tokens=3
    ).sequences
    assert sequences.shape == (2, 4 + 3)
    assert sequences[0, :4].tolist() == processor.tokenizer.prefix_tokens


def test_the_encoder_takes_its_window_and_nothing_else(model_and_processor, features) -> None:  # 16
    with pytest.raises(ValueError, match="expects the mel input features to be of length 200"):
        model_and_processor[0].get_encoder()(features[..., :150])


def test_the_decoder_holds_448_positions_and_no_more(model_and_processor, features) -> None:  # 13
    model, _ = model_and_processor
    model(input_features=features[:1], decoder_input_ids=torch.zeros(1, 448, dtype=torch.long))
    with pytest.raises(Exception, match=r"448|449|index"):
        model(input_features=features[:1], decoder_input_ids=torch.zeros(1, 449, dtype=torch.long))


def test_the_tied_projection_is_saved_once(model_and_processor, tmp_path: Path) -> None:  # 18
    model_and_processor[0].save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        names = set(file.keys())
    assert "model.decoder.embed_tokens.weight" in names
    assert "proj_out.weight" not in names


def test_loading_sets_the_fixed_sinusoids_free(tiny_folder: Path, model_and_processor) -> None:
    kind = type(model_and_processor[0])
    assert not kind(model_and_processor[0].config).model.encoder.embed_positions.weight.requires_grad
    assert kind.from_pretrained(tiny_folder).model.encoder.embed_positions.weight.requires_grad


def test_features_have_a_hundred_frames_a_second() -> None:
    extractor = WhisperFeatureExtractor()
    assert (extractor.n_samples, extractor.nb_max_frames, extractor.sampling_rate) == (480_000, 3_000, 16_000)


# -- Accelerate


def test_a_prepared_scheduler_steps_once_for_each_process(accelerator, monkeypatch: pytest.MonkeyPatch) -> None:  # 7
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 50)
    prepared_optimizer, prepared = accelerator.prepare(optimizer, scheduler)
    assert isinstance(prepared, AcceleratedScheduler)
    monkeypatch.setitem(PartialState._shared_state, "num_processes", 2)
    prepared_optimizer.step()
    prepared.step()
    assert prepared.get_last_lr() == [2 / 50]


def test_accelerate_divides_the_loss_by_its_accumulation_steps() -> None:  # 6
    forget_accelerate()
    weight = torch.nn.Parameter(torch.ones(()))
    Accelerator(cpu=True, gradient_accumulation_steps=4).backward(weight * 8)
    forget_accelerate()
    assert float(weight.grad) == 2.0


def test_half_precision_on_a_cpu_is_fp32_by_another_name() -> None:  # 39
    forget_accelerate()
    accelerator = Accelerator(cpu=True, mixed_precision="fp16")
    precision_and_scaler = accelerator.mixed_precision, accelerator.scaler
    with accelerator.autocast():
        computed = torch.ones(2, 2) @ torch.ones(2, 2)
    forget_accelerate()
    assert precision_and_scaler == ("fp16", None)
    assert computed.dtype == torch.float32


# -- torch, soundfile


def test_a_loader_draws_from_the_global_generator_unless_it_has_its_own() -> None:  # 35
    before = torch.get_rng_state()
    list(DataLoader([1, 2], generator=torch.Generator()))
    assert torch.equal(torch.get_rng_state(), before)
    list(DataLoader([1, 2]))
    assert not torch.equal(torch.get_rng_state(), before)


def test_soundfile_reads_what_people_record() -> None:  # 20
    assert {"WAV", "FLAC", "OGG", "MP3"} <= set(soundfile.available_formats())
    assert {"VORBIS", "OPUS"} <= set(soundfile.available_subtypes("OGG"))
