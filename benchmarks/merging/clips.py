"""Sets of real clips to listen to: as they are, in noise, by telephone rate, cut or joined to a length."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from accel_asr.audio.decoding import decode, resampled
from accel_asr.audio.sound_effects import with_noise

RATE_HZ = 16_000
TELEPHONE_HZ = 8_000
ROOM_S = 3.0  # of the room after the clip, in `room-...dB`
SETS = "clean, white-10dB, pink-5dB, room-10dB (pink, and 3 s of it after the clip), 8kHz, 3s"
_NOISE = re.compile(r"(white|pink|room)-(\d+)dB")
_LENGTH = re.compile(r"(\d+)s")


@dataclass(frozen=True)
class Clip:
    """samples: float32, 16 kHz, (samples,); text: what is said, None where that is not known."""

    clip_id: str
    samples: np.ndarray
    text: str | None
    language: str

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE_HZ


@dataclass(frozen=True)
class Recording:
    """A line of a manifest."""

    path: Path
    text: str | None
    language: str
    speaker: str

    def clip(self) -> Clip:
        samples = decode(self.path, sampling_rate_hz=RATE_HZ)
        return Clip(f"{self.path.parent.name}/{self.path.name}", samples, self.text, self.language)


def read_recordings(folders: Sequence[Path]) -> list[Recording]:
    """All that the folders' manifests list, shuffled, always alike: the first of them are as mixed as all."""
    recordings = []
    for folder in folders:
        for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            language, speaker = row.get("language") or "en", row.get("speaker") or row["file"]
            recordings.append(Recording(folder / row["file"], row["text"], language, f"{folder.name}/{speaker}"))
    order = np.random.default_rng(0).permutation(len(recordings))
    return [recordings[index] for index in order]


def clips_of(set_name: str, recordings: Sequence[Recording], count: int) -> list[Clip]:
    """The first `count` clips of a set (see SETS); the same ones whatever the count.

    Raises:
        ValueError: there is no such set.
    """
    if length := _LENGTH.fullmatch(set_name):
        return [clip for clip, _ in zip(_of_length(recordings, float(length[1])), range(count), strict=False)]
    clips = [recording.clip() for recording in recordings[:count]]
    if set_name == "clean":
        return clips
    if set_name == "8kHz":
        return [replace(clip, samples=_narrow(clip.samples)) for clip in clips]
    if noise := _NOISE.fullmatch(set_name):
        return [_noisy(clip, noise[1], float(noise[2]), seed) for seed, clip in enumerate(clips)]
    raise ValueError(f"no set {set_name!r}; there are such as {SETS}")


def noise_like(kind: str, samples: int, seed: int) -> np.ndarray:
    """White, or pink: its power falls as the frequency rises. float32, (samples,)."""
    white = np.random.default_rng(seed).normal(size=samples)
    if kind == "white":
        return white.astype(np.float32)
    spectrum = np.fft.rfft(white)
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), n=samples).astype(np.float32)


def _noisy(clip: Clip, kind: str, snr_db: float, seed: int) -> Clip:
    """Noise in the recording alone, as life has it: Whisper's padding after it stays silent."""
    samples = clip.samples
    if kind == "room":
        samples = np.pad(samples, (0, round(ROOM_S * RATE_HZ)))
    noise = noise_like(kind, len(samples), seed)
    noisy = with_noise(samples, noise, snr_db=snr_db, rate_hz=RATE_HZ)
    return replace(clip, samples=noisy.astype(np.float32))


def _narrow(samples: np.ndarray) -> np.ndarray:
    return resampled(resampled(samples, RATE_HZ, TELEPHONE_HZ), TELEPHONE_HZ, RATE_HZ)


def _of_length(recordings: Sequence[Recording], length_s: float) -> Iterator[Clip]:
    """A clip of each speaker in turn: as many whole recordings as fit; if none does, one that is cut, without text."""
    by_speaker: dict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        by_speaker[recording.speaker].append(recording)
    while by_speaker:
        for speaker, rest in list(by_speaker.items()):
            taken: list[Clip] = []
            while rest and sum(clip.seconds for clip in taken) < length_s:
                taken.append(rest.pop(0).clip())
            if not rest:
                del by_speaker[speaker]
            if sum(clip.seconds for clip in taken) < length_s:
                continue  # too little of this speaker is left
            whole = taken[:-1]
            if whole:
                joined, text = np.concatenate([clip.samples for clip in whole]), " ".join(c.text or "" for c in whole)
                yield Clip("+".join(clip.clip_id for clip in whole), joined, text, whole[0].language)
            else:
                cut = taken[0].samples[: round(length_s * RATE_HZ)]
                yield Clip(f"{taken[0].clip_id} cut", cut, None, taken[0].language)
