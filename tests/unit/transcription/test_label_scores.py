"""How probable a text is as a clip's label: as the model's own forward pass says, alone and in a batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from accel_asr.audio.decoding import to_float32
from accel_asr.config.fallback_settings import Fallback
from accel_asr.model.silence_merging import KeyBias, SilenceMerging
from accel_asr.transcription.label_scores import score_labels
from accel_asr.transcription.transcriber import Transcriber

TEXTS = ["pay the bill", "I would like to set up a joint account", "hello"]
LANGUAGES = ["en", "de", "en"]


@pytest.fixture
def clips(utterances) -> list[np.ndarray]:
    return [to_float32(utterance.samples()) for utterance in utterances[:3]]


@pytest.fixture
def transcriber(model_and_processor) -> Transcriber:
    return Transcriber(*model_and_processor, task="transcribe", fallback=Fallback((0.0,), None, None, None))


def by_hand(transcriber: Transcriber, clip: np.ndarray, text: str, language: str) -> tuple[float, float]:
    """(mean log-probability of the text's tokens and the end, probability of silence)."""
    tokenizer, model = transcriber.processor.tokenizer, transcriber.model
    start = [f"<|{name}|>" for name in ("startoftranscript", language, "transcribe", "notimestamps")]
    prefix = tokenizer.convert_tokens_to_ids(start)
    ids = [*prefix, *tokenizer(text, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    features = transcriber.processor.feature_extractor(clip, sampling_rate=16_000, return_tensors="pt").input_features
    with torch.no_grad():
        logits = model(features, decoder_input_ids=torch.tensor([ids[:-1]])).logits[0]
    found = logits.log_softmax(dim=-1)[torch.arange(len(ids) - 1), ids[1:]]
    silence = logits[0].softmax(dim=-1)[tokenizer.convert_tokens_to_ids("<|nocaptions|>")]
    return float(found[len(prefix) - 1 :].mean()), float(silence)


def test_scores_are_those_of_a_forward_pass_of_each_clip_alone(transcriber, clips) -> None:
    scores = score_labels(transcriber, clips, TEXTS, LANGUAGES)
    for score, clip, text, language in zip(scores, clips, TEXTS, LANGUAGES, strict=True):
        begun = [by_hand(transcriber, clip, spelled, language) for spelled in (text, f" {text}")]
        assert score.avg_logprob in [pytest.approx(logprob, rel=1e-4) for logprob, _ in begun]
        assert score.no_speech_prob == pytest.approx(begun[0][1], rel=1e-4)
    assert len({score.avg_logprob for score in scores}) == 3


def test_a_text_is_spelled_as_the_model_begins_its_transcripts(transcriber, clips, monkeypatch) -> None:
    tokenizer, model = transcriber.processor.tokenizer, transcriber.model
    with_space = tokenizer(f" {TEXTS[0]}", add_special_tokens=False).input_ids[0]
    bias = torch.zeros(model.config.vocab_size)
    bias[with_space] = 1_000.0
    projected = type(model.proj_out).forward
    monkeypatch.setattr(model.proj_out, "forward", lambda hidden: projected(model.proj_out, hidden) + bias)
    scores = score_labels(transcriber, clips[:1], TEXTS[:1], LANGUAGES[:1])
    expected = [by_hand(transcriber, clips[0], spelled, "en")[0] for spelled in (f" {TEXTS[0]}", TEXTS[0])]
    assert scores[0].avg_logprob == pytest.approx(expected[0], rel=1e-4)
    assert expected[0] != pytest.approx(expected[1], rel=1e-2)


def test_merged_padding_is_scored_and_forgotten(transcriber, clips) -> None:
    merging = SilenceMerging(window_positions=100, position_s=0.02, margin_s=0.1, end_s=0.1)
    scores = score_labels(replace(transcriber, merging=merging), clips, TEXTS, LANGUAGES)
    assert scores != score_labels(transcriber, clips, TEXTS, LANGUAGES)
    assert KeyBias.of_model(transcriber.model).of_batch is None
