"""A number for each row of an index, computed once and kept beside it for the next time."""

import hashlib
import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from accel_asr.data.indexing.cache_folder import cache_errors_explained
from accel_asr.data.indexing.index import Index


def kept_numbers(index: Index, name: str, facts: Any, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """What `compute` gives, shape (rows,), or gave the last time with equal facts.

    Args:
        name: Of its file, which a digest of `facts` follows: all that the numbers depend on beside the index.

    Raises:
        UserError: they can't be written there.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
    path = index.folder / f"{name}-{digest}.npy"
    try:
        numbers: np.ndarray = np.load(path, allow_pickle=False)
        if numbers.shape == (len(index),):
            return numbers
    except (OSError, ValueError, EOFError):  # none yet, or torn
        pass
    numbers = compute()
    writing = path.with_suffix(f".{os.getpid()}.npy")
    with cache_errors_explained(index.folder):
        np.save(writing, numbers, allow_pickle=False)
        writing.replace(path)
    return numbers
