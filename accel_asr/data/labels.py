"""Labels: an optional prompt, start-of-transcript, language, task, text, end-of-text; no longer than the decoder."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from transformers import WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from accel_asr.model.folder.token_ids import NO_SPEECH, NO_TIMESTAMPS, PREVIOUS, START
from accel_asr.model.languages import NO_STAND_INS, token_language
from accel_asr.model.spelling import MOST_CHARACTERS, Spelling
from accel_asr.model.written_tokens import TimedWords

TIMESTAMP_STEP_S = 0.02  # Whisper's timestamp tokens are 20 ms apart
TASKS = ("transcribe", "translate")
MULTILINGUAL_PREFIX = 4  # start, language, task, no timestamps
_BATCH_TEXTS = 10_000


@dataclass(frozen=True, slots=True)
class Label:
    """`token_ids` end with <|endoftext|>; the first `prompt_tokens` of them, the prompt, are not targets.

    `after_start`: the target after <|startoftranscript|>, where it is not the token that the decoder reads next.
    """

    token_ids: tuple[int, ...]
    prompt_tokens: int = 0
    after_start: int | None = None


class LabelEncoder:
    """Encodes texts as labels.

    Args:
        tokenizer: With the run's language and task set (`set_prefix_tokens`); a row may override them.
        max_label_tokens: The decoder's positions, 448 in OpenAI's models.
        stand_ins: `model.language_stand_ins`.
    """

    def __init__(
        self, tokenizer: WhisperTokenizer, *, max_label_tokens: int = 448, stand_ins: Mapping[str, str] = NO_STAND_INS
    ) -> None:
        self.tokenizer = tokenizer
        self.max_label_tokens = max_label_tokens
        self.stand_ins = dict(stand_ins)
        self.spelling = Spelling(tokenizer)
        self._ids: dict[str, int] = tokenizer.get_vocab()  # all of it: older folders have special tokens in there
        self.no_timestamps_id = self._ids[NO_TIMESTAMPS]
        self.first_timestamp_id = self.no_timestamps_id + 1
        self.start_id = self._ids[START]
        self.previous_id = self._ids.get(PREVIOUS)
        self.no_speech_id = next((self._ids[name] for name in NO_SPEECH if name in self._ids), None)

    @cached_property
    def languages(self) -> frozenset[str]:
        """Language codes for labels; empty for an English-only model, which has the tokens but does not use them."""
        if len(self.tokenizer.prefix_tokens) != MULTILINGUAL_PREFIX:
            return frozenset()
        return frozenset(code for code in LANGUAGES if f"<|{code}|>" in self._ids)

    @property
    def room(self) -> int:
        """The longest transcript that the decoder can hold, in tokens, end-of-text included."""
        return self.max_label_tokens - len(self.prefix())

    def knows_language(self, name: str) -> bool:
        """Whether the model knows the language `name`, a code or a name; an English-only model knows English."""
        return self.token_language(name) is not None

    def token_language(self, name: str) -> str | None:
        """The code of the token for language `name`, or of its stand-in; None where there is none."""
        return token_language(name, self.languages or ("en",), self.stand_ins)

    def prefix(self, language: str | None = None, task: str | None = None) -> tuple[int, ...]:
        """<|startoftranscript|> [<|language|> <|task|>] <|notimestamps|>; the run's own language and task by default.

        Args:
            language: One that the model knows; an English-only model has no tokens for it.
        """
        own = tuple(self.tokenizer.prefix_tokens)
        if len(own) == MULTILINGUAL_PREFIX and (language or task):
            language_id = self._ids[f"<|{self.token_language(language)}|>"] if language else own[1]
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
        cut_at_s: float | None = None,
    ) -> Label:
        """The label of one text. A text that is too long is cut at the end of a word, a prompt at its beginning.

        Args:
            timed: The same text in parts, for a label with timestamps; cut at the end of a part.
            cut_at_s: With `timed`: where an utterance begins that the window cuts in two. Its time ends the label,
                and says where the next window begins.
        """
        prefix = self.prefix(language, task)
        end = (self.tokenizer.eos_token_id,)
        room = self.max_label_tokens - len(prefix) - 1
        if timed:
            prefix = self._without_no_timestamps(prefix)
            while len(ids := self._timed_ids(timed)) > room + 1 and len(timed) > 1:
                timed = timed[:-1]
            goes_on = () if cut_at_s is None else (self._timestamp_id(cut_at_s),)
            ids = (*ids, *goes_on)[: room + 1]
        elif len(ids := self.spelling.ids(text)) > room:
            ids = self.spelling.ids(self.cut(text, room))
        label = (*prefix, *ids, *end)
        previous = self._prompt_ids(prompt, room=self.max_label_tokens - len(label)) if prompt else ()
        return Label((*previous, *label), len(previous))

    def lengths(self, texts: Sequence[str]) -> np.ndarray:
        """Length of each text's uncut label without a prompt: int32, shape (texts,)."""
        around = len(self.prefix()) + 1
        counts = np.empty(len(texts), dtype=np.int32)
        for first in range(0, len(texts), _BATCH_TEXTS):
            batch = list(texts[first : first + _BATCH_TEXTS])
            counts[first : first + len(batch)] = [len(ids) + around for ids in self.spelling.many_ids(batch)]
        return counts

    def cut(self, text: str, most_tokens: int) -> str:
        """The first words of `text` that fit into `most_tokens`."""
        words = text.split()
        low, high = 0, len(words)
        while low < high:
            middle = (low + high + 1) // 2
            if len(self.spelling.ids(" ".join(words[:middle]))) <= most_tokens:
                low = middle
            else:
                high = middle - 1
        return " ".join(words[:low])

    def with_timestamps(self, label: Label, end_s: float, *, begin_s: float = 0.0) -> Label:
        """The same label with the clip's begin in place of <|notimestamps|>, and its end before <|endoftext|>."""
        ids = label.token_ids
        begin = ids.index(self.no_timestamps_id, label.prompt_tokens)
        begin_id, end_id = self._timestamp_id(begin_s), self._timestamp_id(end_s)
        return Label((*ids[:begin], begin_id, *ids[begin + 1 : -1], end_id, ids[-1]), label.prompt_tokens)

    def without_speech(self, *, language: str | None = None, task: str | None = None, is_timed: bool = False) -> Label:
        """The label of a clip in which nobody speaks.

        Whisper was trained to say <|nospeech|> after <|startoftranscript|>, in the place of the language (Radford et
        al. 2022, section 2.3 and figure 1; of English-only models, in the place of what follows), and its decoders read
        the probability of silence there (`no_speech_prob` in openai/whisper's decoding.py, transformers and
        whisper.cpp). But they don't let the model say it: they give it language and task, and go on to the text. So
        both are taught: <|nospeech|> is the target after the start, and after the given tokens the text is empty.

        Args:
            is_timed: With <|0.00|> in the place of <|notimestamps|>: decoders make a first time token compulsory. No
                end follows it, since there is no segment.
        """
        prefix = self.prefix(language, task)
        if is_timed:
            prefix = (*self._without_no_timestamps(prefix), self.first_timestamp_id)
        return Label((*prefix, self.tokenizer.eos_token_id), after_start=self.no_speech_id)

    def timed_pack(self, parts: Sequence[TimedWords], *, language: str | None = None, task: str | None = None) -> Label:
        """The label of clips that share a window: each text between its begin and end in the window."""
        prefix = self._without_no_timestamps(self.prefix(language, task))
        return Label((*prefix, *self._timed_ids(parts), self.tokenizer.eos_token_id))

    def timed_length(self, parts: Sequence[TimedWords], *, follows: bool = False) -> int:
        """Length of an uncut label with timestamps and without a prompt; `follows`: after another text of a pack."""
        return len(self.prefix()) + len(self._timed_ids(parts, follows=follows))

    def _without_no_timestamps(self, prefix: tuple[int, ...]) -> tuple[int, ...]:
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
        """<|startofprev|> and the end of the prompt: at most half of the decoder's positions, as in Whisper."""
        most = min(self.max_label_tokens // 2 - 1, room - 2)  # one for <|startofprev|>, one for an end time
        if self.previous_id is None or most < 1:
            return ()
        ids = self.spelling.ids(" " + prompt.strip()[1 - MOST_CHARACTERS :]) if prompt.strip() else ()
        return (self.previous_id, *ids[-most:]) if ids else ()
