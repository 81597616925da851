"""Cached outputs are the ones that were written, in every process, and one process at a time fills a chunk."""

import errno
import multiprocessing
import os
import pickle
import shutil
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from accel_asr.audio.decoding import AudioError
from accel_asr.data.loading import encoder_cache
from accel_asr.data.loading.encoder_cache import CHUNK_CLIPS, EncoderCache, open_encoder_cache
from tests.refusals import refused

CLIPS = CHUNK_CLIPS + 3
SHAPE = (5, 4)


def opened(cache_dir: Path, purpose: str = "this encoder") -> EncoderCache:
    return open_encoder_cache(clips=CLIPS, shape=SHAPE, purpose=purpose, cache_dir=cache_dir)[0]


def outputs_of(clips: list[int]) -> np.ndarray:
    return np.random.default_rng(clips).normal(size=(len(clips), *SHAPE)).astype(np.float16)


def test_what_is_kept_is_what_was_given_and_nothing_is_given_before(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    assert cache.chunks == 2
    clips = [CHUNK_CLIPS, CHUNK_CLIPS + 2]  # the one between could not be decoded
    given = outputs_of(clips)
    cache.keep(clips, given)
    again = pickle.loads(pickle.dumps(opened(tmp_path)))  # as a worker gets it
    for clip, expected in zip(clips, given, strict=True):
        outputs = again.outputs(clip)
        assert outputs.dtype == np.float16
        np.testing.assert_array_equal(outputs, expected)
    assert again.outputs(0) is None
    assert again.outputs(CHUNK_CLIPS + 1) is None
    assert (again.kept(), again.missing(0), again.missing(1)) == (2, list(range(CHUNK_CLIPS)), [CHUNK_CLIPS + 1])


def test_the_size_is_taken_at_once_and_another_purpose_has_another_cache(tmp_path: Path) -> None:
    cache, notice = open_encoder_cache(clips=50_000, shape=(100, 10), purpose="a large one", cache_dir=tmp_path)
    assert (cache.folder / "outputs").stat().st_size == 50_000 * 100 * 10 * 2
    assert notice.startswith(f"encoder outputs: 0.10 GB in {cache.folder} (float16), 0 of 50,000 clips are there")
    assert opened(tmp_path).folder == opened(tmp_path).folder != opened(tmp_path, "another encoder").folder


@pytest.mark.parametrize("stage", ["outputs written", "outputs on the disk"])
def test_a_clip_whose_writing_was_cut_off_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    cache = opened(tmp_path)
    with monkeypatch.context() as patch:

        def cut_off(file: int) -> None:
            if stage == "outputs on the disk":
                os.fsync(file)
            raise KeyboardInterrupt

        patch.setattr(encoder_cache.os, "fdatasync", cut_off)
        with pytest.raises(KeyboardInterrupt):
            cache.keep([0, 1], outputs_of([0, 1]))
    assert opened(tmp_path).kept() == 0
    assert opened(tmp_path).outputs(0) is None


def claim(cache: EncoderCache, pipe: Connection) -> None:
    """What another process does: claim the first chunk, say so, and hold it until it is told to go on."""
    with cache.claimed(0, wait=False) as is_mine:
        pipe.send(is_mine)
        pipe.recv()
    pipe.send("left")
    pipe.recv()


@pytest.mark.parametrize("killed", [False, True])
def test_a_chunk_is_filled_by_one_process_at_a_time_and_one_that_is_killed_gives_it_back(
    tmp_path: Path, killed: bool
) -> None:
    cache = opened(tmp_path)
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=claim, args=(cache, theirs))
    process.start()
    try:
        assert ours.recv() is True
        with cache.claimed(0, wait=False) as is_mine:
            assert not is_mine
        with cache.claimed(1, wait=False) as is_mine:
            assert is_mine
        if killed:
            process.kill()
            process.join()
        else:
            ours.send("go on")
            assert ours.recv() == "left"
        with cache.claimed(0, wait=True) as is_mine:
            assert is_mine
    finally:
        process.kill()
        process.join()


def test_too_little_room_is_said_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs = ("--model.cache_encoder_outputs", "needs 0.00 GB")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 500))
        with refused(*needs, remedy="make room"):
            opened(tmp_path)

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(encoder_cache.os, "posix_fallocate", full)
    with refused(*needs):
        opened(tmp_path)
    assert [path for path in (tmp_path / "encoder_outputs").iterdir() if path.is_dir()] == []


# -- what is there is looked at


@pytest.mark.parametrize("how", ["zeroed", "one bit", "cut"])
def test_outputs_that_are_not_what_was_kept_are_never_given(tmp_path: Path, how: str) -> None:
    cache = opened(tmp_path)
    clips = list(range(3))
    cache.keep(clips, outputs_of(clips))
    path = cache.folder / "outputs"
    content = bytearray(path.read_bytes())
    length = 2 * SHAPE[0] * SHAPE[1]
    if how == "cut":
        os.truncate(path, 2 * length + 1)
    else:
        third = content[2 * length : 3 * length]
        content[2 * length : 3 * length] = bytes(length) if how == "zeroed" else third[:-1] + b"?"
        path.write_bytes(content)
    assert cache.outputs(0) is not None
    with pytest.raises(AudioError, match="are damaged"):
        cache.outputs(2)
    assert (cache.damaged(0), cache.damaged(1)) == ([2], [])
    cache.keep([2], outputs_of(clips)[2:])
    np.testing.assert_array_equal(cache.outputs(2), outputs_of(clips)[2])
    assert cache.damaged(0) == []


@pytest.mark.parametrize("name", ["outputs", "checksums"])
def test_a_cache_that_is_not_whole_is_made_anew_and_said(tmp_path: Path, name: str) -> None:
    cache = opened(tmp_path)
    cache.keep([0], outputs_of([0]))
    os.truncate(cache.folder / name, 3)
    again, notice = open_encoder_cache(clips=CLIPS, shape=SHAPE, purpose="this encoder", cache_dir=tmp_path)
    assert again.kept() == 0
    assert notice.endswith("the cache was damaged and starts empty")
