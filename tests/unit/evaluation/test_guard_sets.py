"""Guards as they are loaded: their rows, names and margins, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from accel_asr.config.guard_settings import GuardConfig
from accel_asr.config.settings import DataConfig
from accel_asr.data.selection.utterances import Utterances
from accel_asr.evaluation.guard_sets import load_guards
from tests.refusals import refused
from tests.tiny_datasets import make_minds14_like


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = make_minds14_like(tmp_path_factory.mktemp("data"), rows=8, other_rows=0) / "en-US"
    return str(next(folder.glob("*.parquet")))


def load(encoder: Any, *guards: GuardConfig, train: Utterances | None = None, **data: Any):
    of_run = DataConfig(**{"name_or_path": "another", "text_column": "english_transcription", "eval_rows": 3, **data})
    return load_guards(guards, of_run, train=train, encoder=encoder, sampling_rate_hz=16_000, window_s=2.0)


def test_what_a_guard_leaves_unset_is_as_in_the_data_but_not_how_that_is_split(manifest: str, encoder) -> None:
    guards, notices = load(
        encoder,
        GuardConfig(name_or_path=manifest, utterances=5, margin=2),
        GuardConfig(name="bank calls", name_or_path=manifest, text_column="transcription"),
        GuardConfig(name_or_path="silence", margin=5),
        group_column="none of it has this",
        breakdown_columns=["nor this"],
        train_split="train[:3]",
    )
    first, second, silence = guards
    assert (first.margin, len(first.utterances or ())) == (0.02, 5)
    assert (second.name, second.margin, len(second.utterances or ())) == ("bank_calls", 0.01, 8)
    assert (silence.name, silence.utterances) == ("silence", None)
    assert f"guard {first.name}: kept 8 of 8 utterances; dropped none" in notices


def test_guards_of_one_source_have_names_of_their_own(manifest: str, encoder) -> None:
    guards, _ = load(encoder, *[GuardConfig(name_or_path=manifest)] * 2)
    assert len({guard.name for guard in guards}) == 2


def test_a_guard_that_is_trained_on_is_refused_unless_that_is_allowed(manifest: str, encoder) -> None:
    guard = GuardConfig(name="general", name_or_path=manifest)
    [loaded], _ = load(encoder, guard)
    with refused("--evaluation.guards", "general", "8 of 8 utterances are also trained on", remedy="other rows"):
        load(encoder, guard, train=loaded.utterances)
    assert load(encoder, guard, train=loaded.utterances, overlap="allow")[0]


def test_an_error_names_the_guard(encoder, tmp_path: Path) -> None:
    with refused("--evaluation.guards", "guard french"):
        load(encoder, GuardConfig(name="french", name_or_path=str(tmp_path / "none.csv")))
