"""Log-mel features of the device are those of the CPU."""

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from accel_asr.audio.batch_log_mel import BatchLogMel, makes_features
from accel_asr.audio.log_mel import log_mel

RATE_HZ = 16_000
BOUND = 1e-3  # 5e-5 seen on CPUs


@pytest.mark.parametrize("mel_bins", [80, 128])
def test_features_of_a_batch(device: torch.device, mel_bins: int) -> None:
    extractor = WhisperFeatureExtractor(feature_size=mel_bins, chunk_length=4)
    generator = np.random.default_rng(0)
    clips = [generator.normal(scale=scale, size=2 * RATE_HZ).astype(np.int16) for scale in (3_000, 20, 0)]
    samples = torch.from_numpy(np.stack(clips)).to(device)
    on_device = BatchLogMel.of_extractor(extractor)(samples)
    assert on_device.device.type == device.type
    for row, clip in zip(on_device.cpu().numpy(), clips, strict=True):
        assert np.abs(row - log_mel(clip, extractor)).max() < BOUND


def test_only_a_gpu_is_trusted_with_them_unasked(device: torch.device) -> None:
    extractor = WhisperFeatureExtractor(chunk_length=2)
    assert makes_features(device, wanted=None, extractor=extractor) == (device.type == "cuda")
