"""The folder of an evaluation: what is refused before work begins, and that nothing of the user is lost."""

import errno
import json
import tempfile
from pathlib import Path

import pytest

from accel_asr.evaluation.evaluating import Evaluation
from accel_asr.evaluation.evaluation_sets import EvaluationSet
from accel_asr.evaluation.scoring import corpus_score
from accel_asr.evaluation.set_results import SetResult
from accel_asr.run.evaluation_output import require_free, require_place, write_scores
from tests.refusals import refused
from tests.unit.evaluation.made_up_scores import score_pairs


def result_of(name: str) -> SetResult:
    scored = score_pairs([("a", "b"), ("c", "c")])
    evaluated = EvaluationSet(name, "calls", "test", None, utterances=None)  # type: ignore[arg-type]
    return SetResult(evaluated, Evaluation(corpus_score(scored), loss=1.0, seconds=1.0, scored=scored))


def write(folder: Path, models: list[str], set_names: list[str]) -> None:
    results = {model: [result_of(name) for name in set_names] for model in models}
    write_scores(folder, {"environment": {}}, results, {}, {model: {"language": model} for model in models})


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_in_the_place_of_the_folder_is_refused_before_any_work(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with refused("--output_dir", "can't be written", value=tmp_path / name, remedy="give another folder"):
        require_place(tmp_path / name, overwrite=True)


def test_a_folder_that_may_not_be_written_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path) -> None:  # noqa: A002 - as the library names it; root may write anywhere, so it is played
        raise PermissionError(errno.EACCES, "Permission denied", str(dir))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with refused("--output_dir", "can't be written"):
        require_place(tmp_path / "new", overwrite=False)


def test_a_new_place_is_fine_and_not_made_yet(tmp_path: Path) -> None:
    require_place(tmp_path / "a" / "b", overwrite=False)
    assert names_in(tmp_path) == set()
    assert not (tmp_path / "a").exists()


def test_a_manifest_is_never_replaced_by_the_transcripts_of_it(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text("{}")
    for overwrite in (False, True):
        with refused("--output_dir", "'test.jsonl'", remedy="give another folder"):
            require_free(
                tmp_path, ["test"], sources=[str(tmp_path / "test.jsonl")], overwrite=overwrite, has_other=False
            )


def test_files_of_others_are_replaced_only_when_told_to(tmp_path: Path) -> None:
    (tmp_path / "against").mkdir()
    (tmp_path / "against" / "test.jsonl").write_text("{}")
    with refused("--output_dir", "'against/test.jsonl'", remedy="or add --overwrite"):
        require_free(tmp_path, ["test"], sources=["calls"], overwrite=False, has_other=True)
    require_free(tmp_path, ["test"], sources=["calls"], overwrite=True, has_other=True)
    require_free(tmp_path, ["test"], sources=["calls"], overwrite=False, has_other=False)


def test_transcripts_of_the_evaluation_before_do_not_stay_beside_new_scores(tmp_path: Path) -> None:
    write(tmp_path, ["one", "two"], ["calls", "digits"])
    (tmp_path / "notes.jsonl").write_text("mine")
    write(tmp_path, ["one"], ["calls"])
    assert names_in(tmp_path) == {"scores.json", "calls.jsonl", "notes.jsonl"}
    assert list(json.loads((tmp_path / "scores.json").read_text())["sets"]) == ["calls"]


@pytest.mark.parametrize("torn", ["", "{", "[]", '{"sets": ["../mine"]}'])
def test_torn_scores_are_replaced_and_nothing_outside_is_touched(tmp_path: Path, torn: str) -> None:
    (tmp_path / "mine.jsonl").write_text("x")
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "scores.json").write_text(torn)
    write(tmp_path / "scores", ["one"], ["calls"])
    assert names_in(tmp_path) == {"mine.jsonl", "scores/scores.json", "scores/calls.jsonl"}


def test_both_models_say_how_they_were_decoded(tmp_path: Path) -> None:
    write(tmp_path, ["one", "two"], ["calls"])
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert (scores["decoding"], scores["against"]["decoding"]) == ({"language": "one"}, {"language": "two"})
    assert list(scores)[:3] == ["model", "decoding", "environment"]


def test_what_can_not_be_written_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "calls.jsonl").mkdir()  # found only when the file is put in its place
    with refused("--output_dir", "can't be written", value=tmp_path):
        write(tmp_path, ["one"], ["calls"])
