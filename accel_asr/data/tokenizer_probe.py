"""A tokenizer against its model: all that labels and transcripts count on, looked at when it is loaded."""

from collections.abc import Iterator, Mapping
from typing import Any

from transformers import WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import LANGUAGES, TASK_IDS

from accel_asr.data.spelling import NO_TIMESTAMPS, PREVIOUS, START, Spelling
from accel_asr.errors import UserError

_ENGLISH = "say it again"
_OTHERS = "Ünïcödé, हिन्दी, ภาษาไทย, 你好, 😀"
_TIMES = 1501  # every 20 ms from 0.00 to 30.00 s
_SHOWN = 3
_FILES = (
    "its folder needs tokenizer.json, or vocab.json, merges.txt and added_tokens.json, as the model it was made from"
)


def require_fitting_tokenizer(
    tokenizer: WhisperTokenizer,
    *,
    model_name: str,
    generation: Mapping[str, Any],
    start_token_id: int | None,
    vocabulary_size: int,
) -> None:
    """Look at all that a tokenizer is counted on for.

    Args:
        generation: The model's generation settings, as generation_config.json has them.
        start_token_id: As the model's own configuration has it.
        vocabulary_size: Rows of the model's embedding.

    Raises:
        UserError: naming all that does not fit.
    """
    vocabulary = tokenizer.get_vocab()
    problems = list(_missing(tokenizer, vocabulary)) or [
        *_other_numbers(tokenizer, vocabulary, generation, start_token_id),
        *_misplaced(vocabulary),
        *_too_many(vocabulary, vocabulary_size),
        *_misspelt(tokenizer),
    ]
    if problems:
        raise UserError("\n".join(f"model.name_or_path: the tokenizer of {model_name!r} {told}" for told in problems))


def _missing(tokenizer: WhisperTokenizer, vocabulary: Mapping[str, int]) -> Iterator[str]:
    missing = [token for token in (START, NO_TIMESTAMPS, tokenizer.eos_token) if token not in vocabulary]
    if missing:
        yield f"has no {' and no '.join(str(token) for token in missing)}; {_FILES}"


def _other_numbers(
    tokenizer: WhisperTokenizer,
    vocabulary: Mapping[str, int],
    generation: Mapping[str, Any],
    start_token_id: int | None,
) -> Iterator[str]:
    """Tokens that the model has under another number."""
    said: list[tuple[str, Any]] = [
        (START, start_token_id),
        (START, generation.get("decoder_start_token_id")),
        (str(tokenizer.eos_token), generation.get("eos_token_id")),
        (NO_TIMESTAMPS, generation.get("no_timestamps_token_id")),
        (PREVIOUS, generation.get("prev_sot_token_id")),
        *(generation.get("lang_to_id") or {}).items(),
        *((f"<|{task}|>", number) for task, number in (generation.get("task_to_id") or {}).items()),
    ]
    wrong = [
        f"{token} is {vocabulary.get(token, 'not there')} in it and {number} there"
        for token, number in dict.fromkeys((token, str(number)) for token, number in said if number is not None)
        if number not in (str(vocabulary.get(token)), str([vocabulary.get(token)]))
    ]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        yield (
            f"does not fit the model's config.json and generation_config.json: {', '.join(wrong[:_SHOWN])}{more}; take "
            "the tokenizer's files and generation_config.json from the model that it was made from"
        )


def _misplaced(vocabulary: Mapping[str, int]) -> Iterator[str]:
    """Languages and times, which transformers finds by their place after another token and not by their names."""
    languages = {f"<|{code}|>": vocabulary[START] + 1 + place for place, code in enumerate(LANGUAGES)}
    times = {f"<|{step * 0.02:.2f}|>": vocabulary[NO_TIMESTAMPS] + 1 + step for step in range(_TIMES)}
    # no times at all is how older folders are: they are known by their numbers only
    for kind, places, follow in (("languages", languages, START), ("times", times, NO_TIMESTAMPS)):
        wrong = [token for token, place in places.items() if vocabulary.get(token, place) != place]
        if wrong:
            yield f"has {kind} that do not follow {follow} one by one in Whisper's order, such as {wrong[0]}; {_FILES}"
    if not all(f"<|{task}|>" in vocabulary for task in TASK_IDS) and any(token in vocabulary for token in languages):
        yield f"has languages, and no {' or no '.join(f'<|{task}|>' for task in TASK_IDS)}; {_FILES}"


def _too_many(vocabulary: Mapping[str, int], vocabulary_size: int) -> Iterator[str]:
    most = max(vocabulary.values())
    if most >= vocabulary_size:
        yield (
            f"has tokens up to number {most:,}, and the model's embedding has {vocabulary_size:,} rows (vocab_size); "
            "tokens were added without resizing the model: take the tokenizer that it was trained with"
        )


def _misspelt(tokenizer: WhisperTokenizer) -> Iterator[str]:
    spelling = Spelling(tokenizer)
    for text in (_ENGLISH, _OTHERS):
        if spelling.text(spelling.ids(text)) != text:
            yield f"can't spell {text!r}; {_FILES}"
            return
