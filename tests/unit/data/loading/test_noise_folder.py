"""Noise from a folder: what is found, which excerpt is taken, what tells one folder from another."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from accel_asr.data.loading.noise_folder import NoiseFolder
from tests.refusals import refused

SETTING = "--augment.noise_dir"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two seconds that count up at 16 kHz, half a second of a constant at 8 kHz, and what is neither."""
    folder = tmp_path / "noise"
    (folder / "deeper").mkdir(parents=True)
    soundfile.write(folder / "ramp.wav", np.arange(32_000, dtype=np.int16), 16_000)
    soundfile.write(folder / "deeper" / "short.flac", np.full(4_000, 0.25), 8_000)
    (folder / "torn.wav").write_bytes(b"RIFF")
    (folder / "readme.txt").write_text("noise")
    return folder


def opened(folder: Path) -> NoiseFolder:
    return NoiseFolder.open(folder, setting=SETTING)


def test_recordings_are_found_at_any_depth_and_the_unreadable_are_named(folder: Path) -> None:
    noise = opened(folder)
    assert noise.names == ("deeper/short.flac", "ramp.wav")
    assert noise.durations_s.tolist() == [0.5, 2.0]
    assert "2 recordings" in noise.notice()
    assert "1 can't be read: torn.wav" in noise.notice()


def test_an_excerpt_is_a_piece_of_one_recording_or_a_short_one_repeated(folder: Path) -> None:
    noise = opened(folder)
    places = set()
    for seed in range(60):
        samples, name = noise(8_000, 16_000, np.random.default_rng(seed))
        again, _ = noise(8_000, 16_000, np.random.default_rng(seed))
        assert np.array_equal(samples, again)
        assert (samples.shape, samples.dtype) == ((8_000,), np.dtype(np.float32))
        if name == "ramp.wav":
            assert np.diff(samples * 32_768).round().tolist() == [1] * 7_999
            places.add(int(samples[0] * 32_768))
        else:
            assert np.median(samples) == pytest.approx(0.25, abs=0.001)
    assert len(places) > 10
    longer, name = noise(80_000, 16_000, np.random.default_rng(1))
    length = {"ramp.wav": 32_000}.get(name, 8_000)
    assert len(longer) == 80_000
    assert np.array_equal(longer[:-length], longer[length:])


def test_the_fingerprint_is_of_names_and_contents_and_not_of_the_place(folder: Path, tmp_path: Path) -> None:
    before = opened(folder).fingerprint
    moved = folder.rename(tmp_path / "elsewhere")
    assert opened(moved).fingerprint == before
    soundfile.write(moved / "ramp.wav", np.arange(32_000, dtype=np.int16)[::-1], 16_000)
    assert opened(moved).fingerprint != before


@pytest.mark.parametrize("kind", ["missing", "empty", "unreadable"])
def test_a_folder_without_noise_is_refused(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "noise"
    if kind != "missing":
        folder.mkdir()
    if kind == "unreadable":
        (folder / "torn.wav").write_bytes(b"RIFF")
    words = {"missing": "not a folder", "empty": "no recording", "unreadable": "torn.wav"}[kind]
    with refused(SETTING, words, value=str(folder), remedy="give a folder"):
        opened(folder)


def test_a_recording_that_goes_away_is_named(folder: Path) -> None:
    noise = opened(folder)
    for name in noise.names:
        (folder / name).unlink()
    with refused(SETTING, "can't be read", remedy="keep the folder"):
        noise(100, 16_000, np.random.default_rng(0))
