"""What a model writes for clips without speech."""

import numpy as np
import pytest
import torch

from accel_asr.audio.decoding import to_int16
from accel_asr.audio.log_mel import is_silent, log_mel
from accel_asr.evaluation import silence_probe
from accel_asr.evaluation.silence_probe import probe_silence


def test_what_is_written_is_what_the_model_generates_for_such_a_clip(model_and_processor, encoder) -> None:
    model, processor = model_and_processor
    heard = probe_silence(model, processor, encoder)
    assert [(one.clip, one.duration_s) for one in heard] == [
        ("digital silence", 1.0),
        ("hiss at -60 dBFS", 1.0),
        ("50 Hz hum at -40 dBFS", 1.0),
    ]  # of longer ones than the tiny model's two seconds there is none
    features = log_mel(np.zeros(16_000, dtype=np.int16), processor.feature_extractor)
    ids = model.generate(torch.from_numpy(features)[None], language="en", task="transcribe")
    assert heard[0].transcript == processor.batch_decode(ids, skip_special_tokens=True)[0].strip()
    assert heard[0].transcript  # an untrained model is never quiet
    assert heard[0].to_json() == {"clip": "digital silence", "duration_s": 1.0, "transcript": heard[0].transcript}


def test_a_model_whose_language_its_rows_say_can_be_probed(model_and_processor, encoder) -> None:
    model, processor = model_and_processor
    expected = [one.transcript for one in probe_silence(model, processor, encoder)]
    model.generation_config.language = None
    assert [one.transcript for one in probe_silence(model, processor, encoder)] == expected


@pytest.mark.parametrize("clip", ["digital silence", "hiss at -60 dBFS"])
def test_the_quiet_clips_are_silent(clip: str, model_and_processor) -> None:
    samples = silence_probe._clips_without_speech(16_000, 16_000)[clip]
    features = torch.from_numpy(log_mel(to_int16(samples), model_and_processor[1].feature_extractor))
    assert is_silent(features[None]).tolist() == [True]
