"""Folders of `save_to_disk`: audio stays encoded, splits are kept apart, and torn folders end in one message."""

import json
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet
import pytest

from accel_asr.data.reading.rows import RowColumns
from tests.tiny_datasets import make_minds14_like
from tests.unit.data.local_sources import AUDIO_TYPE, load, refused


@pytest.fixture
def speech(tmp_path: Path) -> datasets.Dataset:
    parquet = make_minds14_like(tmp_path / "hub", rows=4) / "en-US" / "train-00000-of-00001.parquet"
    dataset = datasets.Dataset(pyarrow.parquet.read_table(parquet))
    assert dataset.features["audio"] == datasets.Audio(sampling_rate=8_000)  # decoding it would want torchcodec
    return dataset


def test_a_saved_dataset_is_read_with_its_audio_encoded(speech: datasets.Dataset, tmp_path: Path) -> None:
    speech.save_to_disk(tmp_path / "saved")
    source = load(tmp_path / "saved", text_column="english_transcription")
    assert [row.text for row in source.rows] == speech["english_transcription"][:]
    raw = speech.cast_column("audio", datasets.Audio(decode=False))["audio"][:]
    assert [source.dataset_audio.get(row.audio.row) for row in source.rows] == [cell["bytes"] for cell in raw]
    assert all(cell["bytes"].startswith(b"RIFF") for cell in raw)
    assert len({row.utterance_id for row in source.rows}) == 4


def test_the_columns_by_which_scores_are_told_are_kept_and_labels_are_their_names(
    speech: datasets.Dataset, tmp_path: Path
) -> None:
    assert isinstance(speech.features["intent_class"], datasets.ClassLabel)
    numbers = [number if row else -1 for row, number in enumerate(speech["intent_class"][:])]  # -1: no label
    labelled = speech.remove_columns("intent_class").add_column("intent_class", numbers)
    labelled.cast_column("intent_class", speech.features["intent_class"]).save_to_disk(tmp_path / "saved")
    columns = RowColumns(breakdown=("intent_class", "transcription"))
    rows = load(tmp_path / "saved", text_column="transcription", columns=columns).rows
    names = speech.features["intent_class"].names
    assert [row.breakdown for row in rows] == [
        (None if number < 0 else names[number], text)
        for number, text in zip(numbers, speech["transcription"][:], strict=True)
    ]


def test_a_column_to_tell_scores_by_must_be_there(speech: datasets.Dataset, tmp_path: Path) -> None:
    speech.save_to_disk(tmp_path / "saved")
    options = {"text_column": "transcription", "columns": RowColumns(breakdown=("speaker",))}
    refused(tmp_path / "saved", "--data.breakdown_columns", "'speaker'", "intent_class", **options)


def test_the_splits_of_a_saved_dictionary_are_told_apart(speech: datasets.Dataset, tmp_path: Path) -> None:
    parts = datasets.DatasetDict({"train": speech.select([0, 2, 3]), "test": speech.select([1])})
    parts.save_to_disk(tmp_path / "saved")
    rows = load(tmp_path / "saved", text_column="transcription").rows
    assert [row.utterance_id for row in rows] == ["train-000000", "train-000001", "train-000002"]
    (row,) = load(tmp_path / "saved", split="test", text_column="transcription").rows
    assert (row.utterance_id, row.text) == ("test-000000", speech["transcription"][1])
    refused(tmp_path / "saved", "--data.train_split or --data.eval_split", "'holdout'", "test, train", split="holdout")


def test_paths_are_relative_to_the_folder_and_stay_in_it(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"audio": ["a.wav"], "text": ["one"]}).save_to_disk(tmp_path / "saved")
    assert load(tmp_path / "saved").rows[0].audio == tmp_path / "saved" / "a.wav"
    datasets.Dataset.from_dict({"audio": ["../a.wav"], "text": ["one"]}).save_to_disk(tmp_path / "other")
    refused(tmp_path / "other", "--data.allow_outside_paths")


@pytest.fixture
def saved_paths(tmp_path: Path):
    """`saved_paths(name, ...)`: a folder whose column of audio holds paths alone."""

    def save(*paths: str | None) -> Path:
        cells = pa.array([{"bytes": None, "path": path} for path in paths], AUDIO_TYPE)
        folder = tmp_path / f"saved-{len(list(tmp_path.iterdir()))}"
        datasets.Dataset(pa.table({"audio": cells, "text": ["x"] * len(paths)})).save_to_disk(folder)
        info = json.loads((folder / "dataset_info.json").read_text())  # of audio it would want the files themselves
        info["features"]["audio"] = {"_type": "Audio"}
        (folder / "dataset_info.json").write_text(json.dumps(info))
        assert datasets.load_from_disk(str(folder)).features["audio"] == datasets.Audio()
        return folder

    return save


def test_a_column_of_audio_that_holds_paths_alone_is_resolved_and_checked_like_any_other(saved_paths) -> None:
    inside = saved_paths("a.wav", "sub/b.wav", None)
    assert [row.audio for row in load(inside).rows] == [inside / "a.wav", inside / "sub" / "b.wav", None]
    outside = saved_paths("../a.wav", str(inside / "a.wav"))
    refused(outside, "--data.allow_outside_paths", "2 files")
    rows = load(outside, allow_outside_paths=True).rows
    assert [row.audio for row in rows] == [outside / "../a.wav", inside / "a.wav"]


def test_a_split_column_selects_and_a_missing_column_is_answered_with_those_there_are(tmp_path: Path) -> None:
    table = {"audio": ["a.wav", "b.wav"], "said": ["one", "two"], "split": ["train", "test"]}
    datasets.Dataset.from_dict(table).save_to_disk(tmp_path / "saved")
    assert [row.text for row in load(tmp_path / "saved", split="test", text_column="said").rows] == ["two"]
    refused(tmp_path / "saved", "--data.text_column", "'text'", "the columns are: audio, said, split")


def test_an_empty_one_is_said_to_have_no_rows(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"audio": [], "text": []}).save_to_disk(tmp_path / "saved")
    refused(tmp_path / "saved", "--data.name_or_path", "has no rows")


@pytest.mark.parametrize("torn", ["state.json", "dataset_info.json", "data-00000-of-00001.arrow"])
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"{not json"])
def test_a_torn_folder_is_named(tmp_path: Path, torn: str, content: bytes) -> None:
    datasets.Dataset.from_dict({"audio": ["a.wav"], "text": ["one"]}).save_to_disk(tmp_path / "saved")
    (tmp_path / "saved" / torn).write_bytes(content)
    if (torn, content) == ("dataset_info.json", b"{}"):  # the table itself says what it holds
        assert len(load(tmp_path / "saved").rows) == 1
    else:
        assert "\n" not in refused(tmp_path / "saved", "--data.name_or_path", "this saved dataset can't be read")
