"""The learning rate of a model's size, against OpenAI's table divided by forty."""

import pytest

from accel_asr.training.size_rates import rate_in_words, suited_adapter_rate, suited_rate

SIZES = [  # width, encoder and decoder layers, mel bins, million parameters; the peak that OpenAI trained it with
    ("tiny", 384, 4, 4, 80, 37.8, 1.5e-3),
    ("base", 512, 6, 6, 80, 72.6, 1e-3),
    ("small", 768, 12, 12, 80, 241.7, 5e-4),
    ("medium", 1024, 24, 24, 80, 763.9, 2.5e-4),
    ("large", 1280, 32, 32, 80, 1543.3, 1.75e-4),
    ("large-v3", 1280, 32, 32, 128, 1543.5, 2e-4),
    ("large-v3-turbo", 1280, 32, 4, 128, 808.9, 2e-4),
]


def suited(width: int, encoder: int, decoder: int, mels: int, millions: float):
    return suited_rate(
        d_model=width,
        encoder_layers=encoder,
        decoder_layers=decoder,
        num_mel_bins=mels,
        parameters=int(millions * 1e6),
    )


@pytest.mark.parametrize(("name", "width", "encoder", "decoder", "mels", "millions", "peak"), SIZES)
@pytest.mark.parametrize("other_vocabulary", [0, -0.4])  # an English-only model has fewer tokens
def test_a_known_size_gets_a_fortieth_of_its_own_peak(
    name: str, width: int, encoder: int, decoder: int, mels: int, millions: float, peak: float, other_vocabulary: float
) -> None:
    found = suited(width, encoder, decoder, mels, millions + other_vocabulary)
    assert found.learning_rate == pytest.approx(peak / 40, rel=1e-9)
    assert f"whisper-{name} " in found.reason


@pytest.mark.parametrize(
    ("width", "rate", "words"),
    [
        (16, 3e-4, ["whisper-small"]),
        (384, 3e-4, ["whisper-small"]),
        (768, 3e-4, ["whisper-small"]),
        (1024, 1.6e-4, ["between", "whisper-small", "whisper-large"]),  # 3e-4 x 3 ** -0.563
        (1280, 1e-4, ["whisper-large"]),
        (2048, 1e-4, ["whisper-large"]),
    ],
)
def test_adapters_have_rates_of_their_own_by_width(width: int, rate: float, words: list[str]) -> None:
    suited = suited_adapter_rate(d_model=width)
    assert suited.learning_rate == pytest.approx(rate)
    assert all(word in suited.reason for word in ["adapters", *words])


def test_large_v2_is_known_by_its_name_alone() -> None:
    large = {
        "d_model": 1280,
        "encoder_layers": 32,
        "decoder_layers": 32,
        "num_mel_bins": 80,
        "parameters": 1_543_304_960,
    }
    for name, rate in (("openai/whisper-large-v2", 5e-6), ("models/whisper-large-v2-calls", 5e-6), ("mine", 4.375e-6)):
        assert suited_rate(**large, name=name).learning_rate == pytest.approx(rate)


def test_a_size_between_two_gets_a_rate_between_theirs() -> None:
    distilled = suited(768, 12, 4, 80, 166.0)  # distil-small.en: between base and small
    assert 1.25e-5 < distilled.learning_rate < 2.5e-5
    assert "whisper-base and whisper-small" in distilled.reason
    assert "166 million" in distilled.reason
    # half way in logarithms: the geometric mean of both
    half_way = suited(640, 8, 8, 80, (72.59392 * 241.734912) ** 0.5)
    assert half_way.learning_rate == pytest.approx((2.5e-5 * 1.25e-5) ** 0.5, rel=1e-3)


@pytest.mark.parametrize("millions", [38, 72, 73, 241, 242, 760, 770, 1500, 1600, 9000])
def test_a_larger_model_never_gets_a_higher_rate(millions: float) -> None:
    assert suited(7, 7, 7, 80, millions).learning_rate <= suited(7, 7, 7, 80, millions - 1).learning_rate
    assert 4.375e-6 <= suited(7, 7, 7, 80, millions).learning_rate <= 3.76e-5


def test_a_toy_gets_more_than_tiny_and_not_without_end() -> None:
    quickstart = suited(144, 3, 2, 80, 1.6)
    assert 1e-4 < quickstart.learning_rate < 5e-4
    assert suited(16, 1, 1, 80, 0.02).learning_rate == 1e-3


def said(learning_rate: float | None, scheduler_type: str = "linear") -> str | None:
    base = suited(512, 6, 6, 80, 72.6)
    return rate_in_words(learning_rate, base, scheduler_type=scheduler_type, warmup="6 of 60 steps")


def test_an_unset_rate_is_said_with_its_reason_and_schedule() -> None:
    words = said(None)
    assert words is not None
    assert "2.5e-05" in words
    assert "whisper-base" in words
    assert "linear to zero after a warmup of 6 of 60 steps" in words
    assert "constant after a warmup" in str(said(None, "constant_with_warmup"))


@pytest.mark.parametrize("rate", [0.0, 1e-6, 2.5e-5, 2.4e-4])
def test_a_sound_rate_is_nothing_to_speak_of(rate: float) -> None:
    assert said(rate) is None


@pytest.mark.parametrize(
    ("rate", "times"), [(2.5e-4, "10 times"), (5e-4, "20 times"), (1.0, "40,000 times"), (1e38, "4e+42 times")]
)
def test_a_rate_of_ten_times_the_size_s_own_is_warned_of(rate: float, times: str) -> None:
    words = str(said(rate))
    assert words.startswith(f"warning: training.learning_rate: {rate:g} is {times}")
    assert "2.5e-05" in words
