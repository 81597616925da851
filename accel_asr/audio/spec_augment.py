"""SpecAugment: masks on the log-mel features of one clip (Park et al. 2019, https://arxiv.org/abs/1904.08779).

transformers masks the whole window of a Whisper, which is mostly padding for short clips, and draws from a global
random state. Here masks lie on frames with audio, and are a pure function of a clip's seed and its length.
"""

from dataclasses import dataclass

import numpy as np
import torch

LARGEST_TIME_SHARE = 0.2  # of a clip in one mask over time: the paper's p
MOST_TIME_SHARE = 0.5  # of a clip in all of them together
_DRAWS = 4  # apart from other draws of the same clip's seed


@dataclass(frozen=True)
class ClipMasks:
    """The masks of one clip in a batch of features.

    Args:
        row: Of the batch.
        first_frame, stop_frame: The clip's own in that row.
        masks: int16, (masks, 4): first and stop frame, first and stop bin. Within the clip's frames.
    """

    row: int
    first_frame: int
    stop_frame: int
    masks: np.ndarray


@dataclass(frozen=True)
class SpecAugment:
    """Draws masks. As in transformers, a length L gets probability x L / mask length masks, rounded up or down at
    random; as in the paper, the width of each is uniform from 0 to the mask length. A mask over time is no longer than
    a fifth of the clip, and half of the clip stays unmasked.
    """

    mask_time_prob: float
    mask_time_length: int
    mask_feature_prob: float
    mask_feature_length: int

    def draw(self, seed: int, *, row: int, first_frame: int, stop_frame: int, bins: int) -> ClipMasks:
        """The masks of a clip, from `seed` and its number of frames alone.

        Args:
            seed: Of the clip in this epoch.
        """
        draws = np.random.default_rng((seed, _DRAWS))
        frames = stop_frame - first_frame
        masks = []
        left = int(frames * MOST_TIME_SHARE)
        longest = min(self.mask_time_length, int(frames * LARGEST_TIME_SHARE))
        for _ in range(_count(draws, self.mask_time_prob * frames / self.mask_time_length)):
            width = min(int(draws.integers(longest + 1)), left)
            begin = first_frame + int(draws.integers(frames - width + 1))
            left -= width
            masks.append((begin, begin + width, 0, bins))
        for _ in range(_count(draws, self.mask_feature_prob * bins / self.mask_feature_length)):
            width = int(draws.integers(min(self.mask_feature_length, bins) + 1))
            begin = int(draws.integers(bins - width + 1))
            masks.append((first_frame, stop_frame, begin, begin + width))
        kept = [mask for mask in masks if mask[0] < mask[1] and mask[2] < mask[3]]
        return ClipMasks(row, first_frame, stop_frame, np.array(kept, dtype=np.int16).reshape(-1, 4))


def mask_features(features: torch.Tensor, clips: tuple[ClipMasks, ...]) -> None:
    """Fill masks with the mean of their clip, in place: call it on features that nothing else holds.

    The mean, as in the paper. Not 0, which is transformers' value: Whisper's features do not have the mean 0. And not
    the value of silence: a model that must write words for what looks like silence learns to write them for silence.

    Args:
        features: Log-mel, (batch, mel bins, frames).
    """
    for clip in clips:
        row = features[clip.row]
        heard = row[:, clip.first_frame : clip.stop_frame]
        if heard.device.type == "cpu":  # NumPy's sum is the same for any number of threads, torch's is not
            mean: torch.Tensor | float = float(heard.numpy().mean(dtype=np.float64))
        else:
            mean = heard.mean()
        for first_frame, stop_frame, first_bin, stop_bin in clip.masks.tolist():
            row[first_bin:stop_bin, first_frame:stop_frame] = mean


def _count(draws: np.random.Generator, expected: float) -> int:
    """`expected` rounded up with the probability of its fraction, else down."""
    return int(expected + draws.random())
