"""What is validated on and also trained on: recordings are refused, left out or allowed; sentences, speakers said."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from accel_asr.config.settings import DataConfig, ModelConfig, SourceConfig
from accel_asr.data.checking.check import check
from accel_asr.data.checking.data_report import report_of
from accel_asr.data.checking.model_limits import load_model_limits
from accel_asr.data.indexing import index_building
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.reading.sources import rest_of_split
from accel_asr.data.run_data import RunData
from accel_asr.data.selection.overlap import VALIDATED_ON, shared_recordings
from accel_asr.data.splits import load_train_and_validation
from accel_asr.data.text_processing import comparable
from tests.refusals import refused
from tests.unit.data.local_sources import load as load_rows

RATE_HZ = 16_000
Load = Callable[..., RunData]


@pytest.fixture
def load(encoder: LabelEncoder) -> Load:
    def load_with(data: DataConfig, *, seed: int = 0) -> RunData:
        return load_train_and_validation(data, encoder=encoder, sampling_rate_hz=RATE_HZ, window_s=2.0, seed=seed)

    return load_with


@pytest.fixture
def refusals_of(tiny_folder: Path) -> Callable[[DataConfig], list[str]]:
    """What check-data says that training would refuse."""

    def refused(data: DataConfig) -> list[str]:
        limits = load_model_limits(ModelConfig(name_or_path=str(tiny_folder), language="en"), language_of_rows=True)
        return check(data, limits, seed=0).refusals

    return refused


def clip(path: Path, seed: int, *, seconds: float = 0.5) -> None:
    """Noise, equal for equal seeds; the file's ending says its format."""
    noise = np.random.default_rng(seed).integers(-3000, 3000, round(seconds * RATE_HZ), dtype=np.int16)
    soundfile.write(path, noise, RATE_HZ, subtype="PCM_16")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`train.csv` with 0 to 5, `dev.csv` with 6 to 8; speakers take turns; equal texts three rows apart."""
    for name, numbers in (("train", range(6)), ("dev", range(6, 9))):
        lines = ["file_name,text,speaker"]
        for number in numbers:
            clip(tmp_path / f"{number}.wav", number)
            lines.append(f"{number}.wav,Text number {number},s{number}")
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def of(folder: Path, **settings) -> DataConfig:
    return DataConfig(**{"name_or_path": str(folder), "eval_split": "dev"} | settings)


# -- the same recording


def same_file(folder: Path) -> None:
    (folder / "dev.csv").write_text((folder / "dev.csv").read_text().replace("7.wav", "./3.wav"))


def copied_file(folder: Path) -> None:
    (folder / "7.wav").write_bytes((folder / "3.wav").read_bytes())


def other_container(folder: Path) -> None:
    clip(folder / "7.flac", 3)
    (folder / "dev.csv").write_text((folder / "dev.csv").read_text().replace("7.wav", "7.flac"))


def other_header(folder: Path) -> None:
    samples, rate_hz = soundfile.read(folder / "3.wav", dtype="int16")
    soundfile.write(folder / "7.wav", samples, rate_hz, format="WAVEX")


@pytest.mark.parametrize(
    "leak", [same_file, copied_file, other_container, other_header], ids=lambda leak: leak.__name__
)
def test_a_recording_on_both_sides_is_refused_dropped_or_allowed(load, refusals_of, folder: Path, leak) -> None:
    assert len(load(of(folder)).validation) == 3
    leak(folder)
    remedy = "--data.overlap drop to leave 1 of 6 training utterances out"
    with refused("--data.overlap", "1 of 3 validation utterances", "= 3.wav", value="refuse", remedy=remedy):
        load(of(folder))
    (refusal,) = refusals_of(of(folder))
    assert "= 3.wav" in refusal
    dropped = load(of(folder, overlap="drop"))
    assert dropped.train.ids() == [f"{number}.wav" for number in (0, 1, 2, 4, 5)]
    assert len(dropped.validation) == 3
    assert dropped.summary["dropped"][VALIDATED_ON] == {"count": 1, "examples": [["3.wav", ""]]}
    assert any("left 1 of 6 training utterances out" in notice for notice in dropped.notices)
    allowed = load(of(folder, overlap="allow"))
    assert len(allowed.train) == 6
    assert any("1 of 3 validation utterances are also trained on" in notice for notice in allowed.notices)
    assert refusals_of(of(folder, overlap="drop")) == refusals_of(of(folder, overlap="allow")) == []


def test_copies_are_found_in_a_set_that_is_too_large_to_decode(load, folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(index_building, "DECODED_UP_FRONT_S", 0)
    assert len(load(of(folder)).train) == 6
    copied_file(folder)
    with refused("--data.overlap", "7.wav = 3.wav"):
        load(of(folder))


def test_all_copies_in_train_are_left_out(load, folder: Path) -> None:
    for number in (0, 5, 8):
        clip(folder / f"{number}.wav", 3)
    data = load(of(folder, overlap="drop"))
    assert data.train.ids() == ["1.wav", "2.wav", "4.wav"]
    recordings = data.summary["overlap"]["recordings"]
    assert (recordings["validation_rows"], recordings["training_rows"]) == (1, 3)


def test_rows_that_are_held_out_by_chance_are_not_kept_in_a_copy(load, folder: Path) -> None:
    for number in (1, 2, 3, 4, 5):
        clip(folder / f"{number}.wav", 0)
    with refused("--data.overlap"):
        load(DataConfig(name_or_path=str(folder / "train.csv"), eval_rows=3))


def test_every_source_is_compared_with_every_other(load, folder: Path) -> None:
    sources = [
        SourceConfig(str(folder / "train.csv"), name="a", validate=False),
        SourceConfig(str(folder / "dev.csv"), name="b"),
    ]
    data = DataConfig(sources=sources, eval_rows=2)
    assert len(load(data).validation) == 2
    for number in (6, 7, 8):  # two of which are validated on, whichever
        clip(folder / f"{number}.wav", number - 6)
    with refused("--data.overlap", "2 of 2 validation utterances", "= a/"):
        load(data)
    dropped = load(dataclasses.replace(data, overlap="drop"))
    assert dropped.train.part_sizes() == (4, 1)  # also of the source that is not validated on


def test_nothing_would_be_left(load, folder: Path) -> None:
    (folder / "copy.csv").write_text((folder / "dev.csv").read_text().replace("Text", "Other text"))
    copy = str(folder / "copy.csv")
    with refused("--data.overlap", "3 of 3", value="drop", remedy="other rows, or --data.overlap allow"):
        load(DataConfig(name_or_path=str(folder / "dev.csv"), overlap="drop", eval_name_or_path=copy))


def test_a_validation_file_that_is_what_is_trained_on_or_is_not_there_is_named_by_its_setting(
    load, folder: Path
) -> None:
    dev, gone = str(folder / "dev.csv"), str(folder / "gone.csv")
    with refused("--data.eval_name_or_path", "same utterances", value=dev):
        load(DataConfig(name_or_path=dev, eval_name_or_path=dev))
    with refused("--data.eval_name_or_path", "does not exist", value=gone):
        load(DataConfig(name_or_path=dev, eval_name_or_path=gone))


# -- parts of one file


def segments(folder: Path, train: list[tuple[float, float]], dev: list[tuple[float, float]]) -> DataConfig:
    clip(folder / "talk.wav", 1, seconds=12)
    for name, spans in (("train", train), ("dev", dev)):
        lines = ["file_name,text,start,end", *(f"talk.wav,{name} {a},{a},{b}" for a, b in spans)]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return of(folder)


@pytest.mark.parametrize(
    ("train", "dev", "shared"),
    [
        ([(0, 1), (1, 2)], [(2, 3)], 0),
        ([(0, 1), (2, 3)], [(2, 3), (5, 6)], 1),
        ([(0, 1.5)], [(1, 2.5)], 1),  # a third of it
        ([(0, 1.9)], [(0.5, 0.9)], 1),  # within
        ([(0.5, 0.9)], [(0, 1.9)], 1),
        ([(0, 1.2), (4, 5)], [(1.1, 2.5)], 0),  # a tenth of a second: air
    ],
)
def test_segments_that_overlap_in_time_are_one_recording(load, tmp_path: Path, train, dev, shared: int) -> None:
    data = load(dataclasses.replace(segments(tmp_path, train, dev), overlap="allow"))
    assert data.summary["overlap"]["recordings"]["validation_rows"] == shared
    notices = [notice for notice in data.notices if "overlap a little in time" in notice]
    assert len(notices) == (dev == [(1.1, 2.5)])


def test_segments_are_compared_within_their_own_file_only(load, tmp_path: Path) -> None:
    settings = segments(tmp_path, [(0, 1)], [(1, 2)])
    clip(tmp_path / "other.wav", 2, seconds=12)
    (tmp_path / "dev.csv").write_text("file_name,text,start,end\nother.wav,x,0,1\ntalk.wav,y,1,1.9\n")
    data = load(settings)
    shared = shared_recordings(data.train, data.validation)
    assert (len(shared.validation), shared.trained.tolist(), shared.touching) == (0, [False], 0)


# -- a part of what is trained on


@pytest.mark.parametrize(
    ("part", "rest"),
    [
        ("train[90%:]", "train[:90%]"),
        ("train[:10]", "train[10:]"),
        ("train[-2:]", "train[:-2]"),
        ("train[10%:20%]", "train[:10%]+train[20%:]"),
        ("train[:]", None),
        ("train", None),
        ("train[:1]+train[2:]", None),
    ],
)
def test_the_rest_of_a_split(part: str, rest: str | None) -> None:
    assert rest_of_split(part) == rest


@pytest.mark.parametrize(("part", "held"), [("train[70%:]", [4, 5]), ("train[1:3]", [1, 2]), ("train[:-4]", [0, 1])])
def test_a_part_of_the_split_that_is_trained_on_is_taken_out_of_it(load, refusals_of, folder, part, held) -> None:
    data = load(of(folder, eval_split=part))
    assert data.validation.ids() == [f"{number}.wav" for number in held]
    assert data.train.ids() == [f"{number}.wav" for number in range(6) if number not in held]
    assert any(f"{part} is a part of train" in notice for notice in data.notices)
    assert refusals_of(of(folder, eval_split=part)) == []


def test_parts_that_are_given_for_both_sides_must_not_overlap(load, folder: Path) -> None:
    with refused("--data.overlap", "1 of 3 validation utterances"):
        load(of(folder, train_split="train[:4]", eval_split="train[3:]"))
    assert len(load(of(folder, train_split="train[:3]", eval_split="train[3:]")).train) == 3


def test_the_rest_is_what_the_rows_of_a_part_are_not(folder: Path) -> None:
    names = [row.utterance_id for row in load_rows(folder, split="train[:1]+train[4:]").rows]
    assert names == ["0.wav", "4.wav", "5.wav"]
    with refused("--data.train_split or --data.eval_split", value="train[:1]+dev[1:]"):
        load_rows(folder, split="train[:1]+dev[1:]")


# -- sentences and speakers


def test_texts_are_compared_without_case_punctuation_and_spaces() -> None:
    assert comparable(" Hello,  YOU there! ") == comparable("hello you there") == "hello you there"
    assert comparable("straße 5") == comparable("STRASSE \uff15")
    assert comparable("bàtá") != comparable("bata")  # tones and other marks tell words apart
    assert comparable("की") != comparable("का")
    assert (comparable("?!"), comparable("  ")) == ("?!", "")


def test_sentences_and_speakers_on_both_sides_are_said_with_counts(load, folder: Path) -> None:
    dev = (folder / "dev.csv").read_text()
    assert not any("also in train" in notice for notice in load(of(folder)).notices)
    dev = dev.replace("Text number 7,s7", "text NUMBER 2!,s0").replace("Text number 8,s8", "text number 8,s0")
    (folder / "dev.csv").write_text(dev)
    data = load(of(folder))
    texts, speakers = [notice for notice in data.notices if "also in train" in notice]
    assert "1 of the 3 texts in validation are also in train (1 of 3 utterances: text NUMBER 2!)" in texts
    assert "data.group_column: text" in texts
    assert "1 of the 2 values of speaker in validation are also in train (2 of 3 utterances: s0)" in speakers
    assert data.summary["overlap"]["texts"]["rows"] == 1
    assert data.summary["overlap"]["speakers"] == {
        "column": "speaker",
        "rows": 2,
        "of_rows": 3,
        "values": 1,
        "of_values": 2,
        "examples": ["s0"],
    }


def test_a_column_that_is_called_like_a_speaker_is_one(folder: Path) -> None:
    path = folder / "train.csv"
    content = path.read_text()
    for column in ("speaker_id", "Speaker", "client_id", "spk", "SPK-ID"):
        path.write_text(content.replace("speaker", column))
        assert [row.speaker for row in load_rows(path).rows] == [f"s{number}" for number in range(6)]


def test_a_group_column_beside_a_validation_set_is_compared(load, folder: Path) -> None:
    for name in ("train", "dev"):
        path = folder / f"{name}.csv"
        path.write_text(path.read_text().replace("speaker", "house"))
    (folder / "dev.csv").write_text((folder / "dev.csv").read_text().replace("s6", "s1"))
    (notice,) = [line for line in load(of(folder, group_column="house")).notices if "also in train" in line]
    assert "1 of the 3 values of house" in notice


def test_no_sentence_is_on_both_sides_when_rows_are_held_out_by_text(load, tmp_path: Path) -> None:
    lines = ["path\tsentence"]
    for number in range(24):
        clip(tmp_path / f"{number}.wav", number, seconds=0.1)
        text = f"sentence {'abcdefgh'[number % 8]}"
        lines.append(f"{number}.wav\t{text.upper() + '!' if number % 2 else text}")
    (tmp_path / "clips.tsv").write_text("\n".join(lines))
    by_chance = DataConfig(name_or_path=str(tmp_path / "clips.tsv"), eval_fraction=0.25)
    assert any("texts in validation are also in train" in notice for notice in load(by_chance).notices)
    for seed in range(3):
        data = load(dataclasses.replace(by_chance, group_column="text"), seed=seed)
        sides = [{comparable(utterance.text) for utterance in side} for side in (data.train, data.validation)]
        assert not sides[0] & sides[1]
        assert len(data.validation) == 6
        assert not any("also in train" in notice for notice in data.notices)


def test_check_data_says_what_is_on_both_sides(tiny_folder: Path, folder: Path) -> None:
    (folder / "dev.csv").write_text((folder / "dev.csv").read_text().replace("Text number 7,s7", "text number 2,s2"))
    limits = load_model_limits(ModelConfig(name_or_path=str(tiny_folder), language="en"), language_of_rows=True)
    report = report_of(check(of(folder), limits, seed=0), model_name="m")
    assert (report["overlap"]["texts"]["rows"], report["overlap"]["speakers"]["rows"]) == (1, 1)
    assert report["exit_code"] == 0
    copied_file(folder)
    report = report_of(check(of(folder), limits, seed=0), model_name="m")
    assert report["exit_code"] == 1
    assert report["refusals"][0].startswith("--data.overlap 'refuse': 1 of 3")
    report = report_of(check(of(folder, overlap="drop"), limits, seed=0), model_name="m")
    assert report["dropped"][VALIDATED_ON]["count"] == 1
    assert report["utterances"]["train"]["utterances"] == 5
    assert report["sources"][0]["kept"] == 5
