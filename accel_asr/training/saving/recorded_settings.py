"""What the result of a run depends on, as its checkpoints record it, and what each difference means on resuming."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xxhash import xxh3_64_hexdigest

from accel_asr.config.settings import default_settings
from accel_asr.training.schedule import Schedule

TRAINING, YARDSTICK, BOTH = "training", "yardstick", "both"  # what a setting changes: refused unless allowed
ROUNDING, HARMLESS = "rounding", "harmless"  # said
ELSEWHERE = "elsewhere"  # compared by what it leads to: the global batch, the last step, the precision in use
# what the settings of each section change, apart from those below; a new setting is refused until known to be harmless
_OF_SECTION = {
    "model": TRAINING,
    "data": HARMLESS,  # the recordings and texts themselves are compared, and may move
    "training": TRAINING,
    "spec_augment": TRAINING,
    "lora": TRAINING,
    "augment": TRAINING,
    "evaluation": YARDSTICK,
    "checkpoint": HARMLESS,
    "tracking": HARMLESS,
    "hub": HARMLESS,
    "output_dir": HARMLESS,
}
_OF_SETTING = {
    "model.name_or_path": HARMLESS,  # its weights are compared
    "model.revision": HARMLESS,
    "model.frozen_dtype": HARMLESS,
    "model.language": BOTH,
    "model.task": BOTH,
    "data.reference_columns": YARDSTICK,
    "data.timestamps_probability": TRAINING,
    "data.previous_text_probability": TRAINING,
    "data.longest_pause_s": ELSEWHERE,  # windows are compared
    "data.long_labels": TRAINING,
    "data.no_speech_fraction": BOTH,  # with it, transcripts may be empty
    "data.no_speech_gaps": TRAINING,
    "data.streaming": TRAINING,
    "data.streaming_block_rows": TRAINING,
    "data.features_on_device": ROUNDING,
    "augment.noise_dir": TRAINING,  # the contents of the folder, which may move
    "training.max_steps": ELSEWHERE,
    "training.num_train_epochs": ELSEWHERE,
    "training.per_device_train_batch_size": ELSEWHERE,
    "training.gradient_accumulation_steps": ELSEWHERE,
    "training.batch_size": ELSEWHERE,
    "training.global_batch_size": ELSEWHERE,
    "training.batch_seconds": ELSEWHERE,
    "training.seed": ELSEWHERE,
    "training.dataloader_num_workers": HARMLESS,
    "training.deterministic": ROUNDING,
    "training.gradient_checkpointing": HARMLESS,
    "training.compile": ROUNDING,
    "training.ddp_timeout": HARMLESS,
    "evaluation.eval_on_start": HARMLESS,
    "evaluation.eval_steps": HARMLESS,
    "evaluation.guard_every": HARMLESS,
    "evaluation.no_speech": HARMLESS,
    "evaluation.word_confidence": HARMLESS,
    "evaluation.long_form": HARMLESS,  # of no weight in choosing the best
    "evaluation.long_form_recordings": HARMLESS,
    "evaluation.per_device_eval_batch_size": HARMLESS,
    "evaluation.compile_decoding": HARMLESS,
    "checkpoint.resume": ELSEWHERE,
    "checkpoint.allow_changes": ELSEWHERE,
}
# what adapters there are: with others, a checkpoint can't be loaded
_OF_ADAPTERS = ("lora.r", "lora.target_modules", "lora.use_dora", "lora.modules_to_save")
# addresses and paths may be private: only a hash of them is recorded
_NOT_SHOWN = (
    "output_dir",
    "model.name_or_path",
    "data.name_or_path",
    "data.eval_name_or_path",
    "data.no_speech_dir",
    "data.sources",
    "data.cache_dir",
    "evaluation.guards",
    "evaluation.long_form",
)


@dataclass(frozen=True)
class RecordedSettings:
    """The settings of a run by their full names, and what they led to.

    base_model: a digest of what was loaded before training. validation_data: a checksum of what is scored, and
    validation_utterances how many that are. last_step: where training ends, and with it a linear schedule.
    """

    settings: dict[str, Any]
    base_model: str
    validation_data: int
    validation_utterances: int
    last_step: int


@dataclass
class Differences:
    """Lines for the user, `setting: was -> is`.

    data: settings of the data, which are harmless where the recordings and texts that they lead to are the same.
    """

    training: list[str] = field(default_factory=list)
    yardstick: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    harmless: list[str] = field(default_factory=list)


def recorded(configuration: Mapping[str, Any], **effective: Any) -> dict[str, Any]:
    """The settings of a nested configuration by their full names, as JSON gives them back.

    Args:
        effective: What a setting came to, by its full name with `__` for the dot, such as `training__mixed_precision`.
    """
    flat: dict[str, Any] = {}
    for section, values in configuration.items():
        flat |= (
            {f"{section}.{name}": value for name, value in values.items()}
            if isinstance(values, Mapping)
            else {section: values}
        )
    flat |= {name.replace("__", "."): value for name, value in effective.items()}
    shown = {
        name: f"#{xxh3_64_hexdigest(repr(value).encode())}" if _is_private(name) and value else value
        for name, value in flat.items()
    }
    plain: dict[str, Any] = json.loads(json.dumps(shown))
    return plain


def _is_private(name: str) -> bool:
    return name in _NOT_SHOWN or name.startswith("hub.")


def differences(before: RecordedSettings, now: RecordedSettings) -> Differences:
    """What has changed between two runs, by what it changes.

    A setting that an earlier version did not have was off, as its default is. One that this version does not have
    counts as a difference.
    """
    changes = Differences()
    earlier = {**_DEFAULTS, **_with_new_names(before.settings)}
    for name in dict.fromkeys([*now.settings, *earlier]):
        was, new = earlier.get(name), now.settings.get(name)
        effect = _OF_SETTING.get(name, _OF_SECTION.get(name.partition(".")[0], TRAINING))
        if was == new or effect == ELSEWHERE:
            continue
        if isinstance(was, Mapping) and isinstance(new, Mapping):  # show only what differs
            was, new = ({key: side[key] for key in side if was.get(key) != new.get(key)} for side in (was, new))
        line = f"{name}: {_shown(was)} -> {_shown(new)}" if not _is_private(name) else f"{name}: another"
        if effect in (TRAINING, BOTH):
            changes.training.append(line)
        if effect in (YARDSTICK, BOTH):
            changes.yardstick.append(line)
        if effect == HARMLESS:
            (changes.data if name.startswith("data.") else changes.harmless).append(line)
        if effect == ROUNDING:
            changes.harmless.append(f"{line} (numbers are rounded differently: not the same bit for bit)")
    if before.base_model != now.base_model:
        changes.training.append(
            f"model.name_or_path: another base model or tokenizer: {before.base_model} -> {now.base_model}"
        )
    if before.validation_data != now.validation_data:
        changes.yardstick.append(
            f"validation data: {before.validation_utterances:,} utterances (checksum {before.validation_data}) -> "
            f"{now.validation_utterances:,} utterances (checksum {now.validation_data})"
        )
    return changes


_DEFAULTS = recorded(default_settings(), data__timestamps_probability=0.0, data__previous_text_probability=1.0)


def _with_new_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """With those renamed that an earlier version recorded, and without those that it alone had."""
    gone = ("model.freeze_encoder", "evaluation.full_context_margin")
    renamed = {name: value for name, value in settings.items() if name not in gone}
    if settings.get("model.freeze_encoder"):
        renamed["model.freeze"] = ["encoder"]
    return renamed


def differences_of_adapters(before: RecordedSettings | None, now: RecordedSettings) -> list[str]:
    """Reasons why the weights of a checkpoint do not fit this run's adapters, or the lack of them."""
    held = before.settings if before is not None else {}  # an earlier version had none
    had, has = bool(held.get("lora.enabled")), bool(now.settings.get("lora.enabled"))
    if had != has:
        what = ("adapters", "a whole model") if had else ("a whole model", "adapters")
        return ["it holds {} and this run trains {} (lora.enabled)".format(*what)]
    pairs = {name: (held.get(name), now.settings.get(name)) for name in _OF_ADAPTERS if had}
    others = [f"{name}: {_shown(was)} -> {_shown(new)}" for name, (was, new) in pairs.items() if was != new]
    return [f"its adapters are of another kind: {', '.join(others)}"] if others else []


def change_of_length(before: RecordedSettings, now: RecordedSettings, *, step: int, skipped_steps: int) -> list[str]:
    """What happens to the schedule of a run whose length changes after `step`; empty if it does not.

    Args:
        skipped_steps: Steps that the schedule does not count.
    """
    lines = []
    if before.last_step != now.last_step:
        how = "longer" if now.last_step > before.last_step else "shorter"
        lines.append(f"the run is made {how}: it ends at step {now.last_step}, and was to end at {before.last_step}")
    if 0 < step < now.last_step:
        was = _schedule(before).learning_rate(max(step - skipped_steps, 1))
        planned = _schedule(before).learning_rate(step + 1 - skipped_steps) if step < before.last_step else was
        new = _schedule(now).learning_rate(step + 1 - skipped_steps)
        if abs(new - planned) > 1e-6 * max(abs(planned), abs(new)):
            scheduler = now.settings["training.lr_scheduler_type"]
            instead = f" in place of {planned:.3g}" if step < before.last_step else ""
            lines.append(
                f"training.lr_scheduler_type: {scheduler} gives another learning rate from here on: {was:.3g} at step "
                f"{step}, {new:.3g} at step {step + 1}{instead}"
            )
    return lines


def _schedule(of: RecordedSettings) -> Schedule:
    names = ("learning_rate", "warmup_steps", "lr_scheduler_type", "lr_scheduler_kwargs")
    settings = {**_DEFAULTS, **of.settings}
    return Schedule.of_settings(last_step=of.last_step, **{name: settings[f"training.{name}"] for name in names})


def _shown(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else f"{value}"
    return text if len(text) <= 200 else f"{text[:200]}..."
