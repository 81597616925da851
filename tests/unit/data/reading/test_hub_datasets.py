"""Answers of `datasets` and the Hub, each turned into rows or into one message with the remedy."""

from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet
import pytest

from accel_asr.data.reading.hub_datasets import open_hub_dataset
from accel_asr.data.reading.saved_datasets import table_of
from accel_asr.data.reading.source_table import DatasetCell
from tests.refusals import refused
from tests.tiny_datasets import make_minds14_like
from tests.unit.data import local_sources

SCRIPT_REFUSED = "Dataset scripts are no longer supported, but found minds14.py"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch):
    """`answer(*answers)`: what load_dataset gives or raises, call by call; returns the list of calls."""

    def answer(*answers: Any) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []
        left = iter(answers)

        def load_dataset(name: str, subset: str | None = None, **options: Any) -> datasets.Dataset:
            calls.append({"name": name, "subset": subset, **options})
            given = next(left)
            if isinstance(given, Exception):
                raise given
            return given

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        return calls

    return answer


def dataset_of(**columns: list) -> datasets.Dataset:
    return datasets.Dataset.from_dict(columns)


def load(*, subset: str | None = "en-US", revision: str | None = None):
    """The table of the dataset and the notices, as `read_source` takes them."""
    dataset, notices = open_hub_dataset("lab/speech", subset=subset, revision=revision, split="train")
    return table_of(dataset), notices


def test_a_dataset_is_asked_for_by_subset_revision_and_split(hub) -> None:
    calls = hub(dataset_of(audio=["a"], text=["one"]))
    table, notices = load(revision="v1")
    asked = {"name": "lab/speech", "subset": "en-US", "revision": "v1", "split": "train", "streaming": False}
    assert calls == [asked]
    assert (table, notices) == ({"audio": ["a"], "text": ["one"]}, [])


def test_audio_is_left_encoded(hub, tmp_path: Path) -> None:
    parquet = make_minds14_like(tmp_path, rows=2) / "en-US" / "train-00000-of-00001.parquet"
    dataset = datasets.Dataset(pyarrow.parquet.read_table(parquet))
    assert dataset.features["audio"] == datasets.Audio(sampling_rate=8_000)  # decoding it would want torchcodec
    hub(dataset, dataset)
    table, _ = load()
    assert table["audio"] == [DatasetCell(0, "en-US~ABROAD/00000.wav"), DatasetCell(1, "en-US~ADDRESS/00001.wav")]
    source = local_sources.load("lab/speech", text_column="transcription")
    assert [source.dataset_audio.get(row.audio.row)[:4] for row in source.rows] == [b"RIFF", b"RIFF"]


def test_rows_are_named_by_split_and_number(hub) -> None:
    hub(dataset_of(audio=[{"bytes": b"1", "path": "x"}, {"bytes": b"2", "path": "x"}], text=["one", "two"]))
    source = local_sources.load("lab/speech", subset="en-US")
    assert [row.utterance_id for row in source.rows] == ["train-000000", "train-000001"]


def test_a_loading_script_is_not_run_but_read_from_its_parquet_copy_by_folder(hub) -> None:
    calls = hub(RuntimeError(SCRIPT_REFUSED), dataset_of(audio=["a"], text=["one"]))
    table, notices = load()
    second = calls[1]
    assert second == {
        "name": "lab/speech",
        "subset": None,
        "data_dir": "en-US",
        "revision": "refs/convert/parquet",
        "split": "train",
        "streaming": False,
    }
    assert table["text"] == ["one"]
    assert "holds a loading script, which is not run" in notices[0]


def test_a_loading_script_without_a_subset_would_mix_all_subsets(hub) -> None:
    hub(RuntimeError(SCRIPT_REFUSED))
    with refused("--data.subset", "'lab/speech' holds a loading script"):
        load(subset=None)


def test_another_runtime_error_is_not_hidden(hub) -> None:
    hub(RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        load()


@pytest.mark.parametrize(
    ("error", "setting", "remedy"),
    [
        (datasets.exceptions.DatasetNotFoundError("it doesn't exist"), "--data.name_or_path", "hf auth"),
        (
            ValueError("BuilderConfig 'en-XX' not found. Available: ['en-US', 'de-DE']\nmore"),
            "--data.subset, --data.train_split, --data.eval_split",
            "de-DE",
        ),
        (ConnectionError("Couldn't reach the Hub"), "--data.name_or_path", "--config quickstart"),
        (OSError("disk full"), "--data.name_or_path", "--data.name_or_path <folder>"),
    ],
)
def test_errors_become_one_line_with_setting_and_remedy(hub, error: Exception, setting: str, remedy: str) -> None:
    hub(error)
    with refused(setting, "'lab/speech'", remedy):
        load()


# -- what rows name


def test_a_row_may_name_a_file_that_was_downloaded_and_no_other(hub, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_CACHE_HOME", str(tmp_path / "hf"))
    downloaded = tmp_path / "hf" / "hub" / "one.wav"
    hub(dataset_of(audio=[str(downloaded)], text=["one"]))
    assert [row.audio for row in local_sources.load("lab/speech").rows] == [downloaded]
    hub(dataset_of(audio=[str(downloaded), "/etc/hostname", "../../secret.wav"], text=["one", "two", "three"]))
    with refused("--data.allow_outside_paths", "2 files ('/etc/hostname', '../../secret.wav')"):
        local_sources.load("lab/speech")


def test_bare_audio_files_that_datasets_can_not_encode_are_answered_with_how_to_get_them(hub) -> None:
    error = datasets.exceptions.DatasetGenerationError("An error occurred while generating the dataset")
    error.__cause__ = ImportError("To support encoding audio data, please install 'torchcodec'.")
    hub(error)
    remedy = "`hf download lab/speech --repo-type dataset --local-dir <folder>`"
    with refused("--data.name_or_path", "(To support encoding audio data", remedy=remedy):
        load()
