"""Averages of the weights at the end of a run: which becomes best/, what is recorded, and what is put back."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from accel_asr.evaluation.evaluating import Evaluation
from accel_asr.evaluation.scoring import corpus_score
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
LAST, EMA, MEAN = 1.0, 2.0, 5.0  # this number of each; the checkpoints have 3, 5 and 7
WORDS = 10


class EndOfRun:
    """A run after its last step, whose evaluations make as many errors in WORDS words as a test says."""

    def __init__(self, folder: Path, accelerator: Any, model: Any, processor: Any, errors: dict[float, int]) -> None:
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
        best = {"step": 8, "wer": 0.5, "loss": 1.0}
        self.progress = Progress(step=STEP, evaluated_step=STEP, scores={"best": best, "last": {"step": STEP}})
        self.written = WrittenBehind(accelerator, folder)
        self.metrics = MetricsLog(folder / "metrics.jsonl", accelerator=accelerator)
        snapshot = Snapshot(model, processor, is_main_process=True, written=self.written)
        outputs = RunOutputs(folder, self.metrics, SimpleNamespace(utterances=[]), self.written, snapshot)  # type: ignore[arg-type]
        plan = SimpleNamespace(order=SimpleNamespace(epochs_at=lambda step: step / 4))
        display = Display(accelerator)
        parts: tuple[Any, ...] = (
            SimpleNamespace(guards=()),
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

    def score(self, *, average_last: int | None = 3) -> None:
        checkpoints: Any = SimpleNamespace(
            average=self.average, save=lambda: self.saves.append(dict(self.progress.scores))
        )
        score_candidates(self.evaluations, checkpoints, average_last=average_last)
        self.written.wait_for_those_before(-1)

    def evaluation(self, whole: Any) -> Evaluation:
        number = _number(whole.state_dict())
        if number == self.stop_at:
            raise AgreedStopError
        wrong = self.errors[number]
        reference = ["right"] * WORDS
        scored = score_pairs([(" ".join(reference), " ".join(["wrong"] * wrong + reference[wrong:]))])
        return Evaluation(corpus_score(scored), 1.0, 0.1, scored)

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.folder / "summary.json").read_text())

    @property
    def best_number(self) -> float:
        return _number(load_file(self.folder / "best" / "model.safetensors"))


def _number(tensors: dict[str, torch.Tensor]) -> float:
    return float(tensors[WEIGHT][0])


def _fill(model: Any, number: float) -> None:
    with torch.no_grad():
        model.get_parameter(WEIGHT).fill_(number)


@pytest.fixture
def end_of_run(
    model_and_processor: Any, accelerator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., EndOfRun]]:
    """Give the errors of the moving average and of the mean; the best of training makes 5."""
    monkeypatch.setattr(checkpoint_mean, "damage_of", lambda folder: None)
    runs = []

    def make(*, ema: int, mean: int) -> EndOfRun:
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
        (5, 5, None),  # ties keep the earlier
        (4, 6, EMA),
        (6, 3, MEAN),
        (4, 3, MEAN),
        (3, 3, EMA),
    ],
)
def test_an_average_becomes_best_only_if_it_is_better(
    end_of_run: Callable[..., EndOfRun], ema: int, mean: int, best: float | None
) -> None:
    run = end_of_run(ema=ema, mean=mean)
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    averaged = run.average.tensors[WEIGHT].clone()
    run.score()
    summary = run.summary
    assert (summary["ema"]["wer"], summary["average"]["wer"]) == (ema / WORDS, mean / WORDS)
    assert (summary["ema"]["ema_decay"], summary["average"]["steps"]) == (0.99, [4, 8, STEP])
    assert len(summary["average"]["wer_interval"]) == 2
    if best is None:
        assert summary["best"]["step"] == 8
        assert not (run.folder / "best").exists()
    else:
        assert summary["best"] == summary["ema" if best == EMA else "average"]
        assert summary["best"]["weights"] == ("ema" if best == EMA else "average")
        assert run.best_number == best
    # last/ and the checkpoint are those of the last step
    assert all(torch.equal(tensor, before[name]) for name, tensor in run.model.state_dict().items())
    assert torch.equal(run.average.tensors[WEIGHT], averaged)
    assert [scores.keys() for scores in run.saves] == [{"best", "last", "ema", "average"}]


def test_their_transcripts_and_lines_stand_beside_those_of_the_steps(end_of_run: Callable[..., EndOfRun]) -> None:
    run = end_of_run(ema=4, mean=6)
    run.score()
    for name in ("ema", "average"):
        lines = (run.folder / "evaluations" / f"{name}.jsonl").read_text().splitlines()
        assert [json.loads(line)["utterance_id"] for line in lines] == ["u0"]
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
    assert run.progress.scores["best"]["weights"] == "ema"
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
    assert run.progress.scores.keys() == {"best", "last"}
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
