"""The account of a run's data: what was kept for training and validation, and what was not."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from accel_asr.config.settings import DataConfig, SourceConfig
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.run_data import RunData
from accel_asr.data.selection.utterances import Utterances
from accel_asr.data.splits import given_validation, load_train_and_validation
from tests.refusals import refused
from tests.tiny_datasets import wav_bytes

RATE_HZ = 16_000


@pytest.fixture
def load(encoder: LabelEncoder):
    def load_with(data: DataConfig, *, window_s: float = 2.0, seed: int = 0) -> RunData:
        return load_train_and_validation(data, encoder=encoder, sampling_rate_hz=RATE_HZ, window_s=window_s, seed=seed)

    return load_with


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten clips of 0.1 to 1.0 s, the last two of split `test`; number 3 without text."""
    lines = ["file_name,text,split"]
    for number in range(10):
        (tmp_path / f"{number}.wav").write_bytes(wav_bytes(np.zeros(1600 * (number + 1)), sampling_rate_hz=RATE_HZ))
        lines.append(f"{number}.wav,{'' if number == 3 else f'my card {number}'},{'test' if number > 7 else 'train'}")
    (tmp_path / "metadata.csv").write_text("\n".join(lines))
    return tmp_path


def ids(utterances: Utterances) -> list[str]:
    named = utterances.ids()
    assert named == [utterance.utterance_id for utterance in utterances]
    return named


def test_a_split_of_its_own_validates(load, folder: Path) -> None:
    data = load(DataConfig(name_or_path=str(folder), eval_split="test"))
    assert ids(data.train) == [f"{number}.wav" for number in (0, 1, 2, 4, 5, 6, 7)]
    assert ids(data.validation) == ["8.wav", "9.wav"]
    assert data.notices == [
        "train: kept 7 of 8 utterances; dropped 1 (no text)",
        "test: kept 2 of 2 utterances; dropped none",
    ]


def test_train_rows_count_what_remains_after_the_filters(load, folder: Path) -> None:
    data = load(DataConfig(name_or_path=str(folder), train_rows=4))
    assert ids(data.train) == ["0.wav", "1.wav", "2.wav", "4.wav"]
    assert ids(data.validation) == ["5.wav", "6.wav", "7.wav"]


@pytest.mark.parametrize(("way", "count"), [({"eval_fraction": 0.4}, 3), ({"eval_rows": 2}, 2)])  # 0.4 x 7 = 2.8
def test_held_out_rows_follow_the_seed(load, folder: Path, way: dict, count: int) -> None:
    data = DataConfig(name_or_path=str(folder), **way)
    assert ids(load(data, seed=1).validation) == ids(load(data, seed=1).validation)
    assert (len(load(data).validation), len(load(data).train)) == (count, 7 - count)
    assert len({tuple(ids(load(data, seed=seed).validation)) for seed in range(5)}) > 1


def test_the_models_window_caps_the_longest_clip(load, folder: Path) -> None:
    data = load(DataConfig(name_or_path=str(folder), train_rows=2), window_s=0.5)
    assert max(utterance.duration_s for utterance in [*data.train, *data.validation]) == pytest.approx(0.5)
    assert data.summary["dropped"]["longer than 0.5 s"]["count"] == 3  # 0.6 to 0.8 s


def test_the_summary_adds_up_by_hand(load, folder: Path) -> None:
    summary = load(DataConfig(name_or_path=str(folder), eval_split="test")).summary
    assert json.loads(json.dumps(summary)) == summary
    assert summary["rows"] == {"train": 8, "test": 2}
    assert summary["dropped"] == {"no text": {"count": 1, "examples": [["3.wav", "empty"]]}}
    train = summary["train"]
    # 0.1 + 0.2 + 0.3 + 0.5 + 0.6 + 0.7 + 0.8 s
    assert (train["utterances"], train["hours"]) == (7, round(3.2 / 3600, 4))
    assert (train["shortest_s"], train["longest_s"]) == (0.1, 0.8)
    assert summary["source"]["name_or_path"] == str(folder)


def blocks(utterances: Utterances) -> list[tuple[str | None, str | None]]:
    return [(utterance.block, utterance.block_column) for utterance in utterances]


def test_a_block_is_the_group_or_the_speaker_but_never_the_text(load, folder: Path) -> None:
    lines = [
        f"{line},{tail}"
        for line, tail in zip(
            (folder / "metadata.csv").read_text().splitlines(),
            ["Speaker ID,session", *(f"{'ab'[number % 2]},day {number // 4}" for number in range(10))],
            strict=True,
        )
    ]
    (folder / "metadata.csv").write_text("\n".join(lines))

    def columns_of(**settings: object) -> list[tuple[str | None, str | None]]:
        return blocks(load(DataConfig(name_or_path=str(folder), **settings)).validation)

    assert columns_of(train_rows=5) == [("a", "Speaker ID"), ("b", "Speaker ID")]
    assert {column for _, column in columns_of(eval_rows=1, group_column="session")} == {"session"}
    assert {column for _, column in columns_of(eval_rows=3, group_column="text")} == {"Speaker ID"}


def test_crossed_columns_are_read_from_the_table(load, folder: Path) -> None:
    data = load(DataConfig(name_or_path=str(folder), eval_split="test", breakdown_columns=["split+text", "split"]))
    assert data.validation[0].columns == {"split+text": "test + my card 8", "split": "test"}
    with refused("--data.breakdown_columns", "gender"):
        load(DataConfig(name_or_path=str(folder), eval_split="test", breakdown_columns=["split+gender"]))


def test_segments_of_a_recording_are_a_block_and_whole_recordings_are_none(load, folder: Path) -> None:
    (folder / "metadata.csv").write_text(
        "file_name,text,start,end,split\n0.wav,my card,,,train\n"
        "8.wav,my card,0,0.4,test\n8.wav,the bill,0.4,0.8,test\n9.wav,hello,0.2,0.6,test\n1.wav,my card,,,test"
    )
    validation = load(DataConfig(name_or_path=str(folder), eval_split="test")).validation
    first, second, third, whole = blocks(validation)
    assert first == second
    assert first[0] != third[0]
    assert first[1] == third[1] == "recording"
    assert whole == (None, None)


def test_a_speaker_is_never_on_both_sides(load, folder: Path) -> None:
    lines = (folder / "metadata.csv").read_text().splitlines()
    speakers = ["speaker", *("ada" if number in (0, 5, 9) else "bo" for number in range(10))]
    (folder / "metadata.csv").write_text("\n".join(f"{line},{who}" for line, who in zip(lines, speakers, strict=True)))
    data = load(DataConfig(name_or_path=str(folder), eval_rows=1, group_column="speaker"))
    assert ids(data.validation) == ["0.wav", "5.wav"]
    assert "held out 1 of 2 values of speaker (ada): 2 utterances, where 1 were asked for" in data.notices
    assert data.summary["notices"] == data.notices
    with refused("--data.group_column", "the columns are: file_name", value="voice"):
        load(DataConfig(name_or_path=str(folder), eval_rows=1, group_column="voice"))


def test_a_source_that_tells_no_splits_apart_is_not_validated_on_what_it_trains_on(load, folder: Path) -> None:
    lines = (folder / "metadata.csv").read_text().splitlines()
    (folder / "metadata.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines))
    same = "same utterances as data.train_split=train"
    with refused("--data.eval_split", same, value="test", remedy="data.eval_name_or_path"):
        load(DataConfig(name_or_path=str(folder), eval_split="test"))


def test_what_is_said_of_the_source_is_said_once(load, folder: Path) -> None:
    (folder / "forgotten.wav").write_bytes(b"")
    notices = load(DataConfig(name_or_path=str(folder), eval_split="test")).notices
    assert [notice for notice in notices if "forgotten.wav" in notice] == [
        "1 of 11 audio files in the folder are not listed in metadata.csv: forgotten.wav"
    ]


def test_the_paths_of_the_settings_reach_the_source(load, folder: Path) -> None:
    manifest = folder / "lists" / "clips.csv"
    manifest.parent.mkdir()
    manifest.write_text("audio,text\n../0.wav,my card\n../1.wav,my card\n")
    with refused("--data.allow_outside_paths", "2 files"):
        load(DataConfig(name_or_path=str(manifest), train_rows=1))
    assert ids(load(DataConfig(name_or_path=str(manifest), train_rows=1, allow_outside_paths=True)).train) == [
        "../0.wav"
    ]


def test_the_channel_of_the_settings_is_decoded(load, tmp_path: Path) -> None:
    for name, count in (("a", 1600), ("b", 800)):
        channels = np.stack([np.zeros(count), np.full(count, 0.5)], axis=1)
        (tmp_path / f"{name}.wav").write_bytes(wav_bytes(channels, sampling_rate_hz=RATE_HZ))
        (tmp_path / f"{name}.txt").write_text("my card")
    data = DataConfig(name_or_path=str(tmp_path), train_rows=1)
    for channel, value in ((None, 8192), (0, 0), (1, 16384)):
        loaded = load(dataclasses.replace(data, channel=channel))
        assert set(loaded.train[0].samples().tolist()) == {value}


def test_a_source_without_the_split_that_is_validated_on(tmp_path: Path) -> None:
    sources = [SourceConfig(name_or_path="a", eval_split="test", validate=False), SourceConfig(name_or_path="b")]
    with refused("--data.sources", "no source", "eval_split or eval_name_or_path", remedy="give"):
        given_validation(DataConfig(sources=sources), sources, [None, None], None)  # type: ignore[list-item]


# -- validation in a file of its own


@pytest.fixture
def two_files(folder: Path) -> Path:
    """`train.csv` of clips 0 to 7, and `dev.csv` of 8 and 9, without a column that says so."""
    lines = [line.rpartition(",")[0] for line in (folder / "metadata.csv").read_text().splitlines()]
    (folder / "metadata.csv").unlink()
    (folder / "train.csv").write_text("\n".join(lines[:9]))
    (folder / "dev.csv").write_text("\n".join([lines[0], *lines[9:]]))
    return folder


def test_a_file_of_its_own_validates(load, two_files: Path) -> None:
    train, dev = str(two_files / "train.csv"), str(two_files / "dev.csv")
    data = load(DataConfig(name_or_path=train, eval_name_or_path=dev))
    assert ids(data.train) == [f"{number}.wav" for number in (0, 1, 2, 4, 5, 6, 7)]
    assert ids(data.validation) == ["8.wav", "9.wav"]
    assert data.summary["rows"] == {"train": 8, "validation": 2}
    assert ids(load(DataConfig(name_or_path=str(two_files), eval_split="dev")).validation) == ["8.wav", "9.wav"]
    # a folder of splits: the one that is validated on, unless eval_split names another
    assert ids(load(DataConfig(name_or_path=train, eval_name_or_path=str(two_files))).validation) == ["8.wav", "9.wav"]
    named = DataConfig(name_or_path=dev, eval_name_or_path=str(two_files), eval_split="train")
    assert ids(load(named).validation)[0] == "0.wav"


def test_of_several_sources_one_file_of_its_own_validates_all_or_each_has_its_own(load, two_files: Path) -> None:
    train, dev = str(two_files / "train.csv"), str(two_files / "dev.csv")
    sources = [SourceConfig(name_or_path=train, name="a"), SourceConfig(name_or_path=train, name="b", weight=None)]
    data = load(DataConfig(sources=sources, eval_name_or_path=dev))
    assert ids(data.validation) == ["validation/8.wav", "validation/9.wav"]
    own = [dataclasses.replace(sources[0], eval_name_or_path=dev), dataclasses.replace(sources[1], validate=False)]
    data = load(DataConfig(sources=own))
    assert ids(data.validation) == ["a/8.wav", "a/9.wav"]
    assert len(data.train) == 14


# -- replay


def test_a_replayed_source_fills_its_share_of_an_epoch_and_is_not_validated_on(
    load, folder: Path, tmp_path: Path
) -> None:
    general = tmp_path / "general"
    general.mkdir()
    lines = ["file_name,text"]
    for number in range(30):
        samples = np.full(1600, number + 1, dtype=np.int16) / 32_768
        (general / f"g{number}.wav").write_bytes(wav_bytes(samples, sampling_rate_hz=RATE_HZ))
        lines.append(f"g{number}.wav,general {number}")
    (general / "metadata.csv").write_text("\n".join(lines))
    replayed = SourceConfig(name_or_path=str(general), name="general", replay=True, weight=0.3)
    data = load(DataConfig(sources=[SourceConfig(name_or_path=str(folder), name="calls"), replayed], eval_rows=2))
    assert all(name.startswith("calls/") for name in ids(data.validation))
    sizes = data.rows_of_parts()
    assert sizes == (5, 2)  # of seven two are held out; 30% of an epoch of seven
    assert data.weights == pytest.approx((0.7, 0.3))
    assert "general: 30% of an epoch is replayed from it, 2 of its 30 utterances" in data.notices
    assert data.summary["sources"][1]["replay"] is True
    again = load(DataConfig(sources=[SourceConfig(name_or_path=str(folder), name="calls"), replayed], eval_rows=2))
    assert ids(again.train) == ids(data.train)
    few = dataclasses.replace(replayed, name_or_path=str(folder), weight=0.5)
    data = load(DataConfig(sources=[SourceConfig(name_or_path=str(general), name="calls"), few], eval_rows=2))
    assert data.rows_of_parts() == (28, 7)
    assert data.weights == pytest.approx((0.5, 0.5))
    assert any("each comes 4.0 times in an epoch" in notice for notice in data.notices)


def test_a_row_brings_its_own_keywords(load, folder: Path) -> None:
    rows = (folder / "metadata.csv").read_text().splitlines()
    cells = ["names", *(f"Anna; {number}" if number % 2 else "" for number in range(len(rows) - 1))]
    (folder / "metadata.csv").write_text("\n".join(f"{row},{cell}" for row, cell in zip(rows, cells, strict=True)))
    settings = {"name_or_path": str(folder), "eval_split": "test", "keywords_column": "names"}
    for breakdown in ([], ["split"]):
        validation = load(DataConfig(**settings, breakdown_columns=breakdown)).validation
        assert [utterance.keywords for utterance in validation] == [(), ("Anna", "9")]
        assert [dict(utterance.columns) for utterance in validation] == [dict.fromkeys(breakdown, "test")] * 2
