"""Log-mel features of a whole batch on the training device: its samples are a third of the size of its features."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from transformers import WhisperFeatureExtractor

from accel_asr.audio import INT16_SCALE
from accel_asr.audio.log_mel import DYNAMIC_RANGE, SILENT_LOG_POWER, log_mel
from accel_asr.console.printing import say

MOST_FRAMES = 24_000  # computed at a time, of eight clips of 30 s: about 100 MB of intermediate values
LARGEST_DIFFERENCE = 1e-3  # from the CPU's features; CPU implementations differ by 5e-5


@dataclass(frozen=True)
class BatchLogMel:
    """Computes features of samples; small, since it travels with each batch. The fields are the extractor's.

    Args:
        frames: How many of each clip to return: those of the window, or fewer.
    """

    feature_size: int
    sampling_rate: int
    hop_length: int
    chunk_length: int
    n_fft: int
    frames: int

    @classmethod
    def of_extractor(cls, extractor: WhisperFeatureExtractor) -> "BatchLogMel":
        """As a model's own feature extractor computes them."""
        return cls(
            extractor.feature_size,
            extractor.sampling_rate,
            extractor.hop_length,
            extractor.chunk_length,
            extractor.n_fft,
            extractor.nb_max_frames,
        )

    def __call__(self, samples: torch.Tensor) -> torch.Tensor:
        """Whisper's log-mel spectrogram of each clip, followed by silence up to `frames`; on the samples' device.

        As `log_mel.log_mel`, up to float32 rounding: less than 1e-4, and 5e-5 for real speech
        (`tests/unit/audio/test_batch_log_mel.py`). In fp32, whatever autocast says.

        Args:
            samples: int16, shape (batch, samples of the longest clip), zeros after the shorter ones.

        Returns:
            float32, shape (batch, mel bins, frames).
        """
        features = torch.empty(len(samples), self.feature_size, self.frames, device=samples.device)
        with torch.autocast(samples.device.type, enabled=False):
            framed = self._frames_with_sound(samples)
            rows = max(1, MOST_FRAMES // framed.shape[1])
            for first in range(0, len(samples), rows):
                self._fill(features[first : first + rows], framed[first : first + rows])
        return features

    def _fill(self, features: torch.Tensor, framed: torch.Tensor) -> None:
        """Write the features of frames, (clips, frames, samples of a frame), into `features`."""
        window, filters = _constants(self.feature_size, self.sampling_rate, self.n_fft, features.device)
        power = torch.view_as_real(torch.fft.rfft(framed * window)).square().sum(-1)  # (clips, frames, frequencies)
        mels = (filters @ power.transpose(1, 2)).log10_()
        quietest = (mels.amax(dim=(1, 2), keepdim=True) - DYNAMIC_RANGE).clamp_(min=SILENT_LOG_POWER)
        with_sound = min(mels.shape[2], self.frames)
        features[:, :, :with_sound] = torch.maximum(mels, quietest)[:, :, :with_sound]
        features[:, :, with_sound:] = quietest
        features.add_(4).div_(4)

    def _frames_with_sound(self, samples: torch.Tensor) -> torch.Tensor:
        """The frames with sound in any clip, as in `log_mel`, as float32 of int16's range: a view of one tensor, shape
        (batch, frames, n_fft)."""
        size, hop = self.n_fft, self.hop_length
        window_samples = self.chunk_length * self.sampling_rate
        half = size // 2
        longest = samples.shape[1]
        frames = min(-(-(longest + half) // hop), window_samples // hop)
        needed = (frames - 1) * hop + size
        signal = torch.zeros(len(samples), needed, device=samples.device)
        signal[:, half : half + longest] = samples
        signal[:, :half] = signal[:, half + 1 : size + 1].flip(1)
        beyond = needed - half - window_samples
        if beyond > 0:
            signal[:, -beyond:] = signal[:, -2 * beyond - 1 : -beyond - 1].flip(1)
        return signal.unfold(1, size, hop)


def makes_features(device: torch.device, *, wanted: bool | None, extractor: WhisperFeatureExtractor) -> bool:
    """Whether `device` computes the features: as `wanted` says, or if that is None, on any GPU that does it right.

    If a GPU's features differ from the CPU's, the CPU computes them, and a note says so.
    """
    if wanted is not None or device.type != "cuda":
        return bool(wanted)
    noise = np.random.default_rng(0).normal(scale=3_000, size=extractor.sampling_rate).astype(np.int16)
    computed = BatchLogMel.of_extractor(extractor)(torch.from_numpy(noise)[None].to(device))[0].cpu().numpy()
    difference = float(np.abs(computed - log_mel(noise, extractor)).max())
    if difference < LARGEST_DIFFERENCE:
        return True
    say(
        f"note: data.features_on_device: log-mel features of {device} differ by {difference:.2g} from the CPU's, so "
        "the CPU computes them; is matrix multiplication allowed to round, as with TF32?",
        to_stderr=True,
    )
    return False


@lru_cache(maxsize=8)
def _constants(
    feature_size: int, sampling_rate: int, n_fft: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Window, (samples of a frame,), which also scales int16 to [-1, 1); mel filters, (mel bins, frequencies)."""
    extractor = WhisperFeatureExtractor(feature_size=feature_size, sampling_rate=sampling_rate, n_fft=n_fft)
    window = torch.from_numpy(np.hanning(n_fft + 1)[:-1]) / INT16_SCALE
    return window.float().to(device), torch.from_numpy(extractor.mel_filters.T).float().to(device)
