"""Checksums of contents: another one for other bytes, wherever they lie in a clip."""

import math
from pathlib import Path

import numpy as np
import pytest

from accel_asr.files.content_hash import WHOLE_UP_TO_BYTES, hash_of, hash_of_file


def test_equal_contents_have_one_checksum_in_any_form() -> None:
    samples = np.arange(-5, 5, dtype=np.int16)
    assert hash_of(samples) == hash_of(samples.tobytes()) == hash_of(np.arange(-10, 10, dtype=np.int16)[5:15])
    assert hash_of(samples) != hash_of(samples[::-1])
    assert hash_of(b"") == hash_of(np.zeros(0, dtype=np.int16)) != 0


@pytest.mark.parametrize("place", [0, 1, WHOLE_UP_TO_BYTES // 2, WHOLE_UP_TO_BYTES - 1])
def test_of_a_clip_every_byte_counts(tmp_path: Path, place: int) -> None:
    content = bytearray(WHOLE_UP_TO_BYTES)
    (tmp_path / "a").write_bytes(content)
    before = hash_of_file(tmp_path / "a")
    content[place] = 1
    (tmp_path / "a").write_bytes(content)
    assert hash_of_file(tmp_path / "a") != before


def test_of_a_larger_file_head_tail_size_and_what_lies_between_count(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(5 * WHOLE_UP_TO_BYTES)
    others = {
        "head": b"?" + content[1:],
        "tail": content[:-1] + b"?",
        "longer": content + b"?",
        "silence in a tenth of it": content[:2_000_000] + bytes(500_000) + content[2_500_000:],
    }
    path = tmp_path / "a"
    path.write_bytes(content)
    before, whole = hash_of_file(path), hash_of_file(path, whole_up_to_bytes=math.inf)
    for name, other in others.items():
        path.write_bytes(other)
        assert hash_of_file(path) != before, name
    path.write_bytes(content)
    assert hash_of_file(path) == before
    between = bytearray(content)
    between[100_000] ^= 1  # in none of the blocks
    path.write_bytes(between)
    assert hash_of_file(path) == before
    assert hash_of_file(path, whole_up_to_bytes=math.inf) != whole
