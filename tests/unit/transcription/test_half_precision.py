"""Half precision on a GPU, as far as a CPU shows it: which kind, around what, and that no other device knows of it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch

from accel_asr.audio.decoding import to_float32
from accel_asr.config.fallback_settings import Fallback
from accel_asr.transcription import transcriber as transcriber_module
from accel_asr.transcription.half_precision import half_precision
from accel_asr.transcription.transcriber import Transcriber

GREEDY = Fallback((0.0,), None, None, None)
RATE_HZ = 16_000


@pytest.mark.parametrize(
    ("capability", "dtype"), [((9, 0), torch.bfloat16), ((8, 0), torch.bfloat16), ((7, 5), torch.float16)]
)
def test_a_gpu_takes_the_precision_that_it_computes_in(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype
) -> None:
    asked: list[tuple[str, torch.dtype]] = []

    def autocast(device_type: str, *, dtype: torch.dtype) -> AbstractContextManager[None]:
        asked.append((device_type, dtype))
        return nullcontext()

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch, "autocast", autocast)
    half_precision(torch.device("cuda", 1))
    assert asked == [("cuda", dtype)]


@pytest.mark.parametrize("name", ["cpu", "mps"])
def test_other_devices_keep_their_precision(name: str) -> None:
    with half_precision(torch.device(name)):
        assert not torch.is_autocast_enabled("cpu")


@pytest.fixture
def transcribed(
    model_and_processor: Any, utterances: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[[bool], dict[str, Any]]:
    """Transcribe short clips with times and a long recording, in half precision or not; and what was computed how."""
    model, processor = model_and_processor
    transcriber = Transcriber(model, processor, task="transcribe", fallback=GREEDY)
    clips = [to_float32(utterance.samples()) for utterance in utterances[:3]]

    def run(is_half: bool) -> dict[str, Any]:
        half = torch.autocast("cpu", dtype=torch.bfloat16) if is_half else nullcontext()
        monkeypatch.setattr(transcriber_module, "half_precision", lambda device: half)
        kinds, features = set(), []
        hooks = [
            model.model.encoder.conv1.register_forward_hook(lambda module, args, output: kinds.add(output.dtype)),
            model.proj_out.register_forward_hook(lambda module, args, output: kinds.add(output.dtype)),
            model.model.encoder.register_forward_pre_hook(lambda module, args: features.extend(args)),
        ]
        short = transcriber.transcribe_short(clips, timed=True)
        long = transcriber.transcribe_long(np.concatenate(clips))
        for hook in hooks:
            hook.remove()
        return {"kinds": kinds, "features": features, "short": short, "long": long}

    return run


def test_the_model_is_in_half_precision_and_the_features_are_not(transcribed: Callable[[bool], dict[str, Any]]) -> None:
    plain, half = transcribed(False), transcribed(True)
    assert plain["kinds"] == {torch.float32}
    assert half["kinds"] == {torch.bfloat16}
    assert torch.equal(half["features"][0], plain["features"][0])
    assert [text.duration_s for text in half["short"]] == [text.duration_s for text in plain["short"]]
    assert all(text.text for text in [*half["short"], half["long"]])


def test_the_extractor_computes_on_the_device_of_the_model(
    transcribed: Callable[[bool], dict[str, Any]], model_and_processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = type(model_and_processor[1].feature_extractor)
    devices: list[str] = []
    extract = extractor._torch_extract_fbank_features

    def noted(self: Any, waveform: np.ndarray, device: str = "nowhere") -> np.ndarray:
        devices.append(device)
        return extract(self, waveform, "cpu")

    monkeypatch.setattr(extractor, "_torch_extract_fbank_features", noted)
    monkeypatch.setattr(type(model_and_processor[0]), "device", property(lambda self: torch.device("cpu", 0)))
    transcribed(False)
    assert devices == ["cpu:0"] * 4  # three clips and a recording
