"""Kept features are those that are computed, rounded to float16, for every clip and in every process."""

import errno
import os
import pickle
import shutil
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from accel_asr.audio.log_mel import log_mel
from accel_asr.data.indexing import index_building
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading import mel_cache
from accel_asr.data.loading.batches import ClipItems
from accel_asr.data.loading.collator import FailedItem, Item
from accel_asr.data.loading.mel_cache import MelCache, open_mel_cache
from accel_asr.data.reading.rows import Row
from accel_asr.errors import UserError
from tests.tiny_datasets import wav_bytes
from tests.unit.data.local_sources import utterances_of

RATE_HZ = 16_000
DURATIONS_S = np.array([0.05, 0.5, 1.0, 1.99, 2.0])  # the window is 2 s


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    generator = np.random.default_rng(5)
    return [generator.normal(scale=3_000, size=round(s * RATE_HZ)).astype(np.int16) for s in DURATIONS_S]


def opened(cache_dir: Path, extractor, checksum: int = 1) -> MelCache:
    return open_mel_cache(DURATIONS_S, checksum=checksum, feature_extractor=extractor, cache_dir=cache_dir)[0]


def test_what_is_kept_is_what_is_computed(tmp_path: Path, clips: list[np.ndarray], model_and_processor) -> None:
    extractor = model_and_processor[1].feature_extractor
    cache = opened(tmp_path, extractor)
    for clip, samples in enumerate(clips):
        computed = log_mel(samples, extractor)
        first = cache.features(clip, lambda computed=computed: computed)
        np.testing.assert_array_equal(first, computed.astype(np.float16).astype(np.float32))
    again = pickle.loads(pickle.dumps(opened(tmp_path, extractor)))  # as a worker gets it
    for clip, samples in enumerate(clips):
        kept = again.features(clip, lambda: pytest.fail("it was kept, and computed again"))
        np.testing.assert_array_equal(kept, log_mel(samples, extractor).astype(np.float16).astype(np.float32))


def test_only_frames_with_sound_take_room(tmp_path: Path, model_and_processor) -> None:
    extractor = model_and_processor[1].feature_extractor
    cache = opened(tmp_path, extractor)
    frames = np.diff(cache.first_frames) - 1
    assert frames.tolist() == [9, 54, 104, 200, 200]
    assert (cache.folder / "mels").stat().st_size == (frames.sum() + 5) * extractor.feature_size * 2


def test_another_set_has_another_cache(tmp_path: Path, model_and_processor) -> None:
    extractor = model_and_processor[1].feature_extractor
    assert opened(tmp_path, extractor, 1).folder != opened(tmp_path, extractor, 2).folder
    assert opened(tmp_path, extractor, 1).folder == opened(tmp_path, extractor, 1).folder


def test_a_clip_longer_than_its_header_said_is_not_kept_wrongly(tmp_path: Path, model_and_processor) -> None:
    extractor = model_and_processor[1].feature_extractor
    cache = opened(tmp_path, extractor)
    longer = log_mel(np.random.default_rng(1).normal(scale=3_000, size=RATE_HZ).astype(np.int16), extractor)
    for _ in range(2):
        given = cache.features(0, lambda: longer)
        np.testing.assert_array_equal(given, longer.astype(np.float16).astype(np.float32))


def test_too_little_room_is_said_before_anything_starts(
    tmp_path: Path, model_and_processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = model_and_processor[1].feature_extractor
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 50_000))
        with pytest.raises(UserError, match=r"^data\.mel_cache: true needs 0\.00 GB in .*, where 0\.00 GB are free"):
            opened(tmp_path, extractor)

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(mel_cache.os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"^data\.mel_cache: true needs"):
        opened(tmp_path, extractor)
    assert [path for path in (tmp_path / "mels").iterdir() if path.is_dir()] == []


# -- what is there is looked at


@pytest.mark.parametrize("how", ["zeroed", "overwritten", "cut", "checksums cut", "checksums overwritten"])
def test_what_is_not_what_was_kept_is_computed_again(
    tmp_path: Path, clips: list[np.ndarray], model_and_processor, how: str
) -> None:
    extractor = model_and_processor[1].feature_extractor
    cache = opened(tmp_path, extractor)
    expected = [cache.features(clip, partial(log_mel, samples, extractor)) for clip, samples in enumerate(clips)]
    path = cache.folder / ("checksums" if "checksums" in how else "mels")
    size = path.stat().st_size
    if "cut" in how:
        os.truncate(path, size // 2)
    else:
        path.write_bytes(bytes(size) if how == "zeroed" else np.random.default_rng(0).bytes(size))
    computed = []

    def again(samples: np.ndarray) -> np.ndarray:
        computed.append(len(samples))
        return log_mel(samples, extractor)

    cache = pickle.loads(pickle.dumps(cache))
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        for clip, samples in enumerate(clips):
            np.testing.assert_array_equal(cache.features(clip, partial(again, samples)), expected[clip])
    assert computed
    assert ["does not hold what was kept" in str(warning.message) for warning in shown] == [True]  # once
    for clip in range(len(clips)):
        mended = cache.features(clip, lambda: pytest.fail("mended, and computed again"))
        np.testing.assert_array_equal(mended, expected[clip])


@pytest.mark.parametrize("name", ["mels", "checksums"])
@pytest.mark.parametrize("how", ["missing", "cut"])
def test_a_cache_that_is_not_whole_is_made_anew_and_said(
    tmp_path: Path, model_and_processor, name: str, how: str
) -> None:
    extractor = model_and_processor[1].feature_extractor
    path = opened(tmp_path, extractor).folder / name
    path.unlink() if how == "missing" else os.truncate(path, 3)
    cache, notice = open_mel_cache(DURATIONS_S, checksum=1, feature_extractor=extractor, cache_dir=tmp_path)
    assert notice.endswith("what was there was not whole, and is made anew")
    assert cache.features(0, lambda: np.zeros((extractor.feature_size, 200), dtype=np.float32)).shape == cache.shape
    _, notice = open_mel_cache(DURATIONS_S, checksum=1, feature_extractor=extractor, cache_dir=tmp_path)
    assert not notice.endswith("anew")


def test_kept_features_of_a_recording_that_was_replaced_are_not_given(
    tmp_path: Path, model_and_processor, encoder: LabelEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_building, "DECODED_UP_FRONT_S", 0.0)  # as of a large set, nothing but features is kept
    extractor = model_and_processor[1].feature_extractor
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(np.full(800, 0.25)))
    utterances = utterances_of([Row("a.wav", path, "x")], tmp_path)
    cache, _ = open_mel_cache(np.array([0.1]), checksum=1, feature_extractor=extractor, cache_dir=tmp_path / "cache")
    items = ClipItems(utterances, feature_extractor=extractor, encoder=encoder, mel_cache=cache)
    assert isinstance(items[0, 0], Item)
    path.write_bytes(wav_bytes(np.full(800, 0.125)))
    failed = items[0, 0]
    assert isinstance(failed, FailedItem)
    assert "has changed since it was indexed" in failed.reason
    path.unlink()
    assert isinstance(items[0, 0], Item)  # it was not replaced
