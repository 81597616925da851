"""Names of sources on the command line, and the sets that they become."""

from pathlib import Path

import pytest

from accel_asr.config.settings import DataConfig
from accel_asr.errors import UserError
from accel_asr.evaluation.evaluation_sets import DatasetName, load_evaluation_sets
from tests.tiny_datasets import make_minds14_like


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("calls/test.csv", ("calls/test.csv", "test")),
        ("PolyAI/minds14@train", ("PolyAI/minds14", "train")),
        ("PolyAI/minds14@train[450:]", ("PolyAI/minds14", "train[450:]")),
        ("quickstart@train[:90%]", ("quickstart", "train[:90%]")),
        ("me@home/clips.csv", ("me@home/clips.csv", "test")),  # no split has a slash
        ("@x", ("@x", "test")),
    ],
)
def test_a_source_and_its_split(given: str, expected: tuple[str, str]) -> None:
    name = DatasetName.parse(given)
    assert (name.name_or_path, name.split) == expected


def test_what_exists_is_a_path_whatever_is_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "calls@night"
    folder.mkdir()
    assert DatasetName.parse(str(folder)) == DatasetName(str(folder), "test")


def sets_of(manifest: Path, encoder, *datasets: DatasetName, **more):
    data = DataConfig(name_or_path=str(manifest), text_column="english_transcription", eval_rows=3)
    return load_evaluation_sets(data, datasets, encoder=encoder, sampling_rate_hz=16_000, window_s=2.0, seed=0, **more)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return next((make_minds14_like(tmp_path_factory.mktemp("data"), rows=8, other_rows=0) / "en-US").glob("*.parquet"))


def test_all_rows_of_each_source_and_names_that_are_not_the_same(manifest: Path, encoder) -> None:
    name = DatasetName(str(manifest), "train")
    sets, notices = sets_of(manifest, encoder, name, name)
    assert [len(one.utterances) for one in sets] == [8, 8]
    assert len({one.name for one in sets}) == 2
    assert all("/" not in one.name for one in sets)
    assert sum("kept 8 of 8 utterances" in notice for notice in notices) == 2


def test_without_a_source_the_validation_rows_of_the_settings(manifest: Path, encoder) -> None:
    (only,), _ = sets_of(manifest, encoder)
    assert (only.name, only.split, len(only.utterances)) == ("validation", "train, held out", 3)


def test_only_the_first_utterances(manifest: Path, encoder) -> None:
    sets, _ = sets_of(manifest, encoder, DatasetName(str(manifest), "train"), most_utterances=2)
    assert len(sets[0].utterances) == 2
    chosen = sets[0].only([sets[0].utterances.ids()[1], "no such"])
    assert chosen.utterances.ids() == sets[0].utterances.ids()[1:2]


def test_a_source_that_is_not_there_is_refused(manifest: Path, encoder) -> None:
    with pytest.raises(UserError, match=r"missing\.csv"):
        sets_of(manifest, encoder, DatasetName("missing.csv"))
