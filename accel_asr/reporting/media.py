"""An utterance as a page plays and shows it, small enough to be inside: an MP3 and a log-mel picture."""

import base64
import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import soundfile

from accel_asr.audio.decoding import AudioError

SamplesOf = Callable[[str], np.ndarray]  # utterance id -> int16, shape (samples,); raises AudioError, KeyError

SAMPLING_RATE_HZ = 16_000
MAX_PLAYED_S = 30.0  # Whisper's window
MAX_MEDIA_BYTES = 6_000_000  # of all utterances together; the page stays below 10 MB
PICTURE_WIDTH, PICTURE_HEIGHT = 480, 80


@dataclass(frozen=True)
class Clip:
    """`data:` addresses, and how much of the recording they hold."""

    audio_url: str
    picture_url: str
    played_s: float
    duration_s: float

    @property
    def is_cut(self) -> bool:
        """Whether the recording is longer than what is played."""
        return self.played_s < self.duration_s - 0.01


class Clips:
    """Makes clips until they take `max_bytes`. `left_out` counts those without room, `failed` names the unreadable.

    If `samples_of` is None there are no clips, and `reason` says why.
    """

    def __init__(
        self,
        samples_of: SamplesOf | None,
        *,
        reason: str = "",
        max_bytes: int = MAX_MEDIA_BYTES,
        max_played_s: float = MAX_PLAYED_S,
        is_small: bool = False,
    ) -> None:
        self.samples_of = samples_of
        self.reason = reason
        self.max_played_s, self.is_small = max_played_s, is_small
        self.bytes_left = max_bytes
        self.left_out = 0
        self.failed: list[str] = []

    def clip(self, utterance_id: str) -> Clip | None:
        """Decode one utterance; None if there is no audio, or no room for it."""
        if self.samples_of is None:
            return None
        if self.bytes_left <= 0:
            self.left_out += 1
            return None
        try:
            samples = self.samples_of(utterance_id)
        except (KeyError, AudioError) as error:
            reason = "no longer in the data" if isinstance(error, KeyError) else str(error)
            self.failed.append(f"{utterance_id} ({reason})")
            return None
        clip = make_clip(samples, max_played_s=self.max_played_s, is_small=self.is_small)
        size = len(clip.audio_url) + len(clip.picture_url)
        if size > self.bytes_left:
            self.left_out += 1
            return None
        self.bytes_left -= size
        return clip


def make_clip(samples: np.ndarray, *, max_played_s: float = MAX_PLAYED_S, is_small: bool = False) -> Clip:
    """The clip of int16 samples at 16 kHz; it ends at `max_played_s`."""
    played = samples[: int(max_played_s * SAMPLING_RATE_HZ)]
    audio, media_type = encode_audio(played, is_small=is_small)
    return Clip(
        audio_url=_data_url(audio, media_type),
        picture_url=_data_url(log_mel_webp(played), "image/webp"),
        played_s=len(played) / SAMPLING_RATE_HZ,
        duration_s=len(samples) / SAMPLING_RATE_HZ,
    )


def encode_audio(samples: np.ndarray, *, is_small: bool = False) -> tuple[bytes, str]:
    """(file, media type): MP3, which every browser plays (Apple's got Ogg late), or WAV where libsndfile has no MP3.

    Args:
        is_small: About 24 kbit a second, half of the usual, and as long to the sample: a constant rate would add 0.1 s.
    """
    buffer = io.BytesIO()
    if "MP3" in soundfile.available_formats():
        small = {"bitrate_mode": "VARIABLE", "compression_level": 0.99} if is_small else {}
        soundfile.write(buffer, samples, SAMPLING_RATE_HZ, format="MP3", subtype="MPEG_LAYER_III", **small)
        return buffer.getvalue(), "audio/mpeg"
    soundfile.write(buffer, samples, SAMPLING_RATE_HZ, format="WAV", subtype="PCM_16")
    return buffer.getvalue(), "audio/wav"


def log_mel_webp(samples: np.ndarray) -> bytes:
    """A picture of the log-mel spectrogram without axes: time from left to right, low sounds below."""
    from PIL import Image
    from transformers import WhisperFeatureExtractor

    from accel_asr.audio.pictures import log_mel_strip  # brings in torch: a page without audio needs none

    extractor = WhisperFeatureExtractor(chunk_length=math.ceil(max(MAX_PLAYED_S, len(samples) / SAMPLING_RATE_HZ)))
    pixels = log_mel_strip(samples, feature_extractor=extractor, width=PICTURE_WIDTH, height=PICTURE_HEIGHT)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=60)
    return buffer.getvalue()


def _data_url(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
