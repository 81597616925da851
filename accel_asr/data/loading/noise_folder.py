"""A folder of recordings of noise, from which random excerpts are taken."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from xxhash import xxh3_64

from accel_asr.audio.decoding import AudioError, decode, probe
from accel_asr.audio.sound_effects import require_pitch
from accel_asr.config.augmentation_settings import AugmentConfig
from accel_asr.data.reading.text_files import list_files
from accel_asr.errors import UserError
from accel_asr.files.content_hash import hash_of_file

END_S = 0.1  # excerpts end so long before a recording does: headers may promise a little too much


@dataclass(frozen=True)
class NoiseFolder:
    """Recordings of noise. Cheap to send to a process.

    Args:
        setting: What named the folder, for messages.
        names: Paths of the recordings relative to the folder, in order.
        fingerprint: Of their names and contents.
        unreadable: What can't be read, with the reason.
    """

    folder: Path
    setting: str
    names: tuple[str, ...]
    durations_s: np.ndarray = field(repr=False)
    fingerprint: str
    unreadable: tuple[str, ...] = ()

    @classmethod
    def open(cls, folder: Path, *, setting: str) -> "NoiseFolder":
        """List the recordings and their lengths; links to folders are not followed.

        Raises:
            UserError: it is no folder, or no recording in it can be read.
        """
        if not folder.is_dir():
            remedy = "give a folder of recordings of noise"
            raise UserError("is not a folder", setting=setting, value=str(folder), remedy=remedy)
        names, durations_s, unreadable, digest = [], [], [], xxh3_64()
        for name in list_files(folder)[0]:
            try:
                durations_s.append(probe(folder / name).duration_s)
                digest.update(f"{name}\n{hash_of_file(folder / name)}\n".encode(errors="surrogateescape"))
                names.append(name)
            except (AudioError, OSError) as error:
                unreadable.append(f"{name} ({error})")
        if not names:
            first = f": {unreadable[0]}" if unreadable else ""
            problem = f"holds no recording that can be read{first}"
            remedy = "give a folder of audio files; folders in it are searched too"
            raise UserError(problem, setting=setting, value=str(folder), remedy=remedy)
        lengths = np.array(durations_s)
        return cls(folder, setting, tuple(names), lengths, digest.hexdigest(), tuple(unreadable))

    def notice(self) -> str:
        """What it holds, for the user."""
        minutes = self.durations_s.sum() / 60
        left_out = f"; {len(self.unreadable):,} can't be read: {self.unreadable[0]}" if self.unreadable else ""
        recordings = f"{len(self.names):,} recording{'s' if len(self.names) > 1 else ''}"
        return f"{self.setting.removeprefix('--')}: {recordings}, {minutes:.1f} minutes{left_out}"

    def __call__(self, samples: int, rate_hz: int, draws: np.random.Generator) -> tuple[np.ndarray, str]:
        """A random excerpt of a random recording; a shorter recording is repeated, from a random place in it on.

        Returns:
            float32, shape (samples,), and the recording's name.

        Raises:
            UserError: the recording can no longer be read.
        """
        number, place = int(draws.integers(len(self.names))), float(draws.random())
        name, duration_s = self.names[number], float(self.durations_s[number])
        needed_s = samples / rate_hz
        spare_s = duration_s - needed_s - 2 * END_S
        span_s = (place * spare_s, place * spare_s + needed_s + END_S) if spare_s > 0 else (None, None)
        try:
            noise = decode(self.folder / name, sampling_rate_hz=rate_hz, start_s=span_s[0], end_s=span_s[1])
        except AudioError as error:
            remedy = "keep the folder as it is while a run uses it"
            raise UserError(f"{name!r} can't be read: {error}", setting=self.setting, remedy=remedy) from error
        if spare_s <= 0:
            noise = np.roll(noise, -int(place * len(noise)))
        return np.tile(noise, math.ceil(samples / len(noise)))[:samples], name


def open_noise(augment: AugmentConfig) -> NoiseFolder | None:
    """The noise that the effects need; None if they need none.

    Raises:
        UserError: the folder has no recording that can be read; or a library for another effect is not installed.
    """
    if augment.pitch_prob:
        require_pitch()
    if not augment.noise_prob:
        return None
    return NoiseFolder.open(Path(str(augment.noise_dir)), setting="--augment.noise_dir")
