"""What may be wrong with columns, by hand-made arrays; and what is kept of a source, against what training keeps."""

import math
from pathlib import Path

import numpy as np
import pytest

from accel_asr.config.settings import DataConfig, ModelConfig, SourceConfig, TextConfig
from accel_asr.data.checking import column_checks
from accel_asr.data.checking.check import NO_LANGUAGE, UNKNOWN_LANGUAGE, UNKNOWN_TASK, Checked, check
from accel_asr.data.checking.data_report import report_of
from accel_asr.data.checking.fault_sections import KeptRows
from accel_asr.data.checking.model_limits import load_model_limits
from accel_asr.data.splits import load_train_and_validation
from accel_asr.errors import UserError
from tests.refusals import refused
from tests.tiny_datasets import wav_bytes

RATE_HZ = 16_000


def lists(groups: list[np.ndarray]) -> list[list[int]]:
    return [group.tolist() for group in groups]


# -- histograms


def test_every_value_is_in_one_bin_with_round_bounds() -> None:
    values = np.array([0.31, 0.5, 0.52, 1.49, 1.5])
    binned = column_checks.histogram(values, limit=30.0)
    assert binned.bounds[:3] == [0.3, 0.4, 0.5]
    assert binned.counts == [1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]
    assert len(binned.bounds) == len(binned.counts) + 1


def test_what_is_over_the_limit_has_a_bin_of_its_own_after_a_gap() -> None:
    binned = column_checks.histogram(np.array([1.0, 2.0, 30.0, 31.0]), limit=30.0, smallest_step=1.0)
    assert binned.bounds == [1, 2, 3, 30, 31]
    assert binned.counts == [1, 1, 0, 2]
    assert column_checks.histogram(np.array([30.0]), limit=30.0) == column_checks.Histogram([30.0, 30.0], [1])
    assert column_checks.histogram(np.array([]), limit=30.0) == column_checks.Histogram([], [])


# -- duplicates


def test_equal_keys_are_grouped_in_the_order_of_the_rows() -> None:
    keys = np.array([7, 2**64 - 1, 7, 3, 2**64 - 1, 7, 2**64 - 2], dtype=np.uint64)  # a float could not tell the last
    assert lists(column_checks.groups_of_equal(keys)) == [[0, 2, 5], [1, 4]]
    assert column_checks.groups_of_equal(keys[:2]) == []


def test_copies_have_one_text_one_length_and_one_level() -> None:
    texts = np.array([0, 0, 0, 1, 0])
    durations_s = np.array([1.0, 1.0004, 1.1, 1.0, 1.0])
    rms = np.array([0.1, 0.095, 0.1, 0.1, 0.2])
    assert lists(column_checks.copies(texts, durations_s, rms)) == [[0, 1]]


# -- levels


@pytest.mark.parametrize(
    ("peak_dbfs", "rms_dbfs", "silent"),
    [(-49, -59, False), (-51, -59, True), (-3, -61, True), (-math.inf,) * 2 + (True,)],
)
def test_silence_by_peak_or_by_level(peak_dbfs: float, rms_dbfs: float, silent: bool) -> None:
    peak, rms = (np.array([10 ** (level / 20)]) for level in (peak_dbfs, rms_dbfs))
    assert column_checks.is_silent(peak, rms).tolist() == [silent]


# -- texts against durations


def test_outliers_are_told_by_the_bounds_of_their_language() -> None:
    generator = np.random.default_rng(0)
    speeds = np.concatenate([14 * np.exp(0.1 * generator.standard_normal(200)), [28.0, 3.0, 28.0]])
    durations_s = 100 / speeds
    languages = np.array([0] * 202 + [1])  # the last is alone in its language, which is not enough to tell
    places, deviations, bounds = column_checks.text_speed_outliers(np.full(203, 100), durations_s, languages)
    assert places.tolist() == [201, 200]
    assert deviations[0] < -5 < 5 < deviations[1]
    assert bounds.keys() == {0}
    assert bounds[0].median == pytest.approx(14, rel=0.05)
    # by the definition: 5 x 0.1 of the logarithm to either side
    assert (bounds[0].lowest, bounds[0].highest) == pytest.approx((14 * math.exp(-0.5), 14 * math.exp(0.5)), rel=0.15)


def test_texts_that_are_all_alike_have_no_outliers_by_a_hair() -> None:
    durations_s = np.where(np.arange(40) == 7, 0.9, 1.0)
    assert len(column_checks.text_speed_outliers(np.full(40, 10), durations_s, np.zeros(40, dtype=int))[0]) == 0


def test_characters_are_counted_beyond_the_basic_plane() -> None:
    assert column_checks.characters_of(["aé", "", "a😀"]) == {"a": 2, "é": 1, "😀": 1}


# -- what training would do


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve clips of noise: two without text, one too long for two seconds, two that are no audio; four of `test`."""
    generator = np.random.default_rng(0)
    lines = ["audio,text,split,speaker,language,task"]
    for number in range(12):
        noise = 0.1 * generator.standard_normal(RATE_HZ * (3 if number == 4 else 1)).clip(-3, 3)
        content = b"no audio" if number in (5, 6) else wav_bytes(noise, sampling_rate_hz=RATE_HZ)
        (tmp_path / f"{number}.wav").write_bytes(content)
        text = "" if number in (2, 3) else f"My card number {number}"
        lines.append(f"{number}.wav,{text},{'test' if number > 7 else 'train'},s{number % 3},en,transcribe")
    (tmp_path / "metadata.csv").write_text("\n".join(lines))
    return tmp_path


def settings_of(folder: Path, **settings) -> DataConfig:
    """Split `test` validates, and all may be bad."""
    return DataConfig(name_or_path=str(folder), eval_split="test", max_bad_fraction=1, **settings)


def mended(folder: Path, old: str, new: str) -> Path:
    path = folder / "metadata.csv"
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))
    return folder


@pytest.fixture
def checked(tiny_folder: Path):
    def check_with(data: DataConfig, *, seed: int = 0, language: str | None = "en") -> Checked:
        model = ModelConfig(name_or_path=str(tiny_folder), language=language)
        limits = load_model_limits(model, language_of_rows=data.language_column is not None)
        return check(data, limits, seed=seed)

    return check_with


WAYS = [
    {"eval_split": "test"},
    {"train_rows": 2},
    {"eval_rows": 1},
    {"eval_fraction": 0.4},
    {"eval_rows": 1, "group_column": "speaker"},
    {"train_split": "train[:3]", "eval_split": "test"},
]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_what_is_kept_dropped_and_held_out_is_as_in_training(checked, encoder, folder: Path, way: dict) -> None:
    data = DataConfig(name_or_path=str(folder), max_bad_fraction=0.5, text=TextConfig(lowercase=True), **way)
    for seed in (0, 1):
        result = checked(data, seed=seed)
        trained = load_train_and_validation(data, encoder=encoder, sampling_rate_hz=RATE_HZ, window_s=2.0, seed=seed)
        assert result.validation is not None
        assert result.train.ids() == trained.train.ids()
        assert result.validation.ids() == trained.validation.ids()
        assert report_of(result, model_name="m")["dropped"] == trained.summary["dropped"]
        assert result.refusals == []


def test_too_much_that_is_no_audio_is_a_refusal_and_not_the_end(checked, encoder, folder: Path) -> None:
    data = DataConfig(name_or_path=str(folder), eval_split="test", max_bad_fraction=0.01)
    result = checked(data)
    with pytest.raises(UserError) as caught:
        load_train_and_validation(data, encoder=encoder, sampling_rate_hz=RATE_HZ, window_s=2.0, seed=0)
    assert result.refusals == [f"train: {caught.value}"]
    report = report_of(result, model_name="m")
    assert report["dropped"]["undecodable audio"]["count"] == 2
    assert (report["exit_code"], report["utterances"]["train"]["utterances"]) == (1, 3)


def test_when_nothing_is_left_the_reasons_are_still_counted(checked, folder: Path) -> None:
    result = checked(DataConfig(name_or_path=str(folder), eval_fraction=0.5, max_duration_s=0.1))
    report = report_of(result, model_name="m")
    assert {reason: details["count"] for reason, details in report["dropped"].items()} == {
        "undecodable audio": 2,
        "no text": 2,
        "longer than 0.1 s": 4,
    }
    assert [name for name, _ in report["dropped"]["undecodable audio"]["examples"]] == ["5.wav", "6.wav"]
    assert [refusal.split()[1].rstrip(":") for refusal in result.refusals] == [
        "--data.max_bad_fraction",
        "--data.name_or_path",
    ]
    assert report["utterances"] == {"train": {"utterances": 0, "hours": 0.0}, "validation": None}


def test_rows_in_unknown_languages_and_tasks_are_left_out_and_named(checked, folder: Path) -> None:
    mended(folder, "0.wav,My card number 0,train,s0,en", "0.wav,My card number 0,train,s0,tlh")
    mended(folder, "8,test,s2,en,transcribe", "8,test,s2,German,shout")
    result = checked(settings_of(folder, task_column="task"))
    dropped = report_of(result, model_name="m")["dropped"]
    assert dropped[UNKNOWN_LANGUAGE] == {"count": 1, "examples": [["0.wav", "tlh"]]}
    assert dropped[UNKNOWN_TASK] == {"count": 1, "examples": [["8.wav", "shout"]]}
    assert result.train.ids() == ["1.wav", "7.wav"]
    refusals = "\n".join(result.refusals)
    assert "('tlh')" in refusals
    assert "('shout')" in refusals


def test_languages_are_counted_as_the_model_names_them(checked, folder: Path) -> None:
    for number, cell in ((0, "English"), (1, "de-DE"), (7, "")):
        mended(folder, f"{number},train,s{number % 3},en", f"{number},train,s{number % 3},{cell}")
    data = settings_of(folder)
    languages = report_of(checked(data, language="fr"), model_name="m")["languages"]
    assert [(row["language"], row["rows"], row["known"], row["said"]) for row in languages] == [
        ("en", 10, True, True),
        ("de", 1, True, True),
        ("fr", 1, True, False),
    ]
    result = checked(data, language=None)
    assert report_of(result, model_name="m")["dropped"][NO_LANGUAGE]["examples"] == [["7.wav", "none"]]
    (refusal,) = result.refusals
    assert refusal.startswith("train: --model.language: is not set, and 1 of 8 rows have no language; ")


def test_one_recording_under_two_names_on_both_sides_is_found(checked, folder: Path) -> None:
    (folder / "9.wav").write_bytes((folder / "0.wav").read_bytes())
    (folder / "7.wav").write_bytes((folder / "1.wav").read_bytes())
    report = report_of(checked(settings_of(folder)), model_name="m")
    assert report["overlap"]["same_audio"] == {"rows": 1, "examples": [["9.wav", "0.wav"]]}
    assert report["duplicates"]["train"] == {
        "recordings": 1,
        "rows": 1,
        "examples": [["1.wav", "7.wav"]],
        "other_text": 1,
    }
    assert report["duplicates"]["validation"]["rows"] == 0
    assert report["overlap"]["same_id_other_audio"]["rows"] == 0


def test_hashes_are_compared_in_all_their_bits(checked, folder: Path) -> None:
    result = checked(settings_of(folder))
    written = [part.part.index for part in result.parts]
    hashes = [code for index in written for code in index.column("audio_hash").to_pylist()]
    assert None in hashes  # of what is no audio, for which NumPy would make floats of all of them
    kept = KeptRows(result).hashes.tolist()
    assert len(kept) == 7
    assert set(kept) <= set(hashes)


def test_a_copy_at_another_level_is_likely_one_on_both_sides(checked, folder: Path) -> None:
    import soundfile

    samples, rate_hz = soundfile.read(folder / "0.wav")
    soundfile.write(folder / "8.wav", 0.97 * samples, rate_hz)
    mended(folder, "My card number 8", "My card number 0")
    report = report_of(checked(settings_of(folder)), model_name="m")
    assert report["overlap"]["copies"] == {"rows": 1, "examples": [["0.wav", "8.wav"]]}
    assert report["overlap"]["same_audio"]["rows"] == 0


def test_speakers_of_a_source_that_is_not_validated_on_can_be_on_both_sides(checked, folder: Path) -> None:
    sources = [
        SourceConfig(str(folder), name="a", train_split="train", validate=False),
        SourceConfig(str(folder), name="b", train_split="test"),
    ]
    data = DataConfig(sources=sources, eval_rows=1, group_column="speaker", max_bad_fraction=1)
    report = report_of(checked(data), model_name="m")
    assert report["utterances"]["validation"]["utterances"] == 1
    assert report["overlap"]["groups"]["rows"] == 1
    assert report["overlap"]["groups"]["examples"][0] in ("s0", "s1", "s2")


def test_silence_and_clipping_are_named_the_worst_first(checked, folder: Path) -> None:
    loud = np.concatenate([np.full(800, 2.0), 0.1 * np.ones(RATE_HZ - 800)]).clip(-1, 1)
    for name, samples in (("0", np.zeros(RATE_HZ)), ("1", np.full(RATE_HZ, 0.0005)), ("8", loud)):
        (folder / f"{name}.wav").write_bytes(wav_bytes(samples, sampling_rate_hz=RATE_HZ))
    report = report_of(checked(settings_of(folder)), model_name="m")
    assert report["silence"] == {"rows": 2, "examples": [["0.wav", None], ["1.wav", -66.2]]}  # 16 steps of 32,768
    assert report["clipping"] == {"rows": 1, "examples": [["8.wav", 0.05]]}


def test_the_same_rows_on_both_sides_are_a_refusal_and_an_overlap(checked, folder: Path) -> None:
    data = DataConfig(name_or_path=str(folder), train_split="test", eval_split="test")
    result = checked(data)
    assert [refusal.split()[0] for refusal in result.refusals] == ["--data.eval_split"]
    report = report_of(result, model_name="m")
    assert report["overlap"]["same_audio"]["rows"] == 4
    assert (report["dropped"], report["exit_code"]) == ({}, 1)


# -- the tokenizer


def test_what_a_tokenizer_can_not_spell_is_named(checked, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mended(folder, "My card number 8", "Öl für Öfen 😀 \u0301")
    characters = report_of(checked(settings_of(folder)), model_name="m")["characters"]
    assert (characters["byte_level"], characters["unspellable"]) == (True, [])
    result = checked(settings_of(folder))
    tokenizer = result.limits.encoder.tokenizer
    decode = type(tokenizer).decode
    monkeypatch.setattr(
        type(tokenizer), "decode", lambda self, ids, **options: decode(self, ids, **options).replace("Ö", "O")
    )
    characters = report_of(result, model_name="m")["characters"]
    assert characters["unspellable"] == [
        {
            "character": "Ö",
            "code_point": "U+00D6",
            "name": "LATIN CAPITAL LETTER O WITH DIAERESIS",
            "count": 2,
            "examples": ["8.wav"],
        }
    ]


# -- the model's limits


def test_the_limits_are_those_that_training_loads(tiny_folder: Path, model_and_processor) -> None:
    model, processor = model_and_processor
    limits = load_model_limits(ModelConfig(name_or_path=str(tiny_folder), language="english"), language_of_rows=False)
    assert limits.sampling_rate_hz == processor.feature_extractor.sampling_rate
    assert limits.window_s == processor.feature_extractor.n_samples / processor.feature_extractor.sampling_rate == 2
    assert limits.encoder.max_label_tokens == model.config.max_target_positions
    assert limits.language == "en"
    assert limits.encoder.encode("my card").token_ids == tuple(processor.tokenizer("my card").input_ids)


def test_an_english_only_model_needs_no_language_and_takes_no_other(tiny_english_folder: Path) -> None:
    model = ModelConfig(name_or_path=str(tiny_english_folder))
    assert load_model_limits(model, language_of_rows=False).language is None
    with refused("--model.language", "English-only", value="de"):
        load_model_limits(ModelConfig(name_or_path=model.name_or_path, language="de"), language_of_rows=True)


def test_a_model_that_can_not_be_had_is_answered_with_a_remedy(tmp_path: Path, monkeypatch) -> None:
    with refused("--model.name_or_path", "it is empty", value=str(tmp_path)):
        load_model_limits(ModelConfig(name_or_path=str(tmp_path)), language_of_rows=True)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UserError, match=r"of type .bert.*only a Whisper"):
        load_model_limits(ModelConfig(name_or_path=str(tmp_path)), language_of_rows=True)

    def unreachable(*arguments: object, **options: object) -> None:
        raise OSError("no route to the Hub")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    with pytest.raises(UserError, match=r"Hub did not give it \(no route to the Hub\); check the name"):
        load_model_limits(ModelConfig(name_or_path="nobody/nothing"), language_of_rows=True)


@pytest.mark.parametrize(("language", "words"), [("tlh", "the model does not know 'tlh'"), (None, "is not set, and")])
def test_a_language_that_training_would_refuse(tiny_folder: Path, language: str | None, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load_model_limits(ModelConfig(name_or_path=str(tiny_folder), language=language), language_of_rows=False)
