"""Ranges and combinations of settings, checked before anything heavy is imported; every problem is reported at once."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from importlib.util import find_spec
from typing import Any, get_args

from accel_asr.config.augmentation_settings import augment_errors
from accel_asr.config.fallback_settings import fallback_errors
from accel_asr.config.guard_settings import guard_errors
from accel_asr.config.lora_settings import lora_errors
from accel_asr.config.scheduler_arguments import scheduler_errors
from accel_asr.config.setting_limits import name_errors, range_errors
from accel_asr.config.settings import Config, DataConfig, HubConfig, TrackingConfig, settings_of
from accel_asr.config.trained_parts import freeze_errors, multiplier_errors
from accel_asr.config.training_settings import TrainingConfig
from accel_asr.console.public_text import HIDDEN
from accel_asr.errors import UserError, raise_all

MOST_WEIGHT = 10**6  # of a source against the others; beyond it the others would hardly be heard
_SOURCES = "--data.sources"


def check_config(config: Config) -> None:
    """Check ranges and combinations.

    Raises:
        UserError: naming every setting that is wrong, its value and the remedy, all at once.
    """
    raise_all([*_null_errors(config), *_hidden_errors(config.to_dict())])
    raise_all(
        [
            *range_errors(config.to_dict()),
            *name_errors(config.to_dict()),
            *_table_errors("--data.text.replacements", config.data.text.replacements),
            *_table_errors("--model.language_stand_ins", config.model.language_stand_ins),
            *scheduler_errors(config.training.lr_scheduler_type, config.training.lr_scheduler_kwargs),
            *freeze_errors(config.model.freeze),
            *multiplier_errors(config.training.learning_rate_multipliers, freeze=config.model.freeze),
            *_source_errors(config.data),
            *_validation_errors(config.data),
            *guard_errors(config.evaluation.guards, has_baseline=config.evaluation.eval_on_start),
            *fallback_errors(config.evaluation.long_form_decoding),
            *_combination_errors(config),
            *_frozen_dtype_errors(config),
            *lora_errors(config.lora),
            *_switched_off_errors(config),
            *_no_speech_errors(config),
            *_stitching_errors(config),
            *augment_errors(config.augment, cache_encoder_outputs=config.model.cache_encoder_outputs),
            *_optimizer_errors(config.training),
            *_tracking_errors(config.tracking),
            *_hub_errors(config.hub, has_adapter=config.lora.enabled),
        ]
    )


def _null_errors(config: Config) -> Iterator[UserError]:
    """Settings that are null and may not be: the parser lets a null pass anywhere."""
    needed = [(f"--{name}", setting, _value(config, name)) for name, setting in settings_of(Config)]
    for number, source in enumerate(config.data.sources or (), start=1):
        place = f"{_SOURCES}: {{}} of source {number}"
        needed += [(place.format(setting.name), setting, getattr(source, setting.name)) for setting in fields(source)]
    for number, guard in enumerate(config.evaluation.guards or (), start=1):
        place = f"--evaluation.guards: {{}} of guard {number}"
        needed += [(place.format(setting.name), setting, getattr(guard, setting.name)) for setting in fields(guard)]
    for place, setting, value in needed:
        if value is None and type(None) not in get_args(setting.type):
            remedy = "give a value, or leave it out for the default"
            yield UserError("null does not fit", setting=place, remedy=remedy)


def _hidden_errors(settings: Mapping[str, Any], prefix: str = "--") -> Iterator[UserError]:
    """Addresses from a run's config.yaml, where what may be a secret is left out."""
    for name, value in settings.items():
        setting = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _hidden_errors(value, f"{setting}.")
        elif HIDDEN in repr(value):
            yield UserError(
                "lacks the secret part of an address, which no run writes down",
                setting=setting,
                value=value,
                remedy=f"give the whole address again by {setting}",
            )


def _table_errors(setting: str, table: Mapping[Any, Any]) -> Iterator[UserError]:
    """What is wrong with a table of texts by texts; the parser looks at the values only, and lets any text pass."""
    for old, new in table.items():
        if not isinstance(old, str) or not isinstance(new, str):
            yield UserError("both must be texts", setting=setting, value={old: new}, remedy="put them in quotes")
        elif not old:
            remedy = "write what is to be replaced, or leave it out"
            yield UserError("an empty text can't be replaced", setting=setting, value={old: new}, remedy=remedy)


def _source_errors(data: DataConfig) -> Iterator[UserError]:
    """What is wrong with the list of sources, or that there is none."""
    if not data.sources:
        if data.name_or_path is None:
            yield UserError(
                "is not set",
                setting="--data.name_or_path",
                remedy="give a Hub dataset, a folder of audio, a manifest, or quickstart, or several of them by "
                + _SOURCES,
            )
        return
    if data.name_or_path is not None:
        yield UserError(
            f"does not go with {_SOURCES}",
            setting="--data.name_or_path",
            value=data.name_or_path,
            remedy="put all into the list",
        )
    for number, source in enumerate(data.sources, start=1):
        if not source.name_or_path:
            remedy = "give a Hub dataset, a folder or a manifest"
            yield UserError(f"source {number} has no name_or_path", setting=_SOURCES, remedy=remedy)
    replayed = [source.weight for source in data.sources if source.replay]
    if any(weight is None or not 0 < weight < 1 for weight in replayed) or sum(filter(None, replayed)) >= 1:
        remedy = "give each replayed source the share of an epoch that it fills, such as 0.2; together below 1"
        yield UserError(f"the weights of replayed sources are {replayed}", setting=_SOURCES, remedy=remedy)
    weights = [source.weight for source in data.sources if not source.replay]
    if any(weight is not None and not 0 < weight <= MOST_WEIGHT for weight in weights):
        remedy = f"give finite numbers above 0, and at most {MOST_WEIGHT:,}"
        yield UserError(f"the weights {weights} are out of range", setting=_SOURCES, remedy=remedy)
    elif None in weights and any(weights):
        remedy = "give every source a weight, or none to train on every row"
        yield UserError(f"the weights are {weights}", setting=_SOURCES, remedy=remedy)
    if not weights:
        yield UserError("all of them are replayed", setting=_SOURCES, remedy="add the source that is to be learnt")
    elif not any(source.validate and not source.replay for source in data.sources):
        yield UserError(
            "validate is false for all of them", setting=_SOURCES, remedy="leave some source to validate on"
        )


def _validation_errors(data: DataConfig) -> Iterator[UserError]:
    """What is wrong with how the validation set is chosen: there is exactly one way."""
    if data.eval_fraction is not None and not 0 < data.eval_fraction < 1:
        remedy = "give a share between 0 and 1, such as 0.1"
        yield UserError("is out of range", setting="--data.eval_fraction", value=data.eval_fraction, remedy=remedy)
        return
    ways = ("eval_split", "eval_name_or_path", "train_rows", "eval_fraction", "eval_rows")
    chosen = {f"--data.{name}": getattr(data, name) for name in ways if getattr(data, name) is not None}
    if data.eval_name_or_path is not None:
        chosen.pop("--data.eval_split", None)  # it names the split of that
    of_sources = {
        f"{_SOURCES}: {name}": getattr(source, name)
        for source in data.sources
        for name in ("eval_split", "eval_name_or_path")
        if getattr(source, name) is not None
    }
    if of_sources and (data.eval_split is None or data.eval_name_or_path is not None):
        chosen |= dict([*of_sources.items()][:1])
    remedy = f"set exactly one of {', '.join(f'--data.{name}' for name in ways)}"
    if not chosen:
        problem = "is not set, and nothing else says what to validate on"
        yield UserError(problem, setting="--data.eval_fraction", remedy=f"{remedy}, such as --data.eval_fraction 0.1")
    elif len(chosen) > 1:
        (setting, value), (other, other_value), *_ = chosen.items()
        yield UserError(f"does not go with {other} {other_value}", setting=setting, value=value, remedy=remedy)
    elif data.group_column is not None and data.train_rows is not None:
        yield UserError(
            f"does not go with --data.train_rows {data.train_rows}, which says already what is held out",
            setting="--data.group_column",
            value=data.group_column,
            remedy="set --data.eval_fraction or --data.eval_rows instead, or leave out --data.group_column",
        )


_ROWS_FIRST = "which does not know all rows first"
# for each setting those that do not go with it, and why
_NOT_TOGETHER: dict[str, dict[str, str]] = {
    "data.streaming": {
        "data.sources": "which reads one source",
        "data.train_rows": _ROWS_FIRST,
        "data.eval_fraction": _ROWS_FIRST,
        "data.group_column": _ROWS_FIRST,
        "data.timestamps_probability": _ROWS_FIRST,
        "data.previous_text_probability": _ROWS_FIRST,
        "data.no_speech_fraction": _ROWS_FIRST,
        "training.group_by_length": _ROWS_FIRST,
        "training.batch_seconds": _ROWS_FIRST,
        "training.pack": _ROWS_FIRST,
    },
    "data.join_segments": {
        "data.streaming": "which joins rows that it knows all of",
        "data.reference_columns": "which joins the texts to learn alone",
        "data.keywords_column": "which joins the texts to learn alone",
    },
    "training.batch_seconds": {
        "training.batch_size": "which fills micro-batches by seconds",
        "training.global_batch_size": "which fills global batches by seconds",
    },
    "training.pack": {
        "training.group_by_length": "which makes all windows about equally long",
        "training.batch_seconds": "which fills windows itself: training.per_device_train_batch_size counts them",
    },
    "model.frozen_dtype": {
        "model.cache_encoder_outputs": "which would round the encoder that computes them",
        "lora.use_dora": "which would round the weights whose lengths it trains",
    },
    "checkpoint.interpolate": {"lora.use_dora": "which scales what adapters add, and DoRA adds nothing that scales"},
    "model.cache_encoder_outputs": {
        "data.streaming": "which needs the same clips in each epoch",
        "training.pack": "which needs the same windows in each epoch",
        "training.audio_context": "which keeps the encoder's outputs for the whole window",
        "training.compile": "with which the encoder is not in the training steps",
        "spec_augment.enabled": "which needs the same features in each epoch",
        "data.no_speech_fraction": "which needs the same clips in each epoch",
    },
}


def _combination_errors(config: Config) -> Iterator[UserError]:
    """Settings that do not go together, and those that another one needs."""
    if config.data.streaming:
        for name in ("training.max_steps", "evaluation.eval_steps"):
            if _value(config, name) is None:
                problem = "is not set, and --data.streaming needs it: a stream has no epochs to count"
                yield UserError(problem, setting=f"--{name}", remedy="give a number of optimizer steps")
    for other, names in _NOT_TOGETHER.items():
        for name, why in names.items():
            value = _value(config, name)
            if _is_on(_value(config, other)) and _is_on(value):
                yield UserError(
                    f"does not go with --{other}, {why}",
                    setting=f"--{name}",
                    value=None if isinstance(value, list) else value,
                    remedy="leave out one of them",
                )
    kept = config.checkpoint.save_total_limit
    if (config.checkpoint.average_last or 0) > kept:
        yield UserError(
            "keeps fewer checkpoints than --checkpoint.average_last averages",
            setting="--checkpoint.save_total_limit",
            value=kept,
            remedy=f"give {config.checkpoint.average_last}, or lower --checkpoint.average_last",
        )
    if config.training.early_stopping_threshold and config.training.early_stopping_patience is None:
        yield UserError(
            "does nothing without --training.early_stopping_patience",
            setting="--training.early_stopping_threshold",
            value=config.training.early_stopping_threshold,
            remedy="add --training.early_stopping_patience 3, or leave it out",
        )
    if config.evaluation.compile_decoding and config.evaluation.num_beams > 1:
        yield UserError(
            "does not go with --evaluation.compile_decoding: transformers compiles no beam search",
            setting="--evaluation.num_beams",
            value=config.evaluation.num_beams,
            remedy="leave out one of them",
        )
    if config.evaluation.keywords_prompt and not config.evaluation.keywords:
        yield UserError(
            "needs keywords",
            setting="--evaluation.keywords_prompt",
            value=True,
            remedy="add --evaluation.keywords [Anna, IBAN], or leave it out",
        )
    if config.model.cache_encoder_outputs and "encoder" not in config.model.freeze:
        yield UserError(
            "needs an encoder that is not trained",
            setting="--model.cache_encoder_outputs",
            value=True,
            remedy="add --model.freeze [encoder], or leave it out",
        )


_SECTIONS_OFF_UNLESS_ENABLED = ("lora", "spec_augment")


def _switched_off_errors(config: Config) -> Iterator[UserError]:
    """Settings of a section that is not enabled, which would do nothing."""
    for section in _SECTIONS_OFF_UNLESS_ENABLED:
        given = getattr(config, section)
        default = type(given)()
        if given.enabled:
            continue
        for setting in fields(given):
            value = getattr(given, setting.name)
            if value != getattr(default, setting.name):
                yield UserError(
                    f"does nothing without --{section}.enabled true",
                    setting=f"--{section}.{setting.name}",
                    value=value,
                    remedy=f"add --{section}.enabled true",
                )


def _stitching_errors(config: Config) -> Iterator[UserError]:
    if config.data.join_segments and config.training.pack == "recordings":
        yield UserError(
            "does not go with --data.join_segments, which joins the same rows once for all epochs",
            setting="--training.pack",
            value="recordings",
            remedy="leave out one of them",
        )


def _no_speech_errors(config: Config) -> Iterator[UserError]:
    for name in ("data.no_speech_dir", "data.no_speech_gaps"):
        if _value(config, name) and not config.data.no_speech_fraction:
            yield UserError(
                "does nothing without --data.no_speech_fraction",
                setting=f"--{name}",
                value=_value(config, name),
                remedy="add --data.no_speech_fraction 0.1",
            )


def _frozen_dtype_errors(config: Config) -> Iterator[UserError]:
    if config.model.frozen_dtype == "bfloat16" and not (config.model.freeze or config.lora.enabled):
        yield UserError(
            "nothing is frozen",
            setting="--model.frozen_dtype",
            value="bfloat16",
            remedy="add --model.freeze [encoder] or --lora.enabled true, or leave it out",
        )


def _is_on(value: Any) -> bool:
    return bool(value) and value not in ("full", "float32", "none")  # nothing is other than it is


def _optimizer_errors(training: TrainingConfig) -> Iterator[UserError]:
    if training.optim == "adamw_8bit" and find_spec("bitsandbytes") is None:
        yield UserError(
            "needs bitsandbytes, which is not installed",
            setting="--training.optim",
            value=training.optim,
            remedy="pip install 'accel-asr[optim8bit]', or use adafactor",
        )


def _tracking_errors(tracking: TrackingConfig) -> Iterator[UserError]:
    setting = "--tracking.report_to"
    for name in dict.fromkeys(tracking.report_to):
        package = find_spec(name)
        # without an origin it is a mere folder of that name, such as Weights & Biases leaves behind
        if package is None or package.origin is None:
            extra = f"accel-asr[{name}]" if name != "tensorboard" else "accel-asr"
            remedy = f"pip install '{extra}', or leave it out"
            yield UserError(f"{name} is not installed", setting=setting, value=tracking.report_to, remedy=remedy)
    if len(set(tracking.report_to)) < len(tracking.report_to):
        yield UserError("has a tracker twice", setting=setting, value=tracking.report_to, remedy="give each once")
    if not re.fullmatch(r"[\w-]{1,100}", tracking.project_name, re.ASCII):
        yield UserError(
            "does not fit every tracker",
            setting="--tracking.project_name",
            value=tracking.project_name,
            remedy="give letters, digits, _ and -",
        )


def is_hub_name(name: str) -> bool:
    """Whether `name` looks like `user/name`."""
    return [bool(part) for part in name.split("/")] == [True, True]


def _hub_errors(hub: HubConfig, *, has_adapter: bool) -> Iterator[UserError]:
    if hub.hub_model_id is None and hub.push_to_hub:
        remedy = "add --hub.hub_model_id user/name"
        yield UserError("needs a name", setting="--hub.push_to_hub", value=True, remedy=remedy)
    if hub.hub_model_id is not None and not is_hub_name(hub.hub_model_id):
        setting = "--hub.hub_model_id"
        yield UserError("is not a Hub name", setting=setting, value=hub.hub_model_id, remedy="give user/name")
    if hub.push_adapter and not has_adapter:
        remedy = "add --lora.enabled true, or leave it out"
        yield UserError("no adapter is trained", setting="--hub.push_adapter", value=True, remedy=remedy)


def _value(config: Config, dotted_name: str) -> Any:
    value: Any = config
    for part in dotted_name.split("."):
        value = getattr(value, part)
    return value
