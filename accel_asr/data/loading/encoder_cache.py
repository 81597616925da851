"""What a frozen encoder says of each training clip, kept on disk as float16: `model.cache_encoder_outputs`."""

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
CHUNK_CLIPS = 16  # computed together, and kept together


class EncoderCache:
    """Encoder outputs of a set of clips: all positions of the window, since those over silence differ as well.

    `training.encoder_filling` fills it before training. A clip counts as kept once its outputs are on the disk, with a
    checksum of them, and is not written again as long as they fit it: who is killed, or fills it beside others, leaves
    nothing that is wrong.

    Args:
        folder: Where it is; `open_encoder_cache` makes it.
        shape: Of a clip's outputs: (positions, width).
    """

    def __init__(self, folder: Path, *, clips: int, shape: tuple[int, int]) -> None:
        self.folder = folder
        self.clips = clips
        self.shape = shape
        self._files: tuple[int, int] | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_files": None}  # file descriptors are a process's own

    @property
    def chunks(self) -> int:
        """How many there are."""
        return -(-self.clips // CHUNK_CLIPS)

    def outputs(self, clip: int) -> np.ndarray | None:
        """float16, shape `shape`; None where they are not kept, since the clip could not be decoded.

        Raises:
            AudioError: they are not what was kept.
        """
        checksum = self._checksums(clip, clip + 1)[0]
        if checksum == 0:
            return None
        found = np.empty(self.shape, dtype=np.float16)
        read = os.preadv(self._open()[0], [found.data.cast("B")], clip * found.nbytes)
        if read != found.nbytes or hash_of(found) != checksum:
            raise AudioError(
                f"{self.folder} does not hold any more what the encoder said of it; go on with --checkpoint.resume "
                "true, which computes it anew"
            )
        return found

    def kept(self) -> int:
        """How many clips are kept, as far as their checksums are there."""
        return int(np.count_nonzero(self._checksums(0, self.clips)))

    def clips_of(self, chunk: int) -> range:
        """The clips of a chunk."""
        return range(*self._bounds(chunk))

    def missing(self, chunk: int) -> list[int]:
        """The clips of a chunk that are not kept."""
        first, stop = self._bounds(chunk)
        return [first + int(place) for place in np.flatnonzero(self._checksums(first, stop) == 0)]

    def damaged(self, chunk: int) -> list[int]:
        """The clips of a chunk that count as kept, and are not what was kept. Reads all of it."""
        found = []
        for clip in self.clips_of(chunk):
            try:
                self.outputs(clip)
            except AudioError:
                found.append(clip)
        return found

    @contextmanager
    def claimed(self, chunk: int, *, wait: bool) -> Iterator[bool]:
        """Within it, no other process fills this chunk; False where one does already, and this one would not `wait`.

        The system gives a claim back when its process ends, however it does.
        """
        kept_file = self._open()[1]
        first, stop = self._bounds(chunk)
        try:
            fcntl.lockf(kept_file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), stop - first, first)
        except (BlockingIOError, PermissionError):  # either, by POSIX
            yield False
            return
        try:
            yield True
        finally:
            fcntl.lockf(kept_file, fcntl.LOCK_UN, stop - first, first)

    def keep(self, clips: Sequence[int], outputs: np.ndarray) -> None:
        """Keep the outputs of clips of one chunk, float16, shape (clips, *shape). Only for who has claimed it."""
        assert outputs.dtype == np.float16
        assert outputs.shape == (len(clips), *self.shape)
        file, kept_file = self._open()
        for clip, one in zip(clips, outputs, strict=True):
            os.pwrite(file, np.ascontiguousarray(one).data.cast("B"), clip * one.nbytes)
        os.fdatasync(file)  # before it is said, so that not even a machine that stops leaves zeros that count as kept
        for clip, one in zip(clips, outputs, strict=True):
            os.pwrite(kept_file, hash_of(one).to_bytes(CHECKSUM_BYTES, "little"), clip * CHECKSUM_BYTES)

    def _checksums(self, first: int, stop: int) -> np.ndarray:
        """Of these clips, uint64; 0 for what is not kept, or where the file is cut."""
        content = os.pread(self._open()[1], (stop - first) * CHECKSUM_BYTES, first * CHECKSUM_BYTES)
        return np.frombuffer(content.ljust((stop - first) * CHECKSUM_BYTES, b"\0"), dtype="<u8")

    def _bounds(self, chunk: int) -> tuple[int, int]:
        return chunk * CHUNK_CLIPS, min((chunk + 1) * CHUNK_CLIPS, self.clips)

    def _open(self) -> tuple[int, int]:
        if self._files is None:
            outputs, kept = (os.open(self.folder / name, os.O_RDWR) for name in ("outputs", "checksums"))
            self._files = outputs, kept
        return self._files


def open_encoder_cache(
    *, clips: int, shape: tuple[int, int], purpose: str, cache_dir: Path
) -> tuple[EncoderCache, str]:
    """The cache of a set of clips, and a notice of its size. All of its room is taken now, not found missing later.

    Args:
        shape: (positions, width) of the encoder's outputs.
        purpose: Says what data, features and encoder it is for: another purpose has another cache.

    Raises:
        UserError: there is not so much room on the disk.
    """
    size = clips * shape[0] * shape[1] * ITEM_BYTES
    folder = cache_dir / "encoder_outputs" / hashlib.sha256(f"{purpose} {shape}".encode()).hexdigest()[:24]
    make_cache_folder(folder.parent, cache_dir=cache_dir)
    with (
        cache_errors_explained(cache_dir),
        cache_locked(Path(f"{folder}.lock"), work="room for model.cache_encoder_outputs"),
    ):
        was_damaged = reserve_files(
            folder,
            {"outputs": size, "checksums": clips * CHECKSUM_BYTES},
            cache_dir=cache_dir,
            setting="--model.cache_encoder_outputs",
            otherwise="the encoder then hears each clip in every epoch",
        )
    cache = EncoderCache(folder, clips=clips, shape=shape)
    return cache, (
        f"encoder outputs: {size / 1e9:.2f} GB in {folder} (float16), {cache.kept():,} of {clips:,} clips are there, "
        f"the others are computed before training{'; what was there was not whole' if was_damaged else ''}"
    )
