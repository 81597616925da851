"""generation_config.json: what transcribing needs, and which of its alignment heads the decoder has."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accel_asr.errors import UserError
from accel_asr.files.atomic_writes import write_text
from accel_asr.model.folder.configuration import Fitting, is_count, is_flag, misfits, setting
from accel_asr.model.folder.folder_files import ModelFiles, UnfitFileError, read_json

GENERATION = "generation_config.json"
MOST_BEAMS = 1_000
FITTING: Fitting = {
    "is_multilingual": ("true or false", is_flag),
    "return_timestamps": ("true or false", is_flag),
    "do_sample": ("false: no transcript is drawn at random", lambda value: value is False),
    "num_return_sequences": ("1", lambda value: is_count(value) and value == 1),
    "bos_token_id": ("a token's id", lambda value: is_count(value) and 0 <= value < 2**31),
    "max_initial_timestamp_index": ("a whole number of at least 0", lambda value: is_count(value) and value >= 0),
    "language": ("a language's code", lambda value: isinstance(value, str)),
    "task": ("transcribe or translate", lambda value: value in ("transcribe", "translate")),
    "lang_to_id": ("the ids of its languages", lambda value: isinstance(value, dict) and bool(value)),
    "task_to_id": ("the ids of its tasks", lambda value: isinstance(value, dict) and "transcribe" in value),
    "suppress_tokens": ("a list of token ids", lambda value: isinstance(value, list)),
    "begin_suppress_tokens": ("a list of token ids", lambda value: isinstance(value, list)),
}
NEUTRAL: dict[str, tuple[Any, ...]] = {  # setting -> the values that leave Whisper's `generate` as it is
    **dict.fromkeys(("constraints", "force_words_ids", "stop_strings", "dola_layers", "watermarking_config"), (None,)),
    **dict.fromkeys(("return_dict_in_generate", "token_healing"), (None, False)),
    "num_beam_groups": (None, 1),
    "penalty_alpha": (None, 0),
    "guidance_scale": (None, 1),
    "cache_implementation": (None, "static", "dynamic"),
}


def is_multilingual(generation: Any) -> bool:
    """Whether a model has tokens for languages and tasks; it has unless its settings, read or loaded, say otherwise."""
    if isinstance(generation, Mapping):
        return generation.get("is_multilingual", True)
    return getattr(generation, "is_multilingual", True)


def read_generation(files: ModelFiles) -> dict[str, Any]:
    """generation_config.json.

    Raises:
        UnfitFileError: it is missing, or not a Whisper's.
    """
    generation = read_json(files, GENERATION)
    if generation is None or "no_timestamps_token_id" not in generation:
        what = (
            f"there is no {GENERATION}"
            if generation is None
            else f"{GENERATION} has no no_timestamps_token_id (it is of early 2023 or before, or not a Whisper's)"
        )
        raise UnfitFileError(
            f"{what}, so it is not known how to transcribe; copy {GENERATION} from the model that it was made from"
        )
    return generation


def generation_problems(generation: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """Values that `generate` can't use."""
    problems = misfits(GENERATION, {name: value for name, value in generation.items() if value is not None}, FITTING)
    problems += [
        f"{GENERATION}: {name} is {value!r}, which a Whisper can't be run with here; take it out"
        for name, neutral in NEUTRAL.items()
        if (value := generation.get(name)) not in neutral
    ]
    positions = setting(config, "max_target_positions")
    for name, most in (("max_length", positions), ("max_new_tokens", positions), ("num_beams", MOST_BEAMS)):
        value = generation.get(name)
        if value is not None and not (is_count(value) and 1 <= value <= most):
            reason = f"the decoder has {positions} positions" if most == positions else "that is no number of beams"
            problems.append(f"{GENERATION}: {name} is {value!r}, and {reason}; give a whole number from 1 to {most}")
    if is_multilingual(generation) and generation.get("lang_to_id") and not generation.get("task_to_id"):
        problems.append(
            f"{GENERATION} names languages (lang_to_id) and no tasks (task_to_id); copy it from the base model"
        )
    return problems


def usable_alignment_heads(heads: Any, *, layers: int, heads_of_layer: int) -> tuple[list[list[int]], list[Any]]:
    """Split `alignment_heads`, pairs of a layer and a head, into those that the decoder has and the others.

    Word times come from their cross-attention. CTranslate2 reads beyond its memory for a layer that is not there, as in
    distilled models that kept the settings of their teacher.
    """
    if heads is None:
        return [], []
    if not isinstance(heads, list):
        return [], [heads]
    usable, others = [], []
    for head in heads:
        is_pair = isinstance(head, list | tuple) and len(head) == 2 and all(map(is_count, head))
        if is_pair and 0 <= head[0] < layers and 0 <= head[1] < heads_of_layer:
            usable.append(list(head))
        else:
            others.append(head)
    return usable, others


def drop_unusable_alignment_heads(folder: Path, generation: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Rewrite generation_config.json without the heads that the decoder lacks, if any."""
    layers, heads = setting(config, "decoder_layers"), setting(config, "decoder_attention_heads")
    usable, others = usable_alignment_heads(generation.get("alignment_heads"), layers=layers, heads_of_layer=heads)
    if not others:
        return
    mended = {name: value for name, value in generation.items() if name != "alignment_heads"}
    if usable:
        mended["alignment_heads"] = usable
    try:
        write_text(folder / GENERATION, json.dumps(mended, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise UserError(
            f"it names alignment heads that the decoder lacks, and can't be mended ({error.strerror})",
            setting="RUN_DIR",
            value=folder / GENERATION,
            remedy="push a copy of the folder that you may write to",
        ) from error


def alignment_notes(generation: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """A note where heads are dropped."""
    layers, heads = setting(config, "decoder_layers"), setting(config, "decoder_attention_heads")
    usable, others = usable_alignment_heads(generation.get("alignment_heads"), layers=layers, heads_of_layer=heads)
    if not others:
        return []
    rest = f"{len(usable)} stay" if usable else "none stays, so word times come from heads that are chosen anew"
    return [
        f"{GENERATION}: {len(others)} of its alignment heads are dropped, such as {others[0]}: the decoder has "
        f"{layers} layers of {heads} heads; {rest}"
    ]
