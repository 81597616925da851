"""Ranges and combinations of settings, checked before anything heavy is imported; all that is wrong is said at once."""

import math
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib.util import find_spec
from typing import Any, get_args

from accel_asr.config.setting_limits import name_problems, range_problems
from accel_asr.config.settings import Config, DataConfig, HubConfig, TrackingConfig
from accel_asr.console.public_text import HIDDEN, shortened
from accel_asr.errors import UserError

MOST_WEIGHT = 10**6  # of a source against the others; beyond it they would hardly be seen


def check_config(config: Config) -> None:
    """Check ranges and combinations.

    Raises:
        UserError: naming every setting that is wrong, its value and the remedy, all at once.
    """
    problems = [*_unset_problems(config), *_hidden_problems(config.to_dict())]
    if problems:
        raise UserError("\n".join(problems))
    problems = [
        *_number_problems(config),
        *name_problems(config.to_dict()),
        *_pair_problems("data.text.replacements", config.data.text.replacements),
        *_pair_problems("model.language_stand_ins", config.model.language_stand_ins),
        *_source_problems(config.data),
        *_split_problems(config.data),
        *_combination_problems(config),
        *_tracking_problems(config.tracking),
        *_hub_problems(config.hub),
    ]
    if problems:
        raise UserError("\n".join(problems))


def _unset_problems(config: Config) -> list[str]:
    """Settings that are null and may not be: the parser lets a null pass anywhere."""
    return [
        f"{section.name}.{setting.name}: null does not fit; give a value, or leave it out for the default"
        for section in fields(config)
        if is_dataclass(values := getattr(config, section.name))
        for setting in fields(values)
        if getattr(values, setting.name) is None and type(None) not in get_args(setting.type)
    ] + [
        f"data.sources: {setting.name} of source {number}: null does not fit; give a value, or leave it out"
        for number, source in enumerate(config.data.sources or (), start=1)
        for setting in fields(source)
        if getattr(source, setting.name) is None and type(None) not in get_args(setting.type)
    ]


def _hidden_problems(settings: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Addresses out of a run's config.yaml, which leaves out what may be a secret."""
    problems = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            problems += _hidden_problems(value, f"{prefix}{name}.")
        elif HIDDEN in repr(value):
            problems.append(
                f"{prefix}{name}: {value!r} lacks the secret part of an address, which no run writes down; give the "
                f"whole address again by --{prefix}{name}"
            )
    return problems


def _number_problems(config: Config) -> list[str]:
    problems = range_problems(config.to_dict())
    warmup = config.training.warmup_steps
    if 1 < warmup < math.inf and warmup != int(warmup):
        problems.append(
            f"training.warmup_steps: {warmup} is no whole number; give one, or a share of the steps below 1"
        )
    return problems


def _pair_problems(name: str, pairs: Mapping[Any, Any]) -> list[str]:
    """What is wrong with a table of texts by texts; the parser looks at the values only, and lets any text pass."""
    problems = []
    for old, new in pairs.items():
        told = f"{name}: {{{old!r}: {new!r}}}"
        if not isinstance(old, str) or not isinstance(new, str):
            problems.append(f"{told}: both must be texts; put them in quotes")
        elif not old:
            problems.append(f"{told}: an empty text stands for nothing; write what is meant, or leave it out")
    return problems


def _source_problems(data: DataConfig) -> list[str]:
    """What is wrong with the list of sources, or that there is none."""
    if not data.sources:
        if data.name_or_path is not None:
            return []
        return [
            "data.name_or_path is not set; give a Hub dataset, a folder of audio, a manifest, or quickstart, or "
            "several of them in data.sources"
        ]
    problems = []
    if data.name_or_path is not None:
        problems.append(
            f"data.name_or_path, data.sources: {data.name_or_path!r} and a list are given; put all into the list"
        )
    problems += [
        f"data.sources: source {number} has no name_or_path; give a Hub dataset, a folder or a manifest"
        for number, source in enumerate(data.sources, start=1)
        if not source.name_or_path
    ]
    weights = [source.weight for source in data.sources]
    if any(weight is not None and not 0 < weight <= MOST_WEIGHT for weight in weights):
        problems.append(
            f"data.sources: weights {shortened(str(weights))} are out of range; give finite numbers above 0, and at "
            f"most {MOST_WEIGHT:,}"
        )
    elif len({weight is None for weight in weights}) > 1:
        problems.append(f"data.sources: weights {weights}; give every source one, or none to train on every row")
    if not any(source.validate for source in data.sources):
        problems.append("data.sources: validate is false for all of them; leave some source to validate on")
    return problems


def _split_problems(data: DataConfig) -> list[str]:
    ways = ("eval_split", "eval_name_or_path", "train_rows", "eval_fraction", "eval_rows")
    given = [f"data.{name}={getattr(data, name)}" for name in ways if getattr(data, name) is not None]
    if data.eval_name_or_path is not None and data.eval_split is not None:
        given.pop(0)  # it says which split of it
    of_sources = [
        f"{name}={getattr(source, name)} of a source"
        for source in data.sources
        for name in ("eval_split", "eval_name_or_path")
        if getattr(source, name) is not None
    ]
    if of_sources and (data.eval_split is None or data.eval_name_or_path is not None):
        given.insert(0, of_sources[0])
    if data.eval_fraction is not None and not 0 < data.eval_fraction < 1:
        return [f"data.eval_fraction: {data.eval_fraction} is out of range; give a share between 0 and 1, such as 0.1"]
    if len(given) == 1:
        if data.group_column is None or data.train_rows is None:
            return []
        return [
            f"data.group_column: {data.group_column!r} does not go with {given[0]}, which says already what is held "
            "out; set data.eval_fraction or data.eval_rows instead, or leave out data.group_column"
        ]
    have = " and ".join(given) or "none of them is set"
    such = "" if given else ", such as --data.eval_fraction 0.1"
    return [f"{', '.join(f'data.{name}' for name in ways)}: {have}; set exactly one to get a validation set{such}"]


_ROWS_FIRST = "which does not know all rows first"
# for each setting those that do not go with it, and why
_NOT_TOGETHER: dict[str, dict[str, str]] = {
    "data.streaming": {
        "data.sources": "which reads one source",
        "data.train_rows": _ROWS_FIRST,
        "data.eval_fraction": _ROWS_FIRST,
        "data.group_column": _ROWS_FIRST,
        "data.timestamps_probability": _ROWS_FIRST,
        "training.group_by_length": _ROWS_FIRST,
        "training.batch_seconds": _ROWS_FIRST,
        "training.pack": _ROWS_FIRST,
        "training.audio_context": "which does not know the longest clip of a global batch first",
    },
    "training.pack": {
        "training.group_by_length": "which makes all windows about equally long",
        "training.batch_seconds": "which fills windows by itself: training.per_device_train_batch_size counts them",
        # its plan asks for the longest utterance of a step, which says nothing of how long a pack is
        "training.audio_context": "which fills the whole window",
    },
    "model.cache_encoder_outputs": {
        "data.streaming": "which needs the same clips in each epoch",
        "training.pack": "which needs the same windows in each epoch",
        "training.audio_context": "which keeps what the encoder says of the whole window",
    },
}


def _combination_problems(config: Config) -> list[str]:
    """Settings that do not go together, and those that another one needs."""
    problems = []
    if config.data.streaming:
        problems += [
            f"{name} is not set, and data.streaming needs it: a stream has no epochs that could be counted; give a "
            "number of optimizer steps"
            for name in ("training.max_steps", "evaluation.eval_steps")
            if _setting(config, name) is None
        ]
    problems += [
        f"{name}: {_shown(value)} does not go with {other}, {why}; leave out one of them"
        for other, names in _NOT_TOGETHER.items()
        for name, why in names.items()
        if _is_on(_setting(config, other)) and _is_on(value := _setting(config, name))
    ]
    if config.training.audio_context == "speech" and not config.evaluation.eval_on_start:
        problems.append(
            "evaluation.eval_on_start: false does not go with training.audio_context: speech, which is judged against "
            "the untouched model; leave it out"
        )
    if config.evaluation.compile_decoding and config.evaluation.num_beams > 1:
        problems.append(
            f"evaluation.num_beams: {config.evaluation.num_beams} does not go with evaluation.compile_decoding: "
            "transformers compiles no beam search; leave out one of the two"
        )
    if config.model.cache_encoder_outputs and not config.model.freeze_encoder:
        problems.append(
            "model.cache_encoder_outputs: true needs an encoder that stays as it is; add --model.freeze_encoder true, "
            "or leave it out"
        )
    return problems


def _is_on(value: Any) -> bool:
    return bool(value) and value != "full"  # the audio context that changes nothing


def _shown(value: Any) -> str:
    return "a list" if isinstance(value, list) else str(value)


def _tracking_problems(tracking: TrackingConfig) -> list[str]:
    problems = []
    for name in dict.fromkeys(tracking.report_to):
        package = find_spec(name)
        # without an origin it is a mere folder of that name, such as Weights & Biases leaves behind
        if package is None or package.origin is None:
            extra = f"accel-asr[{name}]" if name != "tensorboard" else "accel-asr"
            problems.append(f"tracking.report_to: {name} is not installed; pip install '{extra}', or leave it out")
    if len(set(tracking.report_to)) < len(tracking.report_to):
        problems.append(f"tracking.report_to: {tracking.report_to} names one twice; give each once")
    if not re.fullmatch(r"[\w-]{1,100}", tracking.project_name, re.ASCII):
        problems.append(
            f"tracking.project_name: {tracking.project_name!r} does not fit everywhere; give letters, digits, _ and -"
        )
    return problems


def is_hub_name(name: str) -> bool:
    """Whether `name` looks like `user/name`."""
    return [bool(part) for part in name.split("/")] == [True, True]


def _hub_problems(hub: HubConfig) -> list[str]:
    if hub.push_to_hub and not hub.hub_model_id:
        return ["hub.push_to_hub: true needs a name; add --hub.hub_model_id user/name"]
    if hub.hub_model_id is not None and not is_hub_name(hub.hub_model_id):
        return [f"hub.hub_model_id: {hub.hub_model_id!r} is not a Hub name; give user/name"]
    return []


def _setting(config: Config, dotted_name: str) -> Any:
    section, name = dotted_name.split(".")
    return getattr(getattr(config, section), name)
