"""What a recording looks like: its waveform, and the log-mel spectrogram that the model is given."""

import numpy as np
from librosa.display import specshow, waveshow
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from transformers import WhisperFeatureExtractor

SIZE_INCHES = (9.0, 2.4)
DOTS_PER_INCH = 100


def waveform_picture(samples: np.ndarray, *, sampling_rate_hz: int) -> np.ndarray:
    """The waveform, against seconds.

    Args:
        samples: float32, mono, shape (samples,).

    Returns:
        RGB, uint8, shape (height, width, 3).
    """
    canvas, axes = _canvas()
    waveshow(samples, sr=sampling_rate_hz, ax=axes, axis="s")
    axes.set(title="waveform", ylabel="amplitude", xlim=(0, len(samples) / sampling_rate_hz))
    return _pixels(canvas)


def log_mel_picture(samples: np.ndarray, *, feature_extractor: WhisperFeatureExtractor) -> np.ndarray:
    """The log-mel features of a clip no longer than the model's window, without the silence that it is padded with.

    Args:
        samples: float32, mono, at the extractor's rate, shape (samples,).

    Returns:
        RGB, uint8, shape (height, width, 3).
    """
    rate_hz, hop = feature_extractor.sampling_rate, feature_extractor.hop_length
    features = feature_extractor(samples, sampling_rate=rate_hz, return_tensors="np").input_features[0]
    frames = max(2, -(-len(samples) // hop))  # a picture wants more than one column
    canvas, axes = _canvas()
    specshow(features[:, :frames], sr=rate_hz, hop_length=hop, x_axis="s", y_axis="mel", fmax=rate_hz / 2, ax=axes)
    axes.set(title="log-mel spectrogram, as the model is given it")
    return _pixels(canvas)


def _canvas() -> tuple[FigureCanvasAgg, Axes]:
    # not pyplot: it keeps every figure, and threads must not share it
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    return canvas, figure.add_subplot()


def _pixels(canvas: FigureCanvasAgg) -> np.ndarray:
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
