"""How many utterances are transcribed together."""

import pytest
import torch
from transformers import WhisperConfig

from accel_asr.evaluation.decoding_settings import evaluation_batch_size

CPU, GPU = torch.device("cpu"), torch.device("cuda", 1)
TINY = WhisperConfig(d_model=384, decoder_layers=4)
TURBO = WhisperConfig(d_model=1280, decoder_layers=4)
LARGE = WhisperConfig(d_model=1280, decoder_layers=32)


@pytest.mark.parametrize(
    ("config", "device", "num_beams", "rows"),
    [
        (TINY, CPU, 1, 32),
        (TINY, GPU, 1, 128),
        (TINY, GPU, 5, 46),  # 92 MB each
        (TURBO, GPU, 1, 69),  # 61 MB each
        (LARGE, GPU, 1, 32),
    ],
)
def test_unset_a_gpu_takes_what_fits_into_4_gb_but_no_fewer_than_a_cpu(
    config: WhisperConfig, device: torch.device, num_beams: int, rows: int
) -> None:
    assert evaluation_batch_size(config, device, num_beams=num_beams) == rows
    assert evaluation_batch_size(config, device, wanted=7, num_beams=num_beams) == 7
