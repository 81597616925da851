"""Averages of the weights, scored when training has ended: one that beats the best model so far becomes `best/`."""

from torch import nn

from accel_asr.run.evaluations import RunEvaluations
from accel_asr.run.run_checkpoints import RunCheckpoints
from accel_asr.training.averages import lent
from accel_asr.training.launch.sharding import sharded_like
from accel_asr.training.saving.checkpoint_mean import mean_weights, newest_intact

EMA, AVERAGE = "ema", "average"  # in summary.json


def score_candidates(evaluations: RunEvaluations, checkpoints: RunCheckpoints, *, average_last: int | None) -> None:
    """Score the moving average and the mean of the last checkpoints, where they are asked for. A collective.

    What a resumed run has scored already is left alone. Afterwards the model has the weights of the last step again,
    and the checkpoint knows which weights `best/` has.

    Raises:
        AgreedStopError: a stop was asked for; on every rank.
    """
    average, step = checkpoints.average, evaluations.progress.step
    model = evaluations.accelerator.unwrap_model(evaluations.model)
    if average.decay is not None and not _is_scored(evaluations, EMA):
        with lent(model, average.tensors):
            evaluations.evaluate_average(EMA, "moving average", {"ema_decay": average.decay}, turn=step + 1)
    if average_last is not None and not _is_scored(evaluations, AVERAGE):
        _score_mean(evaluations, model, most=average_last, turn=step + 2)
    checkpoints.save()


def _is_scored(evaluations: RunEvaluations, name: str) -> bool:
    return evaluations.progress.scores.get(name, {}).get("step") == evaluations.progress.step


def _score_mean(evaluations: RunEvaluations, model: nn.Module, *, most: int, turn: int) -> None:
    outputs, say = evaluations.outputs, evaluations.display.say_line
    outputs.written.hand_over(lambda: None, step=turn)  # on return the last checkpoint is on disk
    folders, notices = newest_intact(outputs.output_dir, step=evaluations.progress.step, most=most)
    steps = [int(folder.name.removeprefix("step-")) for folder in folders]
    if len(folders) < most:
        then = "those are averaged" if len(folders) > 1 else "nothing is averaged"
        notices.append(f"checkpoint.average_last: {most} asked for, intact checkpoints there: {len(folders)}; {then}")
    for notice in notices:
        say(notice)
    if len(folders) < 2:
        return
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    mean = {
        name: sharded_like(trained[name], tensor.to(trained[name].device))
        for name, tensor in mean_weights(folders, trained)
    }
    with lent(model, mean):
        evaluations.evaluate_average(AVERAGE, f"mean of {len(steps)} checkpoints", {"steps": steps}, turn=turn)
