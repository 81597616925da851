"""Each effect does to a sound what it says, measured from outside: levels, spectra, lengths, places."""

import numpy as np
import pytest

from accel_asr.audio import sound_effects as effects

RATE_HZ = 16_000


def tone(hertz: float, seconds: float = 1.0, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)).astype(np.float32)


def peak_hertz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * RATE_HZ / len(samples)


def decibels(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


def noise(seconds: float = 1.0, seed: int = 0, level: float = 0.1) -> np.ndarray:
    draws = np.random.default_rng(seed)
    return (level * draws.standard_normal(round(seconds * RATE_HZ))).astype(np.float32)


def chirp() -> np.ndarray:
    """Half a second of silence, a rising sound, silence."""
    samples = np.zeros(2 * RATE_HZ, dtype=np.float32)
    at_s = np.arange(RATE_HZ) / RATE_HZ
    samples[RATE_HZ // 2 : RATE_HZ // 2 + RATE_HZ] = 0.3 * np.sin(2 * np.pi * (400 * at_s + 500 * at_s**2))
    return samples


def delay(samples: np.ndarray, original: np.ndarray) -> int:
    size = len(samples) + len(original)
    products = np.fft.irfft(np.fft.rfft(samples, size) * np.conj(np.fft.rfft(original, size)), size)
    place = int(np.argmax(products))
    return place if place < size // 2 else place - size


@pytest.mark.parametrize("rate", [0.9, 1.1])
def test_speed_moves_length_and_pitch_together(rate: float) -> None:
    played = effects.speed(tone(1_000), rate, rate_hz=RATE_HZ)
    assert len(played) == pytest.approx(RATE_HZ / rate, abs=2)
    assert peak_hertz(played) == pytest.approx(1_000 * rate, abs=2)


@pytest.mark.parametrize("semitones", [-4.0, 2.0])
def test_pitch_moves_and_length_stays(semitones: float) -> None:
    pytest.importorskip("python_stretch")
    moved = effects.pitch(tone(440), semitones, rate_hz=RATE_HZ)
    assert len(moved) == RATE_HZ
    assert peak_hertz(moved) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.01)
    assert np.array_equal(moved, effects.pitch(tone(440), semitones, rate_hz=RATE_HZ))


def test_a_room_rings_for_its_time_and_is_as_loud_as_the_clip() -> None:
    click = np.zeros(RATE_HZ, dtype=np.float32)
    click[100] = 0.5
    heard = effects.room(click, rt60_s=0.5, direct_db=0.0, noise=noise(0.5), rate_hz=RATE_HZ)
    assert len(heard) == len(click)
    assert decibels(heard) == pytest.approx(decibels(click), abs=0.01)
    assert int(np.argmax(np.abs(heard))) == 100
    # 30 dB down after half of the time, counted from one hundredth of a second on
    window = RATE_HZ // 50
    early, late = (heard[260 + first : 260 + first + window] for first in (0, RATE_HZ // 4))
    assert decibels(early) - decibels(late) == pytest.approx(30, abs=2)


def test_the_snr_is_over_the_speech_and_not_over_the_pauses() -> None:
    speech = chirp()  # half of it is silence, which halves its power
    added = effects.with_noise(speech, noise(2.0), snr_db=10.0, rate_hz=RATE_HZ) - speech
    assert decibels(speech[RATE_HZ // 2 : 3 * RATE_HZ // 2]) - decibels(added) == pytest.approx(10, abs=0.01)
    assert effects.speech_level(speech, rate_hz=RATE_HZ) == pytest.approx(0.3 / np.sqrt(2), rel=0.01)


def test_silence_gets_no_noise_and_silent_noise_changes_nothing() -> None:
    silence = np.zeros(RATE_HZ, dtype=np.float32)
    assert not effects.with_noise(silence, noise(), snr_db=0.0, rate_hz=RATE_HZ).any()
    assert np.array_equal(effects.with_noise(tone(440), silence, snr_db=0.0, rate_hz=RATE_HZ), tone(440))


@pytest.mark.parametrize(("hertz", "change_db"), [(100, -60), (1_000, 0), (7_000, -60)])
def test_the_band_of_a_telephone(hertz: float, change_db: float) -> None:
    middle = slice(RATE_HZ // 4, 3 * RATE_HZ // 4)
    limited = effects.band_limit(tone(hertz), rate_hz=RATE_HZ)
    change = decibels(limited[middle] + 1e-9) - decibels(tone(hertz)[middle])
    assert change == pytest.approx(0, abs=0.1) if change_db == 0 else change < change_db


@pytest.mark.parametrize("codec", effects.TELEPHONE_CODECS)
def test_a_telephone_keeps_place_length_and_level(codec: str) -> None:
    heard = effects.telephone(chirp(), codec, rate_hz=RATE_HZ)
    assert len(heard) == len(chirp())
    assert abs(delay(heard, chirp())) <= 16  # a millisecond
    assert decibels(heard) == pytest.approx(decibels(chirp()), abs=1)
    hissing = effects.telephone(tone(6_000), codec, rate_hz=RATE_HZ)[RATE_HZ // 4 : 3 * RATE_HZ // 4]
    assert decibels(hissing + 1e-9) < decibels(tone(6_000)) - 40


@pytest.mark.parametrize("kbits", [8, 16, 24, 32, 64, 160])
def test_an_mp3_keeps_place_length_and_level(kbits: int) -> None:
    heard = effects.mp3(chirp(), kbits, rate_hz=RATE_HZ)
    assert len(heard) == len(chirp())
    assert abs(delay(heard, chirp())) <= 16
    assert decibels(heard) == pytest.approx(decibels(chirp()), abs=1)


def test_fewer_bits_are_further_from_the_original() -> None:
    rates = (8, 24, 64, 160)
    speech = chirp() + noise(2.0, level=0.02)
    errors = [decibels(effects.mp3(speech, kbits, rate_hz=RATE_HZ) - speech) for kbits in rates]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > errors[-1] + 5


def test_what_would_clip_is_made_softer_and_says_so() -> None:
    loud = tone(440, level=2.0)
    softer, by_db = effects.within_full_scale(loud)
    assert float(np.abs(softer).max()) == pytest.approx(32_767 / 32_768)
    assert by_db == pytest.approx(6.02, abs=0.01)
    assert np.allclose(softer, loud / 2, atol=1e-4)
    soft = tone(440)
    assert effects.within_full_scale(soft)[0] is soft
    # a codec takes what is too loud, and gives it back as loud
    assert decibels(effects.mp3(loud, 64, rate_hz=RATE_HZ)) == pytest.approx(decibels(loud), abs=1)


@pytest.mark.parametrize("samples", [1, 7, 160])
def test_very_short_clips_survive(samples: int) -> None:
    short = noise()[:samples]
    for heard in (
        effects.band_limit(short, rate_hz=RATE_HZ),
        effects.telephone(short, "GSM610", rate_hz=RATE_HZ),
        effects.mp3(short, 32, rate_hz=RATE_HZ),
        effects.room(short, rt60_s=0.3, direct_db=3.0, noise=noise(), rate_hz=RATE_HZ),
        effects.with_noise(short, noise()[:samples], snr_db=5.0, rate_hz=RATE_HZ),
    ):
        assert len(heard) == samples
        assert np.isfinite(heard).all()
