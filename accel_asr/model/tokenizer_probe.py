"""What labels and transcripts count on in a tokenizer, looked at when it is loaded."""

from collections.abc import Iterator, Mapping

from transformers import WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import LANGUAGES, TASK_IDS

from accel_asr.errors import UserError
from accel_asr.model.spelling import NO_TIMESTAMPS, START, Spelling

_ENGLISH = "say it again"
_OTHERS = "Ünïcödé, हिन्दी, ภาษาไทย, 你好, 😀"
_TIMES = 1501  # every 20 ms from 0.00 to 30.00 s
_FILES = (
    "its folder needs tokenizer.json, or vocab.json, merges.txt and added_tokens.json, as the model it was made from"
)


def require_fitting_tokenizer(tokenizer: WhisperTokenizer, *, model_name: str) -> None:
    """Look at all that a tokenizer is counted on for, beside the numbers that its model's JSON files say.

    Raises:
        UserError: naming all that does not fit.
    """
    vocabulary = tokenizer.get_vocab()
    problems = list(_missing(tokenizer, vocabulary)) or [*_misplaced(vocabulary), *_misspelt(tokenizer)]
    if problems:
        raise UserError("\n".join(f"model.name_or_path: the tokenizer of {model_name!r} {told}" for told in problems))


def _missing(tokenizer: WhisperTokenizer, vocabulary: Mapping[str, int]) -> Iterator[str]:
    missing = [token for token in (START, NO_TIMESTAMPS, tokenizer.eos_token) if token not in vocabulary]
    if missing:
        yield f"has no {' and no '.join(str(token) for token in missing)}; {_FILES}"


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


def _misspelt(tokenizer: WhisperTokenizer) -> Iterator[str]:
    spelling = Spelling(tokenizer)
    for text in (_ENGLISH, _OTHERS):
        if spelling.text(spelling.ids(text)) != text:
            yield f"can't spell {text!r}; {_FILES}"
            return
