"""One recording as an index names it, decoded when it is needed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from accel_asr.data.decoding.audio import AudioError, decode, to_int16
from accel_asr.data.reading.byte_ranges import DatasetCell
from accel_asr.data.reading.rows import Audio
from accel_asr.data.reading.saved_datasets import DatasetAudio


@dataclass(frozen=True, slots=True)
class KeptSamples:
    """`count` samples from the `first` one on of a file of int16: a recording that was decoded when it was indexed."""

    path: Path
    first: int
    count: int

    def read(self) -> np.ndarray | None:
        """int16, shape (samples,); None where the file is gone or cut."""
        try:
            samples = np.fromfile(self.path, dtype=np.int16, count=self.count, offset=2 * self.first)
        except OSError:
            return None
        return samples if len(samples) == self.count else None


@dataclass(frozen=True, slots=True)
class Recording:
    """An encoded recording, or the segment of it from `start_s` to `end_s`, and how to decode it.

    `source` is the encoded file's bytes, its path, where it lies in a larger file or in `dataset_audio`, or None where
    there is none. `size` is that of a file of its own, in bytes, as the index saw it; None where it can't have changed.
    `kept` are its samples at `sampling_rate_hz`, where they are.
    """

    source: Audio | None
    sampling_rate_hz: int
    start_s: float | None = None
    end_s: float | None = None
    channel: int | None = None
    size: int | None = None
    dataset_audio: DatasetAudio | None = None
    kept: KeptSamples | None = None

    def samples(self) -> np.ndarray:
        """int16, mono, at `sampling_rate_hz`, shape (samples,).

        Raises:
            AudioError: it can't be decoded, or is not the file that was indexed.
        """
        kept = self.kept.read() if self.kept is not None else None
        if kept is not None:
            return kept
        source = self.source
        if isinstance(source, DatasetCell):
            assert self.dataset_audio is not None
            source = self.dataset_audio.get(source.row)
        if source is None:
            raise AudioError("the row holds no audio")
        if isinstance(source, Path) and self.size is not None:
            try:
                size = source.stat().st_size
            except OSError as error:
                raise AudioError(f"the file can't be reached ({error.strerror})") from error
            if size != self.size:
                raise AudioError(f"the file has changed since it was indexed (from {self.size:,} to {size:,} bytes)")
        return to_int16(
            decode(
                source,
                sampling_rate_hz=self.sampling_rate_hz,
                channel=self.channel,
                start_s=self.start_s,
                end_s=self.end_s,
            )
        )
