"""Averages and interpolations at the end of a run: which becomes best/, what is recorded, and what is put back."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from accel_asr.evaluation.evaluating import Evaluation
from accel_asr.evaluation.scoring import ScoredUtterance, corpus_score
from accel_asr.files.atomic_writes import write_json_lines
from accel_asr.files.run_folder import checkpoint_path
from accel_asr.ranks.agreement import AgreedStopError
from accel_asr.run.candidates import score_candidates
from accel_asr.run.display import Display
from accel_asr.run.evaluations import RunEvaluations, best_so_far
from accel_asr.run.run_outputs import RunOutputs
from accel_asr.training.averages import MovingAverage
from accel_asr.training.logs.metrics_log import MetricsLog
from accel_asr.training.saving import checkpoint_mean
from accel_asr.training.saving.checkpoint_state import Progress
from accel_asr.training.saving.snapshot import Snapshot, distinct_tensors
from accel_asr.training.saving.written_behind import WrittenBehind
from tests.unit.evaluation.made_up_scores import score_pairs

STEP = 12
WEIGHT = "model.decoder.layer_norm.bias"  # its first number tells whose weights a model has
BASE, LAST, EMA, MEAN = -1.0, 1.0, 2.0, 5.0  # this number of each; the checkpoints have 3, 5 and 7
BEST = 5  # errors of the best of training in each utterance
UTTERANCES, WORDS = 20, 10

Errors = int | tuple[int, int]  # in each utterance, or in every other one


class EndOfRun:
    """A run after its last step, whose evaluations make as many errors in WORDS words as a test says."""

    def __init__(self, folder: Path, accelerator: Any, model: Any, processor: Any, errors: dict[float, Errors]) -> None:
        self.folder, self.model, self.errors = folder, model, errors
        self.saves: list[dict[str, Any]] = []
        self.stop_at: float | None = None
        self.average = MovingAverage(model, 0.99)
        self.average.tensors[WEIGHT].fill_(EMA)
        _fill(model, LAST)
        for number, step in ((3.0, 4), (5.0, 8), (7.0, STEP)):
            checkpoint = checkpoint_path(folder, step)
            checkpoint.mkdir(parents=True)
            tensors = {name: tensor.clone() for name, tensor in distinct_tensors(model).items()}
            save_file({**tensors, WEIGHT: torch.full_like(tensors[WEIGHT], number)}, checkpoint / "model.safetensors")
        best = {"step": 8, "wer": BEST / WORDS, "loss": 1.0}
        write_json_lines(folder / "evaluations" / "step-00000008.jsonl", map(ScoredUtterance.to_json, said(BEST)))
        scores: dict[str, Any] = {"baseline": {"step": 0, "wer": 0.9}, "best": best, "last": {"step": STEP, "wer": 0.6}}
        self.progress = Progress(step=STEP, evaluated_step=STEP, scores=scores)
        self.written = WrittenBehind(accelerator, folder)
        self.metrics = MetricsLog(folder / "metrics.jsonl", accelerator=accelerator)
        snapshot = Snapshot(model, processor, is_main_process=True, written=self.written)
        outputs = RunOutputs(folder, self.metrics, SimpleNamespace(utterances=[]), self.written, snapshot)  # type: ignore[arg-type]
        plan = SimpleNamespace(order=SimpleNamespace(epochs_at=lambda step: step / 4))
        display = Display(accelerator)
        self.job = SimpleNamespace(guards=(), base_weights=None)
        parts: tuple[Any, ...] = (
            self.job,
            model,
            plan,
            None,
            accelerator,
            None,
            self.progress,
            outputs,
            display,
        )
        self.evaluations = RunEvaluations(*parts)

    def interpolate_from(self, number: float) -> None:
        """The base model has this number, and the other weights of the last step."""
        own = dict(self.model.named_parameters())

        def tensor(name: str) -> torch.Tensor:
            return torch.full_like(own[name], number) if name == WEIGHT else own[name].detach().clone()

        self.job.base_weights = SimpleNamespace(tensor=tensor)

    def score(self, *, average_last: int | None = 3) -> None:
        checkpoints: Any = SimpleNamespace(
            average=self.average,
            settings=SimpleNamespace(average_last=average_last),
            save=lambda: self.saves.append(dict(self.progress.scores)),
        )
        score_candidates(self.evaluations, checkpoints)
        self.written.wait_for_those_before(-1)

    def evaluation(self, whole: Any) -> Evaluation:
        number = _number(whole.state_dict())
        if number == self.stop_at:
            raise AgreedStopError
        scored = said(self.errors[number])
        return Evaluation(corpus_score(scored), 1.0, 0.1, scored)

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.folder / "summary.json").read_text())

    @property
    def best_number(self) -> float:
        return _number(load_file(self.folder / "best" / "model.safetensors"))


def said(errors: Errors) -> list[ScoredUtterance]:
    """UTTERANCES of WORDS words with so many errors."""
    pair = errors if isinstance(errors, tuple) else (errors, errors)
    wrong = (pair * UTTERANCES)[:UTTERANCES]
    return score_pairs(
        [(" ".join(["right"] * WORDS), " ".join(["wrong"] * n + ["right"] * (WORDS - n))) for n in wrong]
    )


def _number(tensors: dict[str, torch.Tensor]) -> float:
    return float(tensors[WEIGHT][0])


def _fill(model: Any, number: float) -> None:
    with torch.no_grad():
        model.get_parameter(WEIGHT).fill_(number)


@pytest.fixture
def end_of_run(
    model_and_processor: Any, accelerator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., EndOfRun]]:
    """Give the errors of the moving average and of the mean; the best of training makes BEST."""
    monkeypatch.setattr(checkpoint_mean, "damage_of", lambda folder: None)
    runs = []

    def make(*, ema: Errors = 0, mean: Errors = 0) -> EndOfRun:
        run = EndOfRun(tmp_path, accelerator, *model_and_processor, {EMA: ema, MEAN: mean})
        monkeypatch.setattr(RunEvaluations, "_score", run.evaluation)
        runs.append(run)
        return run

    yield make
    for run in runs:
        with run.written:
            run.metrics.close()


@pytest.mark.parametrize(
    ("ema", "mean", "best"),
    [
        (6, 7, None),
        (5, 5, None),
        (4, 6, EMA),
        (6, 3, MEAN),
        (4, 3, MEAN),
        (3, 3, EMA),  # ties keep the earlier
        ((0, 9), 6, None),  # 0.5 fewer on average, which could be chance
        ((0, 7), (3, 6), None),
        ((0, 9), 4, MEAN),
        ((3, 4), (1, 3), MEAN),
    ],
)
def test_an_average_becomes_best_only_if_it_is_better_beyond_chance(
    end_of_run: Callable[..., EndOfRun], ema: Errors, mean: Errors, best: float | None
) -> None:
    run = end_of_run(ema=ema, mean=mean)
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    averaged = run.average.tensors[WEIGHT].clone()
    run.score()
    summary = run.summary
    for name, errors in (("ema", ema), ("average", mean)):
        wer = (sum(errors) / 2 if isinstance(errors, tuple) else errors) / WORDS
        assert summary[name]["wer"] == pytest.approx(wer)
        assert summary[name]["versus_best"]["difference"] == pytest.approx(wer - BEST / WORDS)
        assert summary[name]["versus_best"]["step"] == 8
    assert (summary["ema"]["ema_decay"], summary["average"]["steps"]) == (0.99, [4, 8, STEP])
    assert len(summary["average"]["wer_interval"]) == 2
    if best is None:
        assert summary["best"]["step"] == 8
        assert not (run.folder / "best").exists()
    else:
        assert summary["best"] == summary["ema" if best == EMA else "average"]
        assert run.best_number == best
    # last/ and the checkpoint are those of the last step
    assert all(torch.equal(tensor, before[name]) for name, tensor in run.model.state_dict().items())
    assert torch.equal(run.average.tensors[WEIGHT], averaged)
    assert run.saves[-1] == run.progress.scores
    assert summary == json.loads(json.dumps(run.progress.scores))


ALPHAS = {0.25: -0.5, 0.5: 0.0, 0.75: 0.5}  # alpha -> the number between BASE and LAST


def test_interpolations_are_scored_twice_as_densely_around_the_best(end_of_run: Callable[..., EndOfRun]) -> None:
    run = end_of_run()
    run.average = MovingAverage(run.model, None)
    run.interpolate_from(BASE)
    run.errors |= {-0.5: 6, 0.0: 2, 0.5: 3, -0.25: 4, 0.25: 1}
    run.score(average_last=None)
    summary = run.summary
    alphas = [record["alpha"] for record in summary.values() if "alpha" in record and record is not summary["best"]]
    assert alphas == [0.25, 0.5, 0.75, 0.375, 0.625]  # the baseline and the last are not scored again
    assert (summary["best"]["weights"], summary["best"]["wer"]) == ("alpha-0.625", 0.1)
    assert run.best_number == 0.25
    assert _number(run.model.state_dict()) == LAST
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["alpha"]) for line in lines] == [("eval_interpolation", alpha) for alpha in alphas]
    assert {path.name for path in (run.folder / "evaluations").glob("alpha-*")} == {
        f"alpha-{alpha:g}.jsonl" for alpha in alphas
    }


def test_one_that_holds_the_guard_which_the_last_model_breaks_wins_by_any_amount(
    end_of_run: Callable[..., EndOfRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = end_of_run()
    run.average = MovingAverage(run.model, None)
    run.interpolate_from(BASE)
    # (0, 9) is 0.5 fewer errors than the best of training, which could be chance
    run.errors |= {-0.5: 6, 0.0: (0, 9), 0.5: 2, -0.25: 6, 0.25: 3}

    def records(*_: object) -> dict[str, Any]:
        change = max(0.0, (_number(run.model.state_dict()) - BASE) / 40)  # 0.05 of the last, and 0.025 half way
        return {"guards": {"general": {"rate": change, "change": change, "margin": 0.03, "held": change <= 0.03}}}

    monkeypatch.setattr(RunEvaluations, "_guard_records", records)
    run.progress.scores["last"] |= records()
    run.score(average_last=None)
    assert {name: record["guards"]["general"]["held"] for name, record in run.summary.items() if "alpha-" in name} == {
        "alpha-0.25": True,
        "alpha-0.5": True,
        "alpha-0.75": False,
        "alpha-0.375": True,
        "alpha-0.625": False,
    }
    assert run.summary["best"]["weights"] == "alpha-0.5"
    assert run.summary["best"]["versus_best"]["interval"][1] > 0
    assert run.summary["unguarded"]["weights"] == "alpha-0.75"
    assert run.best_number == 0.0


def test_a_stopped_search_goes_on_where_it_was(end_of_run: Callable[..., EndOfRun]) -> None:
    run = end_of_run()
    run.average = MovingAverage(run.model, None)
    run.interpolate_from(BASE)
    run.errors |= {-0.5: 6, 0.0: 2, 0.5: 3, -0.25: 4, 0.25: 1}
    run.stop_at = -0.25
    with pytest.raises(AgreedStopError):
        run.score(average_last=None)
    assert run.progress.scores["best"]["step"] == 8  # nothing is chosen before all are scored
    assert [len(scores) for scores in run.saves] == [4, 5, 6]  # saved after each
    run.stop_at = None
    for number in (-0.5, 0.0, 0.5):
        del run.errors[number]  # scoring one of these again would fail
    run.score(average_last=None)
    assert run.best_number == 0.25


def test_those_of_the_end_of_a_shorter_run_are_forgotten(end_of_run: Callable[..., EndOfRun]) -> None:
    run = end_of_run(ema=6, mean=7)
    run.progress.scores["alpha-0.5"] = {
        "step": 8,
        "weights": "alpha-0.5",
        "alpha": 0.5,
        "wer": 0.0,
        "versus_best": None,
    }
    run.score()
    assert "alpha-0.5" not in run.summary


def test_their_transcripts_and_lines_stand_beside_those_of_the_steps(end_of_run: Callable[..., EndOfRun]) -> None:
    run = end_of_run(ema=4, mean=6)
    run.score()
    for name in ("ema", "average"):
        lines = (run.folder / "evaluations" / f"{name}.jsonl").read_text().splitlines()
        assert len(lines) == UTTERANCES
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["step"], line["weights"], line["wer"]) for line in lines] == [
        ("eval_ema", STEP, "ema", 0.4),
        ("eval_average", STEP, "average", 0.6),
    ]


def test_one_that_was_scored_before_a_stop_is_not_scored_again(end_of_run: Callable[..., EndOfRun]) -> None:
    run = end_of_run(ema=4, mean=3)
    run.stop_at = MEAN
    with pytest.raises(AgreedStopError):
        run.score()
    assert "ema" in run.progress.scores
    assert _number(run.model.state_dict()) == LAST  # what the stop saves
    run.stop_at = EMA  # it would stop again
    run.score()
    assert run.progress.scores["best"]["weights"] == "average"


@pytest.mark.parametrize(("there", "words"), [(2, "those are averaged"), (1, "nothing is averaged")])
def test_fewer_checkpoints_than_asked_for_are_said_to_be_fewer(
    end_of_run: Callable[..., EndOfRun], capsys: pytest.CaptureFixture[str], there: int, words: str
) -> None:
    run = end_of_run(ema=6, mean=6)
    run.errors[6.0] = 2  # the mean of the last two
    for step in (4, 8)[: 3 - there]:
        (checkpoint_path(run.folder, step) / "model.safetensors").unlink()
        checkpoint_path(run.folder, step).rmdir()
    run.score()
    said = " ".join(capsys.readouterr().out.split())
    assert f"checkpoint.average_last: 3 asked for, intact checkpoints there: {there}" in said
    assert words in said
    assert run.summary.get("average", {}).get("steps") == ([8, STEP] if there == 2 else None)


def test_nothing_is_scored_unless_it_is_asked_for(end_of_run: Callable[..., EndOfRun]) -> None:
    run = end_of_run(ema=0, mean=0)
    run.average = MovingAverage(run.model, None)
    run.score(average_last=None)
    assert run.progress.scores.keys() == {"baseline", "best", "last"}
    assert (run.folder / "metrics.jsonl").read_text() == ""


@pytest.mark.parametrize(
    ("wer", "baseline", "words"),
    [
        (0.5, None, "best so far"),
        (0.5, 0.6, "best so far"),
        (0.6, 0.6, "best so far, no better than the baseline"),
        (0.7, 0.6, "best so far, worse than the baseline"),
        (float("nan"), 0.6, "best so far"),
    ],
)
def test_the_best_so_far_may_be_worse_than_the_untouched_model(wer: float, baseline: float | None, words: str) -> None:
    assert best_so_far({"wer": wer}, None if baseline is None else {"wer": baseline}) == words
