"""One recording of an index, decoded when it is needed."""

import os
from dataclasses import dataclass
from math import inf
from pathlib import Path

import numpy as np

from accel_asr.audio.decoding import AudioError, ByteRange, decode, to_int16
from accel_asr.data.reading.rows import Audio
from accel_asr.data.reading.saved_datasets import DatasetAudio
from accel_asr.data.reading.source_table import DatasetCell
from accel_asr.files.content_hash import hash_of, hash_of_file

FileSignature = tuple[int, int, int]  # size in bytes; mtime and ctime in ns


@dataclass(frozen=True, slots=True)
class KeptSamples:
    """A recording decoded while indexing: `count` samples from `first` on in a file of int16.

    `content` is their `hash_of`.
    """

    path: Path
    first: int
    count: int
    content: int

    def read(self) -> np.ndarray | None:
        """int16, shape (samples,); None if the file is gone or damaged."""
        try:
            samples = np.fromfile(self.path, dtype=np.int16, count=self.count, offset=2 * self.first)
        except OSError:
            return None
        return samples if len(samples) == self.count and hash_of(samples) == self.content else None


@dataclass(frozen=True, slots=True)
class Recording:
    """An encoded recording, or the segment of it from `start_s` to `end_s`, and how to decode it.

    Args:
        source: The encoded file's bytes, its path, its place in a larger file or in `dataset_audio`; None if missing.
        signature: Of its own file, when it was indexed.
        content: `hash_of` the encoded recording, when it was indexed.
        kept: Its samples at `sampling_rate_hz`, if the index has them.
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
            AudioError: it can't be decoded, or has changed since it was indexed.
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
        """For callers that use something computed from it, without decoding it. A missing file was not replaced.

        Raises:
            AudioError: another file is in its place.
        """
        if self.kept is None and self.signature is not None and isinstance(self.source, Path) and self.source.exists():
            self._require_unchanged_file(self.source, self.signature)

    def _unchanged(self, source: bytes | Path | ByteRange) -> bytes | Path | ByteRange:
        """The source if it is what was indexed, a `ByteRange` as its bytes.

        A file is hashed only if its size or times differ.

        Raises:
            AudioError: it has changed.
        """
        if isinstance(source, Path):
            if self.signature is not None:
                self._require_unchanged_file(source, self.signature)
            return source
        if isinstance(source, ByteRange):
            try:
                content = source.read()
            except OSError:
                return source  # decoding it will report the fault
            if len(content) < source.size:
                return source
            source = content
        if self.content is not None and hash_of(source) != self.content:
            raise AudioError(
                "its bytes are not those that were indexed; if they are in the cache, delete data.cache_dir and start "
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
        raise AudioError(f"the file has changed since it was indexed{sizes}; start again to index it anew")


def signature_of(stat: os.stat_result) -> FileSignature:
    """Differs if a file has changed: the ctime moves even if a copy is given the original's mtime."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
