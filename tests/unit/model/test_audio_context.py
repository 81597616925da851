"""Shorter audio contexts: the same encoder at full length, the right positions at any other, and which when."""

import copy
from collections import Counter

import numpy as np
import pytest
import torch
from transformers import WhisperForConditionalGeneration

from accel_asr.data.order.epoch_order import WindowPlan
from accel_asr.model import pretrained as modeling
from accel_asr.model.audio_context import BUCKET_POSITIONS, SpeechContext, encode
from tests.tiny_models import make_tiny_whisper

WHISPER = SpeechContext(full_positions=1500, position_s=0.02)
TOKENS = torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0]])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> WhisperForConditionalGeneration:
    """A random Whisper with a window of 6 s, 300 positions."""
    modeling.quiet_libraries()
    folder = make_tiny_whisper(tmp_path_factory.mktemp("six-seconds"), max_source_positions=300)
    return modeling.load_model_and_processor(str(folder))[0].eval()


def features(model: WhisperForConditionalGeneration, frames: int) -> torch.Tensor:
    shape = (2, model.config.num_mel_bins, frames)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


# -- the encoder


@pytest.mark.parametrize("training", [False, True])
def test_a_whole_window_is_encoded_as_by_transformers_bit_for_bit(
    model: WhisperForConditionalGeneration, training: bool
) -> None:
    heard, outcomes = features(model, 600), []
    for run in (lambda encoder: encoder(heard).last_hidden_state, lambda encoder: encode(encoder, heard)):
        encoder = copy.deepcopy(model.get_encoder()).train(training)
        encoder.dropout = 0.1
        torch.manual_seed(0)
        encoded = run(encoder)
        encoded.logsumexp(-1).sum().backward()
        outcomes.append([encoded, *(weight.grad for weight in encoder.parameters() if weight.requires_grad)])
    assert len(outcomes[0]) > 20
    assert all(torch.equal(expected, ours) for expected, ours in zip(*outcomes, strict=True))


def test_at_a_short_context_it_is_a_whisper_with_so_short_a_window(model: WhisperForConditionalGeneration) -> None:
    short_config = copy.deepcopy(model.config)
    short_config.max_source_positions = 128
    short = WhisperForConditionalGeneration(short_config).eval()
    weights = model.state_dict()
    weights["model.encoder.embed_positions.weight"] = weights["model.encoder.embed_positions.weight"][:128]
    short.load_state_dict(weights)
    heard = features(model, 256)
    with torch.no_grad():
        expected = short.get_encoder()(heard).last_hidden_state
        found = encode(model.get_encoder(), heard)
    assert found.shape == (2, 128, model.config.d_model)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_short_context_is_not_the_whole_one(model: WhisperForConditionalGeneration) -> None:
    with torch.no_grad():
        short, whole = (encode(model.get_encoder(), features(model, 600)[..., :frames]) for frames in (256, 600))
    assert (short - whole[:, :128]).abs().max() > 0.01


def test_gradients_reach_the_encoder_through_the_models_own_forward(model: WhisperForConditionalGeneration) -> None:
    one = copy.deepcopy(model)
    one(input_features=features(model, 256), decoder_input_ids=TOKENS).logits.sum().backward()
    missing = [name for name, weight in one.named_parameters() if weight.requires_grad and weight.grad is None]
    assert missing == []


def test_spec_augment_masks_short_features_too(model: WhisperForConditionalGeneration) -> None:
    one = copy.deepcopy(model).train()
    one.config.apply_spec_augment, one.config.mask_time_prob, one.config.mask_time_length = True, 0.5, 10
    np.random.seed(0)  # transformers draws its masks from here
    masked, again = (one(input_features=features(model, 256), decoder_input_ids=TOKENS).logits for _ in range(2))
    assert not torch.equal(masked, again)


# -- how much is heard


@pytest.mark.parametrize(
    ("longest_s", "positions"),
    [(0.0, 128), (1.56, 128), (1.57, 256), (9.24, 512), (10.0, 640), (27.16, 1408), (27.17, 1500), (30.0, 1500)],
)
def test_the_speech_and_a_second_more_in_whole_buckets(longest_s: float, positions: int) -> None:
    assert WHISPER.positions_for(longest_s) == positions
    assert positions == 1500 or (positions % BUCKET_POSITIONS == 0 and positions * 0.02 >= longest_s + 1.0)


def test_of_a_model() -> None:
    class Config:
        max_source_positions = 1500

    class Model:
        config = Config()

    assert SpeechContext.of_model(Model(), window_s=30.0) == WHISPER  # type: ignore[arg-type]


def test_some_steps_hear_more_and_the_last_tenth_hears_all() -> None:
    heard = [WHISPER.positions_at(step, 10.0, last_step=2000, seed=1) for step in range(1, 2001)]
    assert WHISPER.first_full_step(2000) == 1801
    assert heard[1800:] == [1500] * 200
    before = Counter(heard[:1800])
    assert set(before) == {640, 768, 896, 1024, 1152, 1280, 1408, 1500}
    longer = 1 - before[640] / 1800
    assert 0.1 < longer < 0.15  # an eighth
    assert min(before.values()) > 15  # of each longer one about 32


@pytest.mark.parametrize(("last_step", "first_full"), [(1, 1), (9, 9), (10, 10), (11, 10), (20, 19), (240, 217)])
def test_there_is_always_a_step_that_hears_all(last_step: int, first_full: int) -> None:
    assert WHISPER.first_full_step(last_step) == first_full
    assert WHISPER.positions_at(last_step, 3.0, last_step=last_step, seed=0) == 1500


def test_speech_that_fills_the_window_hears_all() -> None:
    assert {WHISPER.positions_at(step, 29.5, last_step=100, seed=0) for step in range(1, 101)} == {1500}


def test_the_longest_clip_is_that_of_the_global_batch_however_it_is_dealt_out(utterances: object) -> None:
    durations_s = utterances.durations_s()  # type: ignore[attr-defined]
    plans = [
        WindowPlan(7, batch, accumulation, processes, seed=3, drop_last=False, durations_s=durations_s)
        for batch, accumulation, processes in ((4, 1, 1), (2, 1, 2), (1, 2, 2), (2, 2, 1))
    ]
    for step in range(1, 7):
        expected = max(durations_s[row] for row in plans[0].window(step))
        assert {plan.longest_s(step) for plan in plans} == {expected}
