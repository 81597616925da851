"""What a model writes for silence: Whisper models often write words there, and fine-tuning may make that worse."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from accel_asr.audio.decoding import to_int16
from accel_asr.audio.log_mel import log_mel
from accel_asr.data.labels import LabelEncoder
from accel_asr.model.folder.generation_settings import is_multilingual

_DURATIONS_S = (1.0, 5.0, 20.0)
_SEED = 0


@dataclass(frozen=True)
class HeardInSilence:
    """The transcript of a clip without speech; the right one is empty."""

    clip: str
    duration_s: float
    transcript: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def probe_silence(
    model: WhisperForConditionalGeneration, processor: WhisperProcessor, encoder: LabelEncoder
) -> list[HeardInSilence]:
    """Transcribe clips without speech as an evaluation transcribes utterances; on this rank alone, in a second or two.

    Digital silence, a quiet room's hiss at -60 dBFS and mains hum at -40 dBFS, in several lengths.
    """
    extractor = processor.feature_extractor
    rate_hz = extractor.sampling_rate
    longest_s = extractor.n_samples / rate_hz
    clips = [
        (name, duration_s, samples)
        for duration_s in _DURATIONS_S
        if duration_s <= longest_s
        for name, samples in _clips_without_speech(int(duration_s * rate_hz), rate_hz).items()
    ]
    features = torch.stack([torch.from_numpy(log_mel(to_int16(samples), extractor)) for _, _, samples in clips])
    prefix = encoder.prefix()
    settings = model.generation_config
    options = {}
    if is_multilingual(settings) and settings.language is None:
        options["language"] = "en"  # any will do: the start tokens are given
    with torch.no_grad():
        generated = model.generate(
            features.to(model.device, model.dtype),
            decoder_input_ids=torch.tensor([prefix] * len(clips), device=model.device),
            max_new_tokens=min(settings.max_new_tokens, model.config.max_target_positions - len(prefix)),
            return_dict_in_generate=True,
            force_unique_generate_call=True,
            **options,
        ).sequences[:, len(prefix) :]
    return [
        HeardInSilence(name, duration_s, encoder.spelling.text(ids))
        for (name, duration_s, _), ids in zip(clips, generated.tolist(), strict=True)
    ]


def _clips_without_speech(samples: int, rate_hz: int) -> dict[str, np.ndarray]:
    """float32 in -1..1 at `rate_hz`, each of shape (samples,), by name."""
    noise = np.random.default_rng(_SEED).standard_normal(samples) * 10 ** (-60 / 20)
    hum = np.sin(2 * np.pi * 50 * np.arange(samples) / rate_hz) * 10 ** (-40 / 20)
    return {
        "digital silence": np.zeros(samples, dtype=np.float32),
        "hiss at -60 dBFS": noise.astype(np.float32),
        "50 Hz hum at -40 dBFS": hum.astype(np.float32),
    }
