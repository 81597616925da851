"""Validation texts against the settings that they are scored by."""

from pathlib import Path

import pytest
from transformers import WhisperTokenizer

from accel_asr.config.settings import Config, DataConfig, EvaluationConfig, ModelConfig, TextConfig
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.reading.rows import Row
from accel_asr.data.selection.references import ReferenceFaults, reference_faults, split_word
from accel_asr.evaluation.normalizers import load_normalizer
from accel_asr.run.job import load_job
from tests.tiny_datasets import wav_bytes
from tests.unit.data.local_sources import utterances_of

YORUBA = "ọ̀rọ̀ Yorùbá"  # with marks that no single character has
SANSKRIT = "संस्कृतम्"


def clip(number: int) -> bytes:
    """Each another one: no recording is both trained and validated on."""
    return wav_bytes([0.1 + 0.01 * number] * 1600, sampling_rate_hz=16_000)


@pytest.fixture
def tokenizer(encoder: LabelEncoder) -> WhisperTokenizer:
    return encoder.tokenizer


@pytest.mark.parametrize(
    ("text", "normalizer", "split"),
    [
        (YORUBA, "basic", ("ọ̀rọ̀", "ọ rọ")),
        (SANSKRIT, "basic", (SANSKRIT, "स स क तम")),
        ("ไทยเป็น", "basic", ("ไทยเป็น", "ไทยเป น")),
        (YORUBA, "multilingual", None),
        (SANSKRIT, "multilingual", None),
        (SANSKRIT, "none", None),
        ("tiếng Việt, U\u0308ber nai\u0308ve", "basic", None),  # marks that are joined with their letters
        ("it's $20, well-known", "basic", None),  # what it splits there is no letter
        ("it's $20, well-known", "english", None),
    ],
)
def test_words_that_fall_to_pieces(
    tokenizer: WhisperTokenizer, text: str, normalizer: str, split: tuple[str, str] | None
) -> None:
    assert split_word(text, load_normalizer(normalizer, tokenizer)) == split


def faults_of(texts: list[str], encoder: LabelEncoder, folder: Path, *, normalizer: str, most: int) -> ReferenceFaults:
    utterances = utterances_of([Row(f"u{row}", clip(row), text) for row, text in enumerate(texts)], folder)
    normalize = load_normalizer(normalizer, encoder.tokenizer)
    return reference_faults(utterances, encoder=encoder, normalizer=normalize, max_new_tokens=most)


def test_texts_are_counted_and_the_settings_named(encoder: LabelEncoder, tmp_path: Path) -> None:
    needed = len(encoder.spelling.ids(YORUBA)) + 1  # and the end
    texts = [YORUBA, "my card", "..."]
    faults = faults_of(texts, encoder, tmp_path, normalizer="basic", most=needed - 1)
    assert (faults.texts, faults.empty) == (3, 1)
    assert (faults.too_long, faults.most_tokens, faults.too_long_examples) == (1, needed, [("u0", needed)])
    assert (faults.split, faults.split_examples) == (1, [("u0", "ọ̀rọ̀", "ọ rọ")])
    too_long, split = faults.warnings(normalizer_name="basic", max_new_tokens=needed - 1, room=encoder.room)
    assert too_long.startswith(f"evaluation.generation_max_length: {needed - 1} is less than 1 of 3 validation texts")
    assert f"set it to {needed} or more" in too_long
    assert split.startswith("evaluation.normalizer: 'basic' splits")
    assert "1 of 3" in split
    assert "multilingual" in split
    assert faults.problem(normalizer_name="basic") is None


def test_what_just_fits_and_stays_whole_is_no_warning(encoder: LabelEncoder, tmp_path: Path) -> None:
    needed = len(encoder.spelling.ids(YORUBA)) + 1
    faults = faults_of([YORUBA, "my card"], encoder, tmp_path, normalizer="multilingual", most=needed)
    assert faults.warnings(normalizer_name="multilingual", max_new_tokens=needed, room=encoder.room) == []


def test_texts_of_recordings_longer_than_the_window_may_be_of_any_length(encoder: LabelEncoder, tmp_path: Path) -> None:
    clips = [wav_bytes([0.1] * samples, sampling_rate_hz=16_000) for samples in (1600, 3200, 4800)]
    utterances = utterances_of([Row(f"u{row}", audio, YORUBA) for row, audio in enumerate(clips)], tmp_path)
    durations_s = utterances.durations_s()
    options = {"encoder": encoder, "normalizer": load_normalizer("multilingual", encoder.tokenizer)}
    for window_s, too_long in ((durations_s[1], 2), (durations_s[2], 3)):
        faults = reference_faults(utterances, max_new_tokens=2, window_s=window_s, **options)
        assert faults.too_long == too_long


def test_texts_of_which_nothing_is_left_are_refused(encoder: LabelEncoder, tmp_path: Path) -> None:
    problem = faults_of(["...", "?!"], encoder, tmp_path, normalizer="basic", most=99).problem(normalizer_name="basic")
    assert problem is not None
    assert (problem.setting, problem.value) == ("--evaluation.normalizer", "basic")


def test_a_run_says_it_before_it_starts(tiny_folder: Path, tmp_path: Path) -> None:
    for number, text in enumerate(["my card", "pay", f"{SANSKRIT} " * 3]):
        (tmp_path / f"{number}.wav").write_bytes(clip(number))
        (tmp_path / f"{number}.txt").write_text(text, encoding="utf-8")
    model, data = ModelConfig(name_or_path=str(tiny_folder), language="sa"), DataConfig(str(tmp_path), train_rows=2)
    job = load_job(
        Config(model=model, data=data, evaluation=EvaluationConfig(generation_max_length=20, long_form="none"))
    )
    named = [notice.partition(":")[0] for notice in job.data.notices]
    assert named[-2:] == ["evaluation.generation_max_length", "evaluation.normalizer"]
    better = EvaluationConfig(generation_max_length=200, normalizer="multilingual", long_form="none")
    notices = load_job(Config(model=model, data=data, evaluation=better)).data.notices
    assert not any(notice.startswith("evaluation.") for notice in notices)


@pytest.mark.parametrize(("share", "is_said"), [(0.0, True), (0.5, False)])
def test_times_that_are_read_and_not_learnt_are_said(
    tiny_folder: Path, tmp_path: Path, share: float, is_said: bool
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.wav").write_bytes(clip(number))
        (tmp_path / f"{number}.txt").write_text("<|0.00|> my card<|0.10|>")
    text = TextConfig(written_times="read")
    data = DataConfig(str(tmp_path), train_rows=2, text=text, timestamps_probability=share)
    job = load_job(Config(model=ModelConfig(name_or_path=str(tiny_folder), language="en"), data=data))
    assert any("data.timestamps_probability is 0" in notice for notice in job.data.notices) == is_said
    assert [utterance.text for utterance in job.data.train] == ["my card", "my card"]
