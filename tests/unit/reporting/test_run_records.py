"""Reading a run folder back, in whatever state it is."""

from pathlib import Path

import pytest

from accel_asr.reporting.run_records import read_run
from tests.refusals import refused
from tests.unit.evaluation.made_up_scores import score_pairs
from tests.unit.reporting.made_up_runs import a_run, edit_lines, make_run


def test_the_report_is_about_the_best_evaluation(tmp_path: Path) -> None:
    records = read_run(a_run(tmp_path / "run"))
    assert records.chosen is not None
    assert records.baseline is not None
    assert (records.chosen.step, records.baseline.step, records.is_best) == (10, 0, True)
    assert [utterance.transcript.utterance_id for utterance in records.chosen.scored] == ["u0", "u1", "u2"]
    assert records.finished


def test_another_step_may_be_asked_for(tmp_path: Path) -> None:
    records = read_run(a_run(tmp_path / "run"), step=20)
    assert records.chosen is not None
    assert (records.chosen.step, records.is_best) == (20, False)
    with refused("--step", value=15, remedy="0, 10, 20"):
        read_run(tmp_path / "run", step=15)


def test_a_folder_without_settings_is_no_run(tmp_path: Path) -> None:
    with refused("RUN_DIR", "config.yaml", value=tmp_path, remedy="output_dir"):
        read_run(tmp_path)


def test_a_run_that_has_just_begun_has_nothing_yet(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", {}, finished=False)
    for name in ("environment.json", "data_summary.json", "metrics.jsonl"):
        (folder / name).unlink()
    records = read_run(folder)
    assert (records.chosen, records.baseline, records.finished, records.last_logged_step) == (None, None, False, 0)


def test_a_line_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    folder = a_run(tmp_path / "run")
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"kind": "train", "step": 21, "lo')
    assert read_run(folder).last_logged_step == 20


def test_rows_of_an_older_version_are_one_clear_message(tmp_path: Path) -> None:
    folder = a_run(tmp_path / "run")
    edit_lines(folder / "evaluations" / "step-00000010.jsonl", lambda line: line.pop("reference_normalized"))
    path = folder / "evaluations" / "step-00000010.jsonl"
    with refused("RUN_DIR", "'reference_normalized'", value=path, remedy="accel-asr evaluate"):
        read_run(folder)


@pytest.mark.parametrize("missing", [["summary.json"], ["metrics.jsonl"], []])
def test_the_scores_survive_if_one_of_their_two_records_is_missing_or_ends_early(
    tmp_path: Path, missing: list[str]
) -> None:
    folder = a_run(tmp_path / "run")
    whole = read_run(folder)
    for name in missing:
        (folder / name).unlink()
    if not missing:
        metrics = folder / "metrics.jsonl"
        metrics.write_text(metrics.read_text(encoding="utf-8")[:120], encoding="utf-8")  # as a full disk leaves it
    records = read_run(folder)
    assert whole.chosen is not None
    assert records.chosen is not None
    assert (records.chosen.step, records.is_best) == (whole.chosen.step, True)
    assert records.chosen.record["wer"] == whole.chosen.record["wer"]
    assert records.baseline is not None


@pytest.mark.parametrize("missing", ["summary.json", "metrics.jsonl"])
def test_an_average_of_the_weights_stays_apart_from_the_step_it_was_made_at(tmp_path: Path, missing: str) -> None:
    said = [("pay the bill", "pay a bill"), ("hello", "hello")]
    evaluations = {0: score_pairs([("pay the bill", "x")] * 2), 10: score_pairs([("pay the bill", "x"), said[1]])}
    averages = {"ema": score_pairs([*said[:1], ("hello", "hi")]), "average": score_pairs(said)}
    folder = make_run(tmp_path / "run", evaluations, averages=averages)
    (folder / missing).unlink()
    records = read_run(folder)
    assert records.chosen is not None
    assert records.is_best
    assert records.chosen.record["weights"] == "average"
    assert records.chosen.record["wer"] == 0.25
    assert [utterance.transcript.hypothesis for utterance in records.chosen.scored] == ["pay a bill", "hello"]
    assert [record["weights"] for record in records.averages] == ["ema", "average"]
    assert {line["step"]: line["wer"] for line in records.eval_lines} == {0: 1.0, 10: 0.75}
    assert records.summary["last"]["wer"] == 0.75
    of_step = read_run(folder, step=10)
    assert of_step.chosen is not None
    assert (of_step.chosen.record["wer"], of_step.is_best) == (0.75, False)


@pytest.mark.parametrize("name", ["summary.json", "metrics.jsonl", "config.yaml", "evaluations/step-00000010.jsonl"])
def test_a_torn_file_is_one_clear_message(tmp_path: Path, name: str) -> None:
    folder = a_run(tmp_path / "run")
    (folder / name).write_text('{"step": [\n', encoding="utf-8")
    with refused("RUN_DIR", value=folder / name, remedy="copy"):
        read_run(folder)


def test_scores_from_before_the_yardstick_was_changed_by_a_resume_are_left_out(tmp_path: Path) -> None:
    folder = a_run(tmp_path / "run")
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if '"step": 20' in line and '"kind": "eval"' in line)
    lines.insert(first, '{"kind": "measured_otherwise", "step": 10, "epoch": 1.0}')
    (folder / "metrics.jsonl").write_text("\n".join([*lines, ""]))
    (folder / "summary.json").unlink()
    records = read_run(folder)
    assert [line["step"] for line in records.eval_lines] == [20]
    assert records.baseline is None
    assert records.chosen is not None
    assert records.chosen.step == 20
