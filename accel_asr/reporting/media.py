"""What an utterance sounds and looks like, small enough to stand inside of a page: MP3 and a log-mel picture."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import soundfile

from accel_asr.audio.decoding import AudioError

SamplesOf = Callable[[str], np.ndarray]  # utterance id -> int16, shape (samples,); raises AudioError, KeyError

SAMPLING_RATE_HZ = 16_000
MAX_PLAYED_S = 30.0
MAX_MEDIA_BYTES = 6_000_000  # of all utterances together; the page stays below 10 MB
PICTURE_WIDTH, PICTURE_HEIGHT = 480, 80  # a mel band is a row of pixels
_WINDOW, _HOP, _BANDS, _FLOOR_DB = 400, 160, 80, 80.0  # Whisper's: 25 ms every 10 ms


@dataclass(frozen=True)
class Clip:
    """Addresses of the kind `data:...`, and how much of the recording the player has."""

    audio_url: str
    picture_url: str
    played_s: float
    duration_s: float

    @property
    def is_cut(self) -> bool:
        """Whether the recording goes on after what is played."""
        return self.played_s < self.duration_s - 0.01


class Clips:
    """Makes clips until they take `max_bytes`; counts those that there was no more room for, and those that failed.

    `samples_of` None makes none, `reason` says why then.
    """

    def __init__(self, samples_of: SamplesOf | None, *, reason: str = "", max_bytes: int = MAX_MEDIA_BYTES) -> None:
        self.samples_of = samples_of
        self.reason = reason
        self.bytes_left = max_bytes
        self.left_out = 0
        self.failed: list[str] = []

    def clip(self, utterance_id: str) -> Clip | None:
        """Decode one utterance; None where there is no audio, or no more room for it."""
        if self.samples_of is None:
            return None
        if self.bytes_left <= 0:
            self.left_out += 1
            return None
        try:
            samples = self.samples_of(utterance_id)
        except KeyError:
            self.failed.append(f"{utterance_id} (no longer in the data)")
            return None
        except AudioError as error:
            self.failed.append(f"{utterance_id} ({error})")
            return None
        made = make_clip(samples)
        size = len(made.audio_url) + len(made.picture_url)
        if size > self.bytes_left:
            self.left_out += 1
            return None
        self.bytes_left -= size
        return made


def make_clip(samples: np.ndarray, *, max_played_s: float = MAX_PLAYED_S) -> Clip:
    """A player's and a picture's data of int16 samples at 16 kHz; what is after `max_played_s` is left out of both."""
    played = samples[: int(max_played_s * SAMPLING_RATE_HZ)]
    audio, kind = encode_audio(played)
    picture = log_mel_picture(played)
    return Clip(
        audio_url=_data_url(audio, kind),
        picture_url=_data_url(picture, "image/webp"),
        played_s=len(played) / SAMPLING_RATE_HZ,
        duration_s=len(samples) / SAMPLING_RATE_HZ,
    )


def encode_audio(samples: np.ndarray) -> tuple[bytes, str]:
    """(file, media type). MP3, which every browser plays (Ogg is new to those of Apple); WAV where it can't be made."""
    buffer = io.BytesIO()
    if "MP3" in soundfile.available_formats():
        soundfile.write(buffer, samples, SAMPLING_RATE_HZ, format="MP3", subtype="MPEG_LAYER_III")
        return buffer.getvalue(), "audio/mpeg"
    soundfile.write(buffer, samples, SAMPLING_RATE_HZ, format="WAV", subtype="PCM_16")
    return buffer.getvalue(), "audio/wav"


def log_mel_picture(samples: np.ndarray) -> bytes:
    """A WebP of the log-mel spectrogram: time from left to right, low sounds below, the 80 dB under the loudest."""
    from matplotlib import colormaps
    from PIL import Image

    bands = log_mel_db(samples)
    levels = np.clip((bands - bands.max() + _FLOOR_DB) / _FLOOR_DB, 0, 1)[::-1]
    pixels = colormaps["magma"](levels, bytes=True)[..., :3]
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.resize((PICTURE_WIDTH, PICTURE_HEIGHT), Image.Resampling.BILINEAR).save(buffer, "WEBP", quality=60)
    return buffer.getvalue()


def log_mel_db(samples: np.ndarray) -> np.ndarray:
    """Decibels of 80 mel bands, shape (80, frames), of int16 samples; as Whisper hears them, but for its scaling."""
    from transformers.audio_utils import spectrogram, window_function

    waveform = samples.astype(np.float64) / 32_768
    if len(waveform) <= _WINDOW:  # else there is not one whole window to mirror at the ends
        waveform = np.pad(waveform, (0, _WINDOW + 1 - len(waveform)))
    return np.asarray(
        spectrogram(
            waveform, window_function(_WINDOW, "hann"), _WINDOW, _HOP, power=2.0, mel_filters=_filters(), log_mel="dB"
        )
    )


@cache
def _filters() -> np.ndarray:
    from transformers.audio_utils import mel_filter_bank

    bins = _WINDOW // 2 + 1
    return np.asarray(
        mel_filter_bank(bins, _BANDS, 0.0, SAMPLING_RATE_HZ / 2, SAMPLING_RATE_HZ, norm="slaney", mel_scale="slaney")
    )


def _data_url(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
