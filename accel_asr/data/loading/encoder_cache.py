"""Outputs of a frozen encoder for each training clip, cached on disk as float16: `model.cache_encoder_outputs`."""

import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from accel_asr.audio.decoding import AudioError
from accel_asr.files.cache_folder import cache_errors_explained, cache_locked, make_cache_folder, reserve_files
from accel_asr.files.content_hash import hash_of

ITEM_BYTES = 2  # float16
CHECKSUM_BYTES = 8
CHUNK_CLIPS = 16  # computed and written together


class EncoderCache:
    """Encoder outputs of a set of clips: all positions of the window, since those over padding differ too.

    `training.encoder_filling` fills it before training. A clip counts as cached once its outputs are on disk and a
    checksum of them is written. So a process that is killed, or several that fill it together, leave nothing wrong.

    Args:
        folder: Made by `open_encoder_cache`.
        shape: (positions, width) of a clip's outputs.
    """

    def __init__(self, folder: Path, *, clips: int, shape: tuple[int, int]) -> None:
        self.folder = folder
        self.clips = clips
        self.shape = shape
        self._files: tuple[int, int] | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_files": None}  # file descriptors belong to one process

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return -(-self.clips // CHUNK_CLIPS)

    def outputs(self, clip: int) -> np.ndarray | None:
        """float16, shape `shape`; None where there are none, since the clip could not be decoded.

        Raises:
            AudioError: they don't match their checksum.
        """
        checksum = self._checksums(clip, clip + 1)[0]
        if checksum == 0:
            return None
        outputs = np.empty(self.shape, dtype=np.float16)
        read = os.preadv(self._open()[0], [outputs.data.cast("B")], clip * outputs.nbytes)
        if read != outputs.nbytes or hash_of(outputs) != checksum:
            raise AudioError(
                f"its encoder outputs in {self.folder} are damaged; continue with --checkpoint.resume true, which "
                "computes them again"
            )
        return outputs

    def kept(self) -> int:
        """How many clips are cached, by their checksums."""
        return int(np.count_nonzero(self._checksums(0, self.clips)))

    def clips_of(self, chunk: int) -> range:
        """The clips of a chunk."""
        return range(*self._bounds(chunk))

    def missing(self, chunk: int) -> list[int]:
        """The clips of a chunk that are not cached."""
        first, stop = self._bounds(chunk)
        return [first + int(place) for place in np.flatnonzero(self._checksums(first, stop) == 0)]

    def damaged(self, chunk: int) -> list[int]:
        """The clips of a chunk whose outputs don't match their checksums. Reads all of it."""
        damaged = []
        for clip in self.clips_of(chunk):
            try:
                self.outputs(clip)
            except AudioError:
                damaged.append(clip)
        return damaged

    @contextmanager
    def claimed(self, chunk: int, *, wait: bool) -> Iterator[bool]:
        """Lock a chunk, so that no other process fills it. Yields False where another has it and `wait` is false.

        The system releases the lock when its process ends, however that happens.
        """
        checksums_file = self._open()[1]
        first, stop = self._bounds(chunk)
        try:
            fcntl.lockf(checksums_file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), stop - first, first)
        except (BlockingIOError, PermissionError):  # either, by POSIX
            yield False
            return
        try:
            yield True
        finally:
            fcntl.lockf(checksums_file, fcntl.LOCK_UN, stop - first, first)

    def keep(self, clips: Sequence[int], outputs: np.ndarray) -> None:
        """Write the outputs of clips of one chunk, float16, shape (clips, *shape). Only while it is `claimed`."""
        assert outputs.dtype == np.float16
        assert outputs.shape == (len(clips), *self.shape)
        file, checksums_file = self._open()
        for clip, array in zip(clips, outputs, strict=True):
            os.pwrite(file, np.ascontiguousarray(array).data.cast("B"), clip * array.nbytes)
        os.fdatasync(file)  # before the checksums, so that not even a power failure leaves zeros that count as cached
        for clip, array in zip(clips, outputs, strict=True):
            os.pwrite(checksums_file, hash_of(array).to_bytes(CHECKSUM_BYTES, "little"), clip * CHECKSUM_BYTES)

    def _checksums(self, first: int, stop: int) -> np.ndarray:
        """Of these clips, uint64; 0 for what is not cached, or where the file is truncated."""
        content = os.pread(self._open()[1], (stop - first) * CHECKSUM_BYTES, first * CHECKSUM_BYTES)
        return np.frombuffer(content.ljust((stop - first) * CHECKSUM_BYTES, b"\0"), dtype="<u8")

    def _bounds(self, chunk: int) -> tuple[int, int]:
        return chunk * CHUNK_CLIPS, min((chunk + 1) * CHUNK_CLIPS, self.clips)

    def _open(self) -> tuple[int, int]:
        if self._files is None:
            outputs, checksums = (os.open(self.folder / name, os.O_RDWR) for name in ("outputs", "checksums"))
            self._files = outputs, checksums
        return self._files


def open_encoder_cache(
    *, clips: int, shape: tuple[int, int], purpose: str, cache_dir: Path
) -> tuple[EncoderCache, str]:
    """The cache of a set of clips, and a notice of its size. All of its disk space is allocated now.

    Args:
        shape: (positions, width) of the encoder's outputs.
        purpose: Identifies data, features and encoder: another purpose has another cache.

    Raises:
        UserError: there is not enough disk space.
    """
    size = clips * shape[0] * shape[1] * ITEM_BYTES
    folder = cache_dir / "encoder_outputs" / hashlib.sha256(f"{purpose} {shape}".encode()).hexdigest()[:24]
    make_cache_folder(folder.parent, cache_dir=cache_dir)
    with (
        cache_errors_explained(cache_dir),
        cache_locked(Path(f"{folder}.lock"), work="space for model.cache_encoder_outputs"),
    ):
        was_damaged = reserve_files(
            folder,
            {"outputs": size, "checksums": clips * CHECKSUM_BYTES},
            cache_dir=cache_dir,
            setting="--model.cache_encoder_outputs",
            otherwise="the encoder then runs on each clip in every epoch",
        )
    cache = EncoderCache(folder, clips=clips, shape=shape)
    return cache, (
        f"encoder outputs: {size / 1e9:.2f} GB in {folder} (float16), {cache.kept():,} of {clips:,} clips are there, "
        f"the others are computed before training{'; the cache was damaged and starts empty' if was_damaged else ''}"
    )
