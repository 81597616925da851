"""Log-mel features kept on disk as float16, for those who would rather read than compute them: `data.mel_cache`."""

import hashlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from transformers import WhisperFeatureExtractor

from accel_asr.files.cache_folder import cache_errors_explained, cache_locked, make_cache_folder, reserve_files
from accel_asr.files.content_hash import hash_of

ITEM_BYTES = 2  # float16
CHECKSUM_BYTES = 8
_SPARE_FRAMES = 2  # a header's length and the decoded one may differ by a sample or two


class MelCache:
    """Features of a set of clips, each computed and written when it is first asked for, by whichever process that is.

    Of each clip a checksum is kept, 0 before it is there; what does not fit it is computed again.

    Only the frames that hold sound are kept, and the one value that all bins have in the silence after them. What is
    given is what is kept, the first time too, so that a resumed run trains on the same numbers.

    Args:
        folder: Where it is; `open_mel_cache` makes it.
        first_frames: Where each clip's frames begin in the file, and the end of the last, shape (clips + 1,).
        shape: (mel bins, frames of the window).
    """

    def __init__(self, folder: Path, first_frames: np.ndarray, *, shape: tuple[int, int]) -> None:
        self.folder = folder
        self.first_frames = first_frames
        self.shape = shape
        self._files: tuple[int, int] | None = None
        self._has_warned = False

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_files": None}  # file descriptors are a process's own

    def features(self, clip: int, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """float32 features of one clip, shape `shape`, rounded to float16; `compute` is called where there are none."""
        mels, frames = self.shape
        file, kept_file = self._open()
        first, stop = (int(frame) for frame in self.first_frames[clip : clip + 2])
        length, place = (stop - first) * mels * ITEM_BYTES, first * mels * ITEM_BYTES
        content = os.pread(file, length, place)
        checksum = os.pread(kept_file, CHECKSUM_BYTES, clip * CHECKSUM_BYTES)
        if checksum != _checksum(content):
            if any(checksum) and not self._has_warned:
                self._has_warned = True
                warnings.warn(f"data.mel_cache: {self.folder} does not hold what was kept; made anew", stacklevel=2)
            whole = compute().astype(np.float16)
            used = stop - first - 1
            tail = np.full((mels, 1), whole[:, used : used + 1][:1] if used < frames else 0, dtype=np.float16)
            if used < frames and not (whole[:, used:] == tail).all():  # longer than its header said: not kept
                return whole.astype(np.float32)
            content = np.hstack([whole[:, :used], tail]).tobytes()
            os.pwrite(file, content, place)
            os.pwrite(kept_file, _checksum(content), clip * CHECKSUM_BYTES)
        kept = np.frombuffer(content, dtype=np.float16).reshape(mels, stop - first)
        result = np.empty(self.shape, dtype=np.float32)
        result[:, : stop - first - 1] = kept[:, :-1]
        result[:, stop - first - 1 :] = kept[:, -1:]
        return result

    def _open(self) -> tuple[int, int]:
        if self._files is None:
            mels, kept = (os.open(self.folder / name, os.O_RDWR) for name in ("mels", "checksums"))
            self._files = mels, kept
        return self._files


def _checksum(content: bytes) -> bytes:
    return hash_of(content).to_bytes(CHECKSUM_BYTES, "little")


def open_mel_cache(
    durations_s: np.ndarray, *, checksum: int, feature_extractor: WhisperFeatureExtractor, cache_dir: Path
) -> tuple[MelCache, str]:
    """The cache of a set of clips, and a notice of its size. All of its room is taken now, not found missing later.

    Args:
        durations_s: Of each clip, shape (clips,).
        checksum: Of the set: another set has another cache.

    Raises:
        UserError: there is not so much room on the disk.
    """
    mels, frames = feature_extractor.feature_size, feature_extractor.nb_max_frames
    samples = durations_s * feature_extractor.sampling_rate
    used = np.ceil((samples + feature_extractor.n_fft / 2) / feature_extractor.hop_length) + _SPARE_FRAMES
    first_frames = np.concatenate([[0], np.cumsum(np.minimum(used, frames) + 1)]).astype(np.int64)
    size = int(first_frames[-1]) * mels * ITEM_BYTES
    told = hashlib.sha256(f"{checksum} {feature_extractor.to_json_string()}".encode()).hexdigest()[:24]
    folder = cache_dir / "mels" / told
    make_cache_folder(folder.parent, cache_dir=cache_dir)
    with cache_errors_explained(cache_dir), cache_locked(Path(f"{folder}.lock"), work="room for data.mel_cache"):
        was_damaged = reserve_files(
            folder,
            {"mels": size, "checksums": len(durations_s) * CHECKSUM_BYTES},
            cache_dir=cache_dir,
            setting="data.mel_cache: true",
            otherwise="features are then computed",
        )
    notice = f"log-mel cache: {size / 1e9:.2f} GB in {folder}, filled as clips are first used (float16)"
    if was_damaged:
        notice += "; what was there was not whole, and is made anew"
    return MelCache(folder, first_frames, shape=(mels, frames)), notice
