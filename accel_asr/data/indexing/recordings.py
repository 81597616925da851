"""One recording as an index names it, decoded when it is needed."""

import os
from dataclasses import dataclass
from math import inf
from pathlib import Path

import numpy as np

from accel_asr.audio.byte_ranges import ByteRange, DatasetCell
from accel_asr.audio.decoding import AudioError, decode, to_int16
from accel_asr.data.reading.rows import Audio
from accel_asr.data.reading.saved_datasets import DatasetAudio
from accel_asr.files.content_hash import hash_of, hash_of_file

FileSignature = tuple[int, int, int]  # size in bytes; times of the last change of its content and of anything, in ns


@dataclass(frozen=True, slots=True)
class KeptSamples:
    """`count` samples from the `first` one on of a file of int16: a recording that was decoded when it was indexed.

    `content` is their `content_hash`.
    """

    path: Path
    first: int
    count: int
    content: int

    def read(self) -> np.ndarray | None:
        """int16, shape (samples,); None where the file is gone, or does not hold what was kept."""
        try:
            samples = np.fromfile(self.path, dtype=np.int16, count=self.count, offset=2 * self.first)
        except OSError:
            return None
        return samples if len(samples) == self.count and hash_of(samples) == self.content else None


@dataclass(frozen=True, slots=True)
class Recording:
    """An encoded recording, or the segment of it from `start_s` to `end_s`, and how to decode it.

    `source` is the encoded file's bytes, its path, where it lies in a larger file or in `dataset_audio`, or None where
    there is none. `signature` is that of a file of its own as the index saw it, and `content` the `content_hash` of the
    encoded recording; None where there is no index. `kept` are its samples at `sampling_rate_hz`, where they are.
    """

    source: Audio | None
    sampling_rate_hz: int
    start_s: float | None = None
    end_s: float | None = None
    channel: int | None = None
    signature: FileSignature | None = None
    content: int | None = None
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
        return to_int16(
            decode(
                self._unchanged(source),
                sampling_rate_hz=self.sampling_rate_hz,
                channel=self.channel,
                start_s=self.start_s,
                end_s=self.end_s,
            )
        )

    def require_not_replaced(self) -> None:
        """For who has something that was made of it, and does not decode it. A file that is gone was not replaced.

        Raises:
            AudioError: another file is in its place.
        """
        if self.kept is None and self.signature is not None and isinstance(self.source, Path) and self.source.exists():
            self._require_unchanged_file(self.source, self.signature)

    def _unchanged(self, source: bytes | Path | ByteRange) -> bytes | Path | ByteRange:
        """The same, and read where it lies in something larger, if it is what was indexed.

        A file of its own is looked at closely only where its size or times are other ones.

        Raises:
            AudioError: it is not.
        """
        if isinstance(source, Path):
            if self.signature is not None:
                self._require_unchanged_file(source, self.signature)
            return source
        if isinstance(source, ByteRange):
            try:
                content = source.read()
            except OSError:
                return source  # what is wrong with it is said when it is decoded
            if len(content) < source.size:
                return source
            source = content
        if self.content is not None and hash_of(source) != self.content:
            raise AudioError(
                "its bytes are not those that were indexed; if they lie in the cache, delete data.cache_dir and start "
                "again"
            )
        return source

    def _require_unchanged_file(self, path: Path, indexed: FileSignature) -> None:
        try:
            now = signature_of(path.stat())
            if now == indexed:
                return
            if now[0] == indexed[0] and self.content in (hash_of_file(path), hash_of_file(path, whole_up_to_bytes=inf)):
                return  # touched, or copied
        except OSError as error:
            raise AudioError(f"the file can't be reached ({error.strerror})") from error
        sizes = f" (from {indexed[0]:,} to {now[0]:,} bytes)" if now[0] != indexed[0] else ""
        raise AudioError(f"the file has changed since it was indexed{sizes}; start again to have it indexed anew")


def signature_of(found: os.stat_result) -> FileSignature:
    """What tells that a file has changed: the last time moves even where a copy is given the first one's."""
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns
