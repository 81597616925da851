"""Limits of single settings: what each number may be, and what a name may hold, with the reason where there is one."""

import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from accel_asr.config.augmentation_settings import EFFECT_PROBABILITIES
from accel_asr.errors import UserError


class Range(NamedTuple):
    """Both ends included, unless `above_low`: then more than `low`."""

    low: float
    high: float
    why: str = ""
    above_low: bool = False


_STEPS = Range(1, 10**9, "a thousand steps a second would take eleven days for more")
_ROWS = Range(1, 10**9, "more rows than any source is indexed with")
_BATCH = Range(1, 65_536, "so many windows of log-mel features are 63 GB")
_SHARE = Range(0, 1, "it is a share")
_ANY = Range(0, math.inf)
_RATE = Range(0.5, 2, "speech is hardly understood beyond")
_SEMITONES = Range(-24, 24, "that is two octaves")
_RT60 = Range(0, 10, "a cathedral has so much", above_low=True)
_DECIBELS = Range(-100, 100, "16 bits hold 96 dB")
_KBITS = Range(8, 160, "MP3 at 16 kHz has no more")
RANGES: dict[str, Range] = {
    **{f"augment.{name}": _SHARE for name in EFFECT_PROBABILITIES},
    "data.train_rows": _ROWS,
    "data.eval_rows": _ROWS,
    "data.channel": Range(0, 65_535, "no audio file has more channels"),
    "data.max_duration_s": Range(0, 3600, "a model hears 30 s at once", above_low=True),
    "data.max_bad_fraction": _SHARE,
    "data.timestamps_probability": _SHARE,
    "data.previous_text_probability": _SHARE,
    "data.longest_pause_s": Range(0, 30, "a window of the model has no more"),
    "data.no_speech_fraction": Range(0, 0.5, "most of what is heard must be speech"),
    "data.streaming_block_rows": Range(1, 10**6, "they are held in memory"),
    "training.learning_rate": _ANY,  # a run warns of one that is far too high for its model
    "training.warmup_steps": Range(0, 10**9),
    "training.early_stopping_patience": Range(1, 10**6),
    "training.early_stopping_threshold": Range(0, 100, "1 is a hundred points of WER"),
    "training.num_train_epochs": Range(1, 10**6),
    "training.max_steps": _STEPS,
    "training.per_device_train_batch_size": _BATCH,
    "training.gradient_accumulation_steps": Range(1, 10**6),
    "training.global_batch_size": Range(1, 10**9),
    "training.batch_seconds": Range(0, 30 * 65_536, "so many windows of 30 s are 63 GB", above_low=True),
    "training.dataloader_num_workers": Range(0, 1024, "each is a process"),
    "training.weight_decay": _ANY,
    "training.label_smoothing_factor": Range(0, 0.9, "with 1 nothing of the label would be left"),
    "training.max_grad_norm": _ANY,
    "training.ema_decay": Range(0, 0.999999, "with 1 it would never move", above_low=True),
    "training.ddp_timeout": Range(1, 30 * 24 * 3600, "it is in seconds: 30 days"),
    "training.seed": Range(0, 2**32 - 1, "NumPy takes no larger one"),
    "spec_augment.mask_time_prob": _SHARE,
    "spec_augment.mask_time_length": Range(1, 3_000, "a window of 30 s has 3,000 frames"),
    "spec_augment.mask_feature_prob": _SHARE,
    "spec_augment.mask_feature_length": Range(1, 128, "no Whisper has more mel bins"),
    "lora.r": Range(1, 10_000, "no layer is that wide"),
    "lora.lora_alpha": Range(1, 10**6),
    "lora.lora_dropout": Range(0, 0.9, "above it hardly anything is left to learn from"),
    "augment.min_rate": _RATE,
    "augment.max_rate": _RATE,
    "augment.min_semitones": _SEMITONES,
    "augment.max_semitones": _SEMITONES,
    "augment.min_target_rt60": _RT60,
    "augment.max_target_rt60": _RT60,
    "augment.min_snr_db": _DECIBELS,
    "augment.max_snr_db": _DECIBELS,
    "augment.min_gain_db": _DECIBELS,
    "augment.max_gain_db": _DECIBELS,
    "augment.min_bitrate": _KBITS,
    "augment.max_bitrate": _KBITS,
    "augment.max_shift_s": Range(0, 3600, "a model hears 30 s at once", above_low=True),
    "evaluation.eval_steps": _STEPS,
    "evaluation.guard_every": Range(1, 10**6),
    "evaluation.long_form_recordings": Range(1, 10_000, "each takes seconds or minutes, twice in a run"),
    "evaluation.long_form_decoding.compression_ratio_threshold": Range(0, 1000, "no text compresses so well"),
    "evaluation.long_form_decoding.logprob_threshold": Range(-1000, 0, "it is the logarithm of a probability"),
    "evaluation.long_form_decoding.no_speech_threshold": Range(0, 1, "it is a probability"),
    "evaluation.per_device_eval_batch_size": _BATCH,
    "evaluation.generation_max_length": Range(1, 10_000, "Whisper's decoder has 448 positions"),
    "evaluation.num_beams": Range(1, 100, "each beam takes the memory and time of one more transcript"),
    "checkpoint.save_steps": _STEPS,
    "checkpoint.save_total_limit": Range(1, 10**6),
    "checkpoint.average_last": Range(2, 10**6),
    "tracking.log_samples": Range(0, 10_000, "all of them are shown at each evaluation"),
    "tracking.logging_steps": _STEPS,
}


def range_errors(settings: Mapping[str, Any]) -> Iterator[UserError]:
    """An error for each number that is out of its range."""
    for name, allowed in RANGES.items():
        value = _value(settings, name)
        if value is not None and not _is_in(value, allowed):
            why = f" ({allowed.why})" if allowed.why and value > allowed.low else ""
            remedy = f"give {_in_words(allowed)}{why}"
            yield UserError("is out of range", setting=f"--{name}", value=value, remedy=remedy)
    warmup_steps = settings["training"]["warmup_steps"]
    if 1 < warmup_steps < math.inf and warmup_steps != int(warmup_steps):
        remedy = "give a whole number, or a share of the steps below 1"
        yield UserError("is no whole number", setting="--training.warmup_steps", value=warmup_steps, remedy=remedy)


# settings that become names of files, branches or cards; a column may be called anything
NAMES = (
    "output_dir",
    "model.name_or_path",
    "model.revision",
    "data.name_or_path",
    "data.subset",
    "data.revision",
    "data.train_split",
    "data.eval_split",
    "data.eval_name_or_path",
    "data.audio_root",
    "data.no_speech_dir",
    "data.cache_dir",
    "data.license",
    "augment.noise_dir",
    "evaluation.long_form",
    "hub.license",
    "hub.hub_revision",
)
_NAMES_OF_SOURCES = ("name", *(name.removeprefix("data.") for name in NAMES if name.startswith("data.")))
_FOLDERS = ("--output_dir", "--data.cache_dir")
LONGEST_NAME, LONGEST_PATH = 255, 4096  # bytes that file systems take


def name_errors(settings: Mapping[str, Any]) -> Iterator[UserError]:
    """An error for each name that no file system takes, or that would act on the screen which shows it."""
    named = {f"--{name}": _value(settings, name) for name in NAMES}
    for number, source in enumerate(settings["data"]["sources"], start=1):
        named |= {f"--data.sources: {name} of source {number}": source.get(name) for name in _NAMES_OF_SOURCES}
    for number, guard in enumerate(settings["evaluation"]["guards"], start=1):
        of_guard = ("split", *_NAMES_OF_SOURCES)
        named |= {f"--evaluation.guards: {name} of guard {number}": guard.get(name) for name in of_guard}
    for setting, value in named.items():
        if value is None:
            continue
        if any(ord(letter) < 32 or ord(letter) == 127 or 0xD800 <= ord(letter) < 0xDC80 for letter in value):
            problem, remedy = "has control characters", "give a name without them"
        elif setting in _FOLDERS and not value:
            problem, remedy = "is empty", "give a folder, or leave it out"
        elif _is_too_long(value):
            problem = f"is longer than file systems take: {LONGEST_NAME} bytes for a name, {LONGEST_PATH:,} for a path"
            remedy = "give a shorter one"
        else:
            continue
        yield UserError(problem, setting=setting, value=value, remedy=remedy)


def _is_too_long(name: str) -> bool:
    is_one_path = "://" not in name and "{" not in name  # shards by address or number may take more room
    longest = max(len(os.fsencode(part)) for part in name.split("/"))
    return len(os.fsencode(name)) > LONGEST_PATH or (is_one_path and longest > LONGEST_NAME)


def _value(settings: Mapping[str, Any], dotted_name: str) -> Any:
    value: Any = settings
    for name in dotted_name.split("."):
        value = value[name]
    return value


def _is_in(value: float, allowed: Range) -> bool:
    # nan must not pass; and math.isfinite takes no integer of hundreds of digits
    return (
        -math.inf < value < math.inf
        and (value > allowed.low or (value == allowed.low and not allowed.above_low))
        and (value <= allowed.high)
    )


def _in_words(allowed: Range) -> str:
    if allowed is _SHARE:
        return "a share between 0 and 1"
    low = f"above {allowed.low:,}" if allowed.above_low else f"of at least {allowed.low:,}"
    high = "" if allowed.high == math.inf else f", and at most {allowed.high:,}"
    return f"a finite number {low}{high}"
