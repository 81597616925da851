"""The tokenizer's vocabulary, and the token ids of config.json and generation_config.json, which must be its own."""

import re
from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer

from accel_asr.model.folder.configuration import is_count, setting
from accel_asr.model.folder.folder_files import ModelFiles, UnfitFileError, read_json

TOKENIZER, VOCABULARY, MERGES, ADDED = "tokenizer.json", "vocab.json", "merges.txt", "added_tokens.json"
CONFIG, GENERATION = "config.json", "generation_config.json"
END, START, NO_TIMESTAMPS = "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"
PREVIOUS = "<|startofprev|>"
NO_SPEECH = ("<|nospeech|>", "<|nocaptions|>")  # as large-v3 and openai/whisper call it, and as older folders do
MEANINGS = {  # setting -> (token, files that need it)
    "decoder_start_token_id": (START, (CONFIG, GENERATION)),
    "eos_token_id": (END, (CONFIG, GENERATION)),
    "no_timestamps_token_id": (NO_TIMESTAMPS, (GENERATION,)),
}
DEFAULT_IDS = {"decoder_start_token_id": 50_257, "eos_token_id": 50_256, "pad_token_id": 50_256}  # of transformers
TIMES = 1501  # every 20 ms from 0.00 to 30.00 s
BORROW = "take it from the base model"
TOKENIZER_CONFIG, CHAT = "tokenizer_config.json", "chat_template.json"
BESIDE = ("special_tokens_map.json", ADDED, "normalizer.json")  # read where they are there
CLASSES = ("WhisperTokenizer", "WhisperTokenizerFast")


def read_tokens(files: ModelFiles) -> dict[str, int]:
    """Token -> id, of tokenizer.json, or else of vocab.json and what lies beside it.

    Raises:
        UnfitFileError: there is no tokenizer, or it is not a Whisper's.
    """
    settings = read_json(files, TOKENIZER_CONFIG) or {}
    if (name := settings.get("tokenizer_class", CLASSES[0])) not in CLASSES:
        raise UnfitFileError(f"{TOKENIZER_CONFIG}: tokenizer_class is {name!r}, and a Whisper needs {CLASSES[0]}")
    if "auto_map" in settings:
        raise UnfitFileError(
            f"{TOKENIZER_CONFIG}: auto_map names code, and no code of a model is run; take that entry out"
        )
    for beside in BESIDE:
        read_json(files, beside)
    chat = read_json(files, CHAT)
    if chat is not None and "chat_template" not in chat:
        raise UnfitFileError(f"{CHAT} has no chat_template; take the file out, a Whisper needs none")
    tokenizer = read_json(files, TOKENIZER)
    if tokenizer is not None:
        _try_tokenizer(files)
        model = tokenizer.get("model")
        if not isinstance(model, dict) or model.get("type", "BPE") != "BPE" or not isinstance(model.get("vocab"), dict):
            raise UnfitFileError(f"{TOKENIZER} is not a Whisper's, which is of type BPE; {BORROW}")
        listed = tokenizer.get("added_tokens") or []
        if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
            raise UnfitFileError(f"{TOKENIZER}: added_tokens is no list of tokens; {BORROW}")
        return _checked({**model["vocab"], **{entry.get("content"): entry.get("id") for entry in listed}}, TOKENIZER)
    words = read_json(files, VOCABULARY)
    if words is None or files.path(MERGES) is None:
        raise UnfitFileError(
            f"there is no tokenizer: it needs {TOKENIZER}, or {VOCABULARY} and {MERGES}; copy those of the base model"
        )
    decoded = settings.get("added_tokens_decoder") or {}
    if not isinstance(decoded, dict) or not all(isinstance(token, dict) for token in decoded.values()):
        raise UnfitFileError(f"{TOKENIZER_CONFIG}: added_tokens_decoder is no list of tokens; {BORROW}")
    by_id = {token.get("content"): int(index) for index, token in decoded.items() if str(index).isdecimal()}
    return _checked({**words, **by_id, **(read_json(files, ADDED) or {})}, VOCABULARY)


def _try_tokenizer(files: ModelFiles) -> None:
    """Raises: UnfitFileError: tokenizer.json can't be loaded."""
    path = files.path(TOKENIZER)
    try:
        Tokenizer.from_file(str(path))
    except Exception as error:  # it raises nothing more exact
        raise UnfitFileError(f"{TOKENIZER} is no tokenizer ({error}); {BORROW}") from error


def _checked(tokens: Mapping[Any, Any], place: str) -> dict[str, int]:
    if not all(isinstance(token, str) and is_count(index) and index >= 0 for token, index in tokens.items()):
        raise UnfitFileError(f"{place}: some tokens have no number; {BORROW}")
    missing = [token for token in (END, START, NO_TIMESTAMPS) if token not in tokens]
    if missing:
        raise UnfitFileError(f"{place} has no {', '.join(missing)} and is not a Whisper's tokenizer; {BORROW}")
    return dict(tokens)


def token_problems(
    tokens: Mapping[str, int], config: Mapping[str, Any], generation: Mapping[str, Any] | None
) -> list[str]:
    """Ids that are another token's, and tokens that the model has no room for or expects elsewhere."""
    problems = []
    vocabulary, last = setting(config, "vocab_size"), max(tokens.values())
    if is_count(vocabulary) and last >= vocabulary:
        problems.append(
            f"the tokenizer has ids up to {last}, and the model knows {vocabulary} tokens (vocab_size): they are of "
            "different models; take the tokenizer from the base model"
        )
    for place, settings in ((CONFIG, config), (GENERATION, generation)):
        if settings is None:
            continue
        for name, (token, places) in MEANINGS.items():
            if place in places:
                problems += _other_token(place, settings, name, token, tokens)
        problems += _padding_problems(place, settings, tokens)
        problems += _suppression_problems(place, settings, tokens, vocabulary)
    if generation is not None:
        problems += _language_problems(generation, tokens)
    return problems + _misplaced(tokens)


def _misplaced(tokens: Mapping[str, int]) -> list[str]:
    """Languages and times, which transformers finds by their place after another token and not by their names."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES, TASK_IDS  # slow to import

    languages = {f"<|{code}|>": tokens[START] + 1 + place for place, code in enumerate(LANGUAGES)}
    times = {f"<|{step * 0.02:.2f}|>": tokens[NO_TIMESTAMPS] + 1 + step for step in range(TIMES)}
    problems = []
    # older folders have no times at all: their ids follow from the rule
    for kind, places, first in (("languages", languages, START), ("times", times, NO_TIMESTAMPS)):
        wrong = [token for token, place in places.items() if tokens.get(token, place) != place]
        if wrong:
            problems.append(
                f"the tokenizer has {kind} that do not follow {first} one by one in Whisper's order, such as "
                f"{wrong[0]}; {BORROW}"
            )
    missing = [f"<|{task}|>" for task in TASK_IDS if f"<|{task}|>" not in tokens]
    if missing and any(token in tokens for token in languages):
        problems.append(f"the tokenizer has languages, and no {' or no '.join(missing)}; {BORROW}")
    return problems


def _other_token(
    place: str,
    settings: Mapping[str, Any],
    name: str,
    token: str,
    tokens: Mapping[str, int],
) -> list[str]:
    right = tokens[token]
    value = settings.get(name, DEFAULT_IDS.get(name) if place == CONFIG else None)
    if value == right and is_count(value):
        return []
    is_ = f"is {value!r}" if name in settings else f"is missing, which makes it {value!r}"
    there = _token_of(value, tokens)
    other = f", the token {there!r}" if there is not None else ""
    return [f"{place}: {name} {is_}{other}; {token} is {right} in the tokenizer, so set it to {right}"]


def _token_of(index: Any, tokens: Mapping[str, int]) -> str | None:
    return next((token for token, number in tokens.items() if number == index), None) if is_count(index) else None


def _padding_problems(place: str, settings: Mapping[str, Any], tokens: Mapping[str, int]) -> list[str]:
    """Padding may be any token without text: <|endoftext|>, another special one, or the empty one of large-v3."""
    value = settings.get("pad_token_id", DEFAULT_IDS["pad_token_id"] if place == CONFIG else tokens[END])
    token = _token_of(value, tokens)
    if token == "" or (token is not None and re.fullmatch(r"<\|[a-z]+\|>", token)):
        return []
    is_ = f"is {value!r}" if "pad_token_id" in settings else f"is missing, which makes it {value!r}"
    other = f", the token {token!r}, which would be read as text" if token else ", which is no token"
    return [f"{place}: pad_token_id {is_}{other}; set it to {tokens[END]} ({END})"]


def _language_problems(generation: Mapping[str, Any], tokens: Mapping[str, int]) -> list[str]:
    problems = []
    named: dict[str, Any] = {}
    for name, form in (("lang_to_id", "{}"), ("task_to_id", "<|{}|>")):
        table = generation.get(name)
        if isinstance(table, dict):  # else it is said elsewhere, or there is none
            named |= {form.format(key): value for key, value in table.items()}
    if (previous := generation.get("prev_sot_token_id")) is not None and PREVIOUS in tokens:
        named[PREVIOUS] = previous
    wrong = [
        f"{token} {value!r} (it is {tokens.get(token)})" for token, value in named.items() if value != tokens.get(token)
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        problems.append(
            f"{GENERATION}: {', '.join(wrong[:3])}{more} in lang_to_id, task_to_id or prev_sot_token_id are not the "
            "tokenizer's ids; take tokenizer and generation_config.json from one model"
        )
    return problems


def _suppression_problems(
    place: str, settings: Mapping[str, Any], tokens: Mapping[str, int], vocabulary: int
) -> list[str]:
    problems = []
    for name in ("suppress_tokens", "begin_suppress_tokens"):
        ids = settings.get(name)
        if ids is None or (place == GENERATION and not isinstance(ids, list)):  # the latter is said elsewhere
            continue
        if not isinstance(ids, list) or not all(is_count(index) and 0 <= index < vocabulary for index in ids):
            problems.append(f"{place}: {name} is no list of token ids below {vocabulary}; {BORROW}")
        elif (place, name) == (GENERATION, "suppress_tokens") and tokens[END] in ids:
            problems.append(
                f"{GENERATION}: suppress_tokens holds {tokens[END]} ({END}), so that no transcript would ever end; "
                "take it out"
            )
    return problems
