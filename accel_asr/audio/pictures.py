"""What a recording looks like, drawn by librosa.display: its waveform, and the log-mel features that a model gets."""

import numpy as np
from librosa.display import specshow, waveshow
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from transformers import WhisperFeatureExtractor

from accel_asr.audio.decoding import to_float32
from accel_asr.audio.log_mel import log_mel

SIZE_INCHES = (4.2, 1.9)  # so that the letters can be read on a phone, too
DOTS_PER_INCH = 220


def waveform_picture(samples: np.ndarray, *, sampling_rate_hz: int) -> np.ndarray:
    """The waveform over seconds.

    Args:
        samples: int16, mono, shape (samples,).

    Returns:
        RGB, uint8, shape (height, width, 3).
    """
    axes = _axes(*SIZE_INCHES)
    waveshow(to_float32(samples), sr=sampling_rate_hz, ax=axes, axis="s")
    axes.set(title="waveform", ylabel="amplitude", xlim=(0, len(samples) / sampling_rate_hz))
    return _pixels(axes)


def log_mel_picture(samples: np.ndarray, *, feature_extractor: WhisperFeatureExtractor) -> np.ndarray:
    """The log-mel features of a clip, over seconds and Hz, without the padding.

    Args:
        samples: int16, mono, at the extractor's rate, no longer than its window, shape (samples,).

    Returns:
        RGB, uint8, shape (height, width, 3).
    """
    rate_hz, hop = feature_extractor.sampling_rate, feature_extractor.hop_length
    axes = _axes(*SIZE_INCHES)
    features = _features(samples, feature_extractor)
    specshow(features, sr=rate_hz, hop_length=hop, x_axis="s", y_axis="mel", fmax=rate_hz / 2, cmap="magma", ax=axes)
    axes.set(title="log-mel, as the model gets it")
    return _pixels(axes)


def log_mel_strip(
    samples: np.ndarray, *, feature_extractor: WhisperFeatureExtractor, width: int, height: int
) -> np.ndarray:
    """The same as a strip without axes, of `width` by `height` pixels, a row of them for each mel bin."""
    axes = _axes(width / DOTS_PER_INCH, height / DOTS_PER_INCH)
    axes.set_position((0, 0, 1, 1))  # which takes it out of the layout
    axes.set_axis_off()
    features = _features(samples, feature_extractor)
    specshow(features[:, :: -(-features.shape[1] // width)], cmap="magma", ax=axes)  # a column a pixel: drawing is slow
    return _pixels(axes)


def _features(samples: np.ndarray, extractor: WhisperFeatureExtractor) -> np.ndarray:
    """Without the padding, but of two frames at least: specshow needs more than one."""
    return log_mel(samples, extractor)[:, : max(2, -(-len(samples) // extractor.hop_length))]


def _axes(width_inches: float, height_inches: float) -> Axes:
    # not pyplot: it keeps every figure, and threads must not share it
    figure = Figure(figsize=(width_inches, height_inches), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def _pixels(axes: Axes) -> np.ndarray:
    canvas = axes.figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
