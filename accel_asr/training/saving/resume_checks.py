"""Whether a run may resume from a checkpoint: what can't be loaded, what would change the result, what is only said."""

import math
from dataclasses import asdict
from pathlib import Path

from accel_asr.errors import UserError
from accel_asr.training.optimizers import ADAMW
from accel_asr.training.saving.checkpoint_state import Geometry, Progress, SavedState
from accel_asr.training.saving.recorded_settings import RecordedSettings, differences, differences_of_adapters

SAME_SETTINGS = "use the settings of the run's config.yaml, or another --output_dir"
_TOPOLOGY = ("num_processes", "accumulation_steps", "micro_batch_size")
_NAMES = {
    "train_utterances": "training utterances",
    "train_data": "training data (checksum)",
    "seed": "training.seed",
    "steps_per_epoch": "steps of an epoch",
    "order": "the order of training (checksum)",
}


def require_same_shape(
    folder: Path, state: SavedState, geometry: Geometry, settings: RecordedSettings, *, trained: list[list[str]]
) -> None:
    """Refuse what can't be loaded, or leaves no place to resume at, whatever the user allows.

    Raises:
        UserError: names all reasons.
    """
    before = state.geometry
    reasons = differences_of_adapters(state.recorded, settings)
    if not reasons and before.model_parameters != geometry.model_parameters:
        reasons.append(
            f"the model had {before.model_parameters:,} parameters and has {geometry.model_parameters:,} "
            "(model.name_or_path)"
        )
    # what has a rate of its own may change
    elif not reasons and _all_names(state.trained_parameters) != _all_names(trained):
        reasons.append("other weights are trained now (model.freeze)")
    optim, saved_optim = (_optimizer_of(of) for of in (settings, state.recorded))
    if optim != saved_optim:
        reasons.append(f"the optimizer was {saved_optim} and is {optim}, which can't use its state (training.optim)")
    is_streamed = 0 in (before.steps_per_epoch, geometry.steps_per_epoch)
    if is_streamed and before.num_processes != geometry.num_processes:
        reasons.append(
            "each process reads its own part of a stream, and their number has changed: "
            f"{before.num_processes} -> {geometry.num_processes}"
        )
    if is_streamed and (before.steps_per_epoch, before.train_data) != (geometry.steps_per_epoch, geometry.train_data):
        reasons.append("the data is streamed, and a place in another stream means nothing in this stream")
    if reasons:
        raise UserError(
            f"can't resume from {str(folder)!r}: {'; '.join(reasons)}",
            setting="--checkpoint.resume",
            remedy=SAME_SETTINGS,
            same_on_every_rank=True,
        )


def _optimizer_of(recorded: RecordedSettings | None) -> str:
    """By name; earlier versions had AdamW only."""
    return str(recorded.settings.get("training.optim", ADAMW) if recorded else ADAMW)


def allowed_changes(
    folder: Path, state: SavedState, geometry: Geometry, settings: RecordedSettings, *, allow_changes: bool
) -> tuple[list[str], bool]:
    """Notices of what has changed, and whether earlier scores can be compared with those to come.

    Raises:
        UserError: the result depends on a change, and changes are not allowed.
    """
    if state.recorded is None:
        if not allow_changes:
            raise UserError(
                f"{str(folder)!r} was made by an earlier version, which did not record its settings and recordings",
                setting="--checkpoint.resume",
                remedy="if they are those of this run, add --checkpoint.allow_changes true; or give another "
                "--output_dir",
                same_on_every_rank=True,
            )
        return [f"{str(folder)!r} was made by an earlier version, so its settings can't be compared"], False
    changes = differences(state.recorded, settings)
    changed, notices = _changes_of_geometry(state.geometry, geometry)
    harmless = changes.harmless
    other_data = state.geometry.train_data != geometry.train_data
    if other_data or state.recorded.validation_data != settings.validation_data:
        changed += changes.data  # one of these settings may be why
    else:
        harmless = harmless + changes.data
    refused = list(dict.fromkeys([*changed, *changes.training, *changes.yardstick]))
    if refused and not allow_changes:
        then = "; earlier scores, measured otherwise, are then put aside" if changes.yardstick else ""
        raise UserError(
            f"{str(folder)!r} was made with other settings or data, and the result depends on them:\n"
            + "\n".join(f"  {line}" for line in refused)
            + "\n",
            setting="--checkpoint.resume",
            remedy=f"{SAME_SETTINGS}; or resume all the same with --checkpoint.allow_changes true{then}",
            same_on_every_rank=True,
        )
    notices += [f"changed since the checkpoint, and allowed: {line}" for line in refused]
    notices += [f"changed since the checkpoint, the result does not depend on it: {line}" for line in harmless]
    return notices, not changes.yardstick


def require_steps_left(folder: Path, progress: Progress, settings: RecordedSettings) -> None:
    """Refuse a run that ends before the step that it would resume at.

    Raises:
        UserError: names the setting that ends it.
    """
    if progress.step > settings.last_step:
        ends = "max_steps" if settings.settings.get("training.max_steps") is not None else "num_train_epochs"
        raise UserError(
            f"ends the run at step {settings.last_step}, and {str(folder)!r} is already after step {progress.step}",
            setting=f"--training.{ends}",
            value=settings.settings.get(f"training.{ends}"),
            remedy="give more, or another --output_dir",
            same_on_every_rank=True,
        )


def _changes_of_geometry(before: Geometry, now: Geometry) -> tuple[list[str], list[str]]:
    """What makes it another run, and a notice where the same global batch is split otherwise."""
    was, values = asdict(before), asdict(now)
    changed = [f"{shown}: {was[name]} -> {values[name]}" for name, shown in _NAMES.items() if was[name] != values[name]]
    if not math.isclose(before.window_size, now.window_size):  # seconds may be fractions
        sums = f"{before.window_sum()} -> {now.window_sum()}"
        return [f"the global batch (processes x accumulation x micro-batch): {sums}", *changed], []
    if all(was[name] == values[name] for name in _TOPOLOGY):
        return changed, []
    return changed, [
        f"the checkpoint's global batch was {before.window_sum()}, this run's is {now.window_sum()}: the same, so "
        "results agree to about 1e-5, not bit for bit"
    ]


def _all_names(groups: list[list[str]]) -> set[str]:
    return {name for group in groups for name in group}
