"""Labels: a previous text, start-of-transcript, language, task, text, end-of-text; no longer than the decoder."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from transformers import WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from accel_asr.data.spelling import NO_TIMESTAMPS, PREVIOUS, START, Spelling
from accel_asr.data.written_tokens import TimedWords
from accel_asr.errors import UserError

TIMESTAMP_STEP_S = 0.02  # Whisper's timestamp tokens are 20 ms apart
TASKS = ("transcribe", "translate")
MULTILINGUAL_PREFIX = 4  # start, language, task, no timestamps
_BATCH_TEXTS = 10_000


@dataclass(frozen=True, slots=True)
class Label:
    """`token_ids` end with <|endoftext|>; the first `prompt_tokens` of them, a previous text, are not learnt."""

    token_ids: tuple[int, ...]
    prompt_tokens: int = 0


class LabelEncoder:
    """Text to labels as the decoder reads them.

    Args:
        tokenizer: Told the run's language and task (`set_prefix_tokens`), which a row may override.
        max_label_tokens: The decoder's positions, 448 in OpenAI's models.
    """

    def __init__(self, tokenizer: WhisperTokenizer, *, max_label_tokens: int = 448) -> None:
        self.tokenizer = tokenizer
        self.max_label_tokens = max_label_tokens
        self.spelling = Spelling(tokenizer)
        self._ids: dict[str, int] = tokenizer.get_vocab()  # not the added ones only: older folders have all in one file
        self.no_timestamps_id = self._ids[NO_TIMESTAMPS]
        self.first_timestamp_id = self.no_timestamps_id + 1
        self.start_id = self._ids[START]
        self.previous_id = self._ids.get(PREVIOUS)

    @cached_property
    def languages(self) -> frozenset[str]:
        """Codes that labels can say; none for an English-only model, which has the tokens and no use for them."""
        if len(self.tokenizer.prefix_tokens) != MULTILINGUAL_PREFIX:
            return frozenset()
        return frozenset(code for code in TO_LANGUAGE_CODE.values() if f"<|{code}|>" in self._ids)

    def knows_language(self, name: str) -> bool:
        """Whether the model can be told that `name`, a code or a name, is spoken; an English-only one knows English."""
        return language_code(name) in (self.languages or ("en",))

    def prefix(self, language: str | None = None, task: str | None = None) -> tuple[int, ...]:
        """<|startoftranscript|> [<|language|> <|task|>] <|notimestamps|>, the run's own where the row says nothing.

        Args:
            language: A code that is in `languages`; an English-only model has no tokens for it.
        """
        own = tuple(self.tokenizer.prefix_tokens)
        if len(own) == MULTILINGUAL_PREFIX and (language or task):
            language_id = self._ids[f"<|{language}|>"] if language else own[1]
            return own[0], language_id, self._ids[f"<|{task}|>"] if task else own[2], own[3]
        return own

    def encode(
        self,
        text: str,
        *,
        language: str | None = None,
        task: str | None = None,
        prompt: str | None = None,
        timed: Sequence[TimedWords] = (),
    ) -> Label:
        """The label of one text; a text that is too long is cut at a word, a prompt at its beginning.

        Args:
            timed: The same text in parts, for a label that says when each is spoken; cut after a part.
        """
        prefix = self.prefix(language, task)
        end = (self.tokenizer.eos_token_id,)
        room = self.max_label_tokens - len(prefix) - 1
        if timed:
            prefix = self._timed_prefix(prefix)
            while len(ids := self._timed_ids(timed)) > room + 1 and len(timed) > 1:
                timed = timed[:-1]
            ids = ids[: room + 1]
        elif len(ids := self.spelling.ids(text)) > room:
            ids = self.spelling.ids(self.cut(text, room))
        label = (*prefix, *ids, *end)
        previous = self._prompt_ids(prompt, room=self.max_label_tokens - len(label)) if prompt else ()
        return Label((*previous, *label), len(previous))

    def lengths(self, texts: Sequence[str]) -> np.ndarray:
        """Tokens of each text's label without a prompt, uncut: int32, shape (texts,)."""
        around = len(self.prefix()) + 1
        counts = np.empty(len(texts), dtype=np.int32)
        for first in range(0, len(texts), _BATCH_TEXTS):
            batch = list(texts[first : first + _BATCH_TEXTS])
            counts[first : first + len(batch)] = [len(ids) + around for ids in self.spelling.many_ids(batch)]
        return counts

    def cut(self, text: str, most_tokens: int) -> str:
        """The longest run of words from the beginning of `text` that takes at most so many tokens."""
        words = text.split()
        low, high = 0, len(words)
        while low < high:
            middle = (low + high + 1) // 2
            if len(self.spelling.ids(" ".join(words[:middle]))) <= most_tokens:
                low = middle
            else:
                high = middle - 1
        return " ".join(words[:low])

    def with_timestamps(self, label: Label, duration_s: float) -> Label:
        """The same label with <|0.00|> in place of <|notimestamps|> and the clip's end before <|endoftext|>."""
        ids = label.token_ids
        begin = ids.index(self.no_timestamps_id, label.prompt_tokens)
        end_id = self._timestamp_id(duration_s)
        return Label(
            (*ids[:begin], self.first_timestamp_id, *ids[begin + 1 : -1], end_id, ids[-1]), label.prompt_tokens
        )

    def timed_pack(
        self,
        parts: Sequence[TimedWords],
        *,
        language: str | None = None,
        task: str | None = None,
    ) -> Label:
        """The label of clips that share a window: what each says between its begin and its end in the window."""
        prefix = self._timed_prefix(self.prefix(language, task))
        return Label((*prefix, *self._timed_ids(parts), self.tokenizer.eos_token_id))

    def timed_length(self, parts: Sequence[TimedWords], *, follows: bool = False) -> int:
        """Tokens of a label with times without a prompt, uncut, and wherever it stands in a pack if it `follows`."""
        return len(self.prefix()) + len(self._timed_ids(parts, follows=follows))

    def _timed_prefix(self, prefix: tuple[int, ...]) -> tuple[int, ...]:
        assert prefix[-1] == self.no_timestamps_id
        return prefix[:-1]

    def _timed_ids(self, parts: Sequence[TimedWords], *, follows: bool = False) -> tuple[int, ...]:
        ids: list[int] = []
        for part in parts:
            words = f" {part.text}" if follows and not ids else part.text
            ids += [self._timestamp_id(part.start_s), *self.spelling.ids(words), self._timestamp_id(part.end_s)]
        return tuple(ids)

    def _timestamp_id(self, seconds: float) -> int:
        return self.first_timestamp_id + math.floor(round(seconds / TIMESTAMP_STEP_S, 6))

    def _prompt_ids(self, prompt: str, *, room: int) -> tuple[int, ...]:
        """<|startofprev|> and the end of the prompt: at most half of the decoder's positions, as Whisper takes."""
        most = min(self.max_label_tokens // 2 - 1, room - 2)  # one for <|startofprev|>, one for an end time
        if self.previous_id is None or most < 1:
            return ()
        ids = self.spelling.ids(" " + prompt.strip()) if prompt.strip() else ()
        return (self.previous_id, *ids[-most:]) if ids else ()


def language_code(name: str) -> str | None:
    """`en` of `en`, `EN`, `English`, `en-US` or `en_us`; None of what names no language that Whisper has."""
    lowered = name.strip().lower().replace("_", "-")
    for candidate in (lowered, lowered.split("-")[0]):
        code = TO_LANGUAGE_CODE.get(candidate, candidate)
        if code in TO_LANGUAGE_CODE.values():
            return code
    return None


def language_of_labels(
    language: str | None,
    task: str,
    *,
    is_multilingual: bool,
    lang_to_id: Iterable[str] | None,
    language_of_rows: bool = False,
) -> str | None:
    """The code of a run's language; None for an English-only model, and where the rows say what is spoken.

    Args:
        language: A code or a name, as the user gives it.
        lang_to_id: The language tokens of the model's generation settings, such as `<|en|>`.
        language_of_rows: Rows may say theirs, so that the run need not.

    Raises:
        UserError: as `known_language` raises; or an English-only model is asked for anything else.
    """
    if not is_multilingual:
        if (language or "en").lower() not in ("en", "english") or task != "transcribe":
            raise UserError(
                f"model.language, model.task: the model is English-only and can't do {language!r}, {task!r}; "
                "leave both unset, or choose a multilingual model"
            )
        return None
    return None if language is None and language_of_rows else known_language(language, lang_to_id)


def known_language(language: str | None, lang_to_id: Iterable[str] | None) -> str:
    """The model's code for `language`, given as a code or a name.

    Raises:
        UserError: no language, or one that the model does not know; the message lists those it does.
    """
    if lang_to_id is None:
        raise UserError(
            f"language: the model's generation settings name no languages, so it can't be told {language!r}; it is "
            "English-only, or its folder needs the generation_config.json of the model that it was made from"
        )
    known = sorted(token.strip("<|>") for token in lang_to_id)
    if language is None:
        raise UserError(
            "model.language is not set, and the model is multilingual; give the language spoken, for example "
            f"--model.language en (the model knows: {', '.join(known)})"
        )
    code = TO_LANGUAGE_CODE.get(language.lower(), language.lower())
    if code not in known:
        raise UserError(f"language: the model does not know {language!r}; it knows: {', '.join(known)}")
    return code
