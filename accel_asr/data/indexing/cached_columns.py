"""A number for each row of an index, computed once and kept beside it."""

import hashlib
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from accel_asr.data.indexing.index import Index
from accel_asr.files.atomic_writes import file_written_whole
from accel_asr.files.cache_folder import cache_errors_explained
from accel_asr.files.content_hash import hash_of

_CHECKSUM_BYTES = 8


def kept_numbers(index: Index, name: str, facts: Any, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """The result of `compute`, shape (rows,), or the one kept from an earlier call with equal facts.

    A checksum follows the numbers in the file: damaged ones are computed again.

    Args:
        name: The beginning of the file's name.
        facts: Everything that the numbers depend on beside the index; its digest ends the file's name.

    Raises:
        UserError: the file can't be written.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
    path = index.folder / f"{name}-{digest}.npy"
    try:
        content = path.read_bytes()
        if content[-_CHECKSUM_BYTES:] == _checksum(content[:-_CHECKSUM_BYTES]):
            numbers: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
            if numbers.shape == (len(index),):
                return numbers
    except (OSError, ValueError, EOFError):  # none yet, or torn
        pass
    numbers = compute()
    with cache_errors_explained(index.folder):
        file = io.BytesIO()
        np.save(file, numbers, allow_pickle=False)
        with file_written_whole(path, is_shared=True) as beside:
            beside.write_bytes(file.getvalue() + _checksum(file.getvalue()))
    return numbers


def _checksum(content: bytes) -> bytes:
    return hash_of(content).to_bytes(_CHECKSUM_BYTES, "little")
