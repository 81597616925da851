"""Clips without speech as an evaluation hears them: counted by whether words were written."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from accel_asr.audio.log_mel import log_mel
from accel_asr.data.selection.utterances import Utterance
from accel_asr.evaluation.decoding_settings import Decoding
from accel_asr.evaluation.intervals import share_interval
from accel_asr.evaluation.no_speech import NoSpeechResult, _as_counted, no_speech_change, score_no_speech
from accel_asr.evaluation.scoring import Transcript, score_utterance
from tests.unit.evaluation.conftest import decoding_of


def heard(hypothesis: str) -> NoSpeechResult:
    transcript = Transcript("hum", 1.0, "", hypothesis, cut_off=False)
    return NoSpeechResult([_as_counted(score_utterance(transcript, str.strip))], ["hum"])


@pytest.mark.parametrize(
    ("hypothesis", "count"), [("you", 1), ("7", 1), ("", 0), (" ...!", 0), ("\u2669", 0), ("好", 1)]
)
def test_punctuation_is_no_word(hypothesis: str, count: int) -> None:
    record = heard(hypothesis).record()
    assert (record["clips"], record["with_words"], record["share"]) == (1, count, count)
    assert record["by_kind"] == {"hum": {"clips": 1, "with_words": count}}
    assert record["written"] == ({"hum": hypothesis} if count else {})


@pytest.mark.parametrize(
    ("count", "total", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0)]
)
def test_wilsons_interval(count: int, total: int, low: float, high: float) -> None:
    assert share_interval(count, total) == pytest.approx((low, high), abs=1e-4)  # as in tables of it


def test_every_clip_is_transcribed_by_the_model(model_and_processor, encoder, collator, accelerator) -> None:
    model, processor = model_and_processor
    decoding = decoding_of(model, batch_size=16)
    parts = {"accelerator": accelerator, "collator": collator}
    result = score_no_speech(model, processor, encoder, decoding, **parts)
    assert {clip.words.reference_length for clip in result.scored if clip.words} == {1}
    assert set(result.record()["by_kind"]) == {"digital silence", "hiss", "hum", "music", "babble"}
    features = log_mel(np.zeros(16_000, dtype=np.int16), processor.feature_extractor)
    ids = model.generate(torch.from_numpy(features)[None], language="en", task="transcribe")
    assert result.scored[0].transcript.hypothesis == processor.batch_decode(ids, skip_special_tokens=True)[0].strip()


def test_a_model_whose_language_its_rows_say_hears_them(model_and_processor, encoder, collator, accelerator) -> None:
    model, processor = model_and_processor

    def written(decoding: Decoding, language: str | None) -> list[str]:
        rows = [Utterance("spoken", "", 1.0, None, language=language)]  # type: ignore[arg-type]
        parts = {"accelerator": accelerator, "collator": collator, "rows": rows}
        result = score_no_speech(model, processor, encoder, decoding, **parts)
        return [clip.transcript.hypothesis for clip in result.scored]

    decoding = decoding_of(model, batch_size=16)
    assert written(replace(decoding, language=None), "en") == written(decoding, None)


@pytest.mark.parametrize(
    ("before", "after", "p_value", "verdict"),
    [
        ("abc", "abc", 1.0, "no difference"),
        ("abcd", "d", 0.25, "could be chance"),  # three of three: 2 / 2**3
        ("abcdef", "", 2 / 2**6, "better"),
        ("", "abcdef", 2 / 2**6, "worse"),
        ("abcdefgh", "hi", 2 * (1 + 8) / 2**8, "could be chance"),  # seven against one
    ],
)
def test_the_change_is_paired_by_clip(before: str, after: str, p_value: float, verdict: str) -> None:
    change = no_speech_change({"written": dict.fromkeys(before)}, {"written": dict.fromkeys(after)})
    assert change.p_value == pytest.approx(p_value)
    assert change.verdict == verdict
