"""Text to ordinary tokens and back: no text makes a control token, and no control token makes text.

A tokenizer finds its added tokens in any text, and leaves out of transcripts what is flagged as special. Both depend on
flags that many folders lack (timestamps never have them; a folder with `added_tokens.json` has none). So texts are
spelled by a copy of the tokenizer without added tokens, and control tokens are recognised by their ids.
"""

import json
import re
from collections.abc import Iterable, Sequence
from functools import cached_property

from tokenizers import Tokenizer
from transformers import WhisperTokenizer

from accel_asr.errors import UserError
from accel_asr.model.folder.token_ids import BORROW, NO_TIMESTAMPS, START
from accel_asr.model.written_tokens import CONTROL_TOKEN

# more than 448 tokens, of which the longest has 128 letters: a text of 50 MB would keep the tokenizer busy for minutes
MOST_CHARACTERS = 60_000
_PIECE = re.compile(r"\s*\S+|\s+")
_PROBES = ("say it again", "Ünïcödé, हिन्दी, ภาษาไทย, 你好, 😀")


class Spelling:
    """The ordinary tokens of a Whisper tokenizer.

    Control tokens are all from <|startoftranscript|> on, where languages, tasks and timestamps lie, and any other that
    is flagged as special or is the end of the text.
    """

    def __init__(self, tokenizer: WhisperTokenizer) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder.items()
        self._first_control_id: int = min(tokenizer.convert_tokens_to_ids([START, NO_TIMESTAMPS]))
        self._other_control_ids = frozenset(
            {tokenizer.eos_token_id, *(number for number, token in added if token.special)}
            | {number for number, token in added if CONTROL_TOKEN.fullmatch(token.content)}
        )
        self._lowest_control_id = min(self._first_control_id, *self._other_control_ids)

    def is_control(self, token_id: int) -> bool:
        """Whether a token is not part of a text."""
        return token_id >= self._first_control_id or token_id in self._other_control_ids

    def ids(self, text: str) -> tuple[int, ...]:
        """The tokens of the first MOST_CHARACTERS of a text. What only a control token could spell is left out."""
        text = text[:MOST_CHARACTERS]
        return self._checked(text, self._ordinary.encode(text, add_special_tokens=False).ids)

    def many_ids(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """`ids` of each text, all at once."""
        texts = [text[:MOST_CHARACTERS] for text in texts]
        encoded = self._ordinary.encode_batch(texts, add_special_tokens=False)
        return [self._checked(text, encoding.ids) for text, encoding in zip(texts, encoded, strict=True)]

    def text(self, token_ids: Iterable[int]) -> str:
        """The text of these tokens, without control tokens and surrounding white space."""
        text: str = self._tokenizer.decode([number for number in token_ids if not self.is_control(number)])
        return text.strip()

    def byte_length(self, token_id: int) -> int:
        """How many bytes of a text, in UTF-8, an ordinary token stands for: its spelling has a letter for each."""
        return len(self._tokenizer.convert_ids_to_tokens(token_id))

    def _checked(self, text: str, ids: list[int]) -> tuple[int, ...]:
        if max(ids, default=-1) < self._lowest_control_id or not any(map(self.is_control, ids)):
            return tuple(ids)
        # an odd tokenizer: its plain vocabulary, or its token for what it can't spell, holds a control token
        safe: list[int] = []
        for piece in _PIECE.findall(text):
            spelled = self._ordinary.encode(piece, add_special_tokens=False).ids
            if any(map(self.is_control, spelled)):
                spelled = [
                    number
                    for character in piece
                    for number in self._ordinary.encode(character, add_special_tokens=False).ids
                    if not self.is_control(number)
                ]
            safe += spelled
        return tuple(safe)

    @cached_property
    def _ordinary(self) -> Tokenizer:
        """The tokenizer without added tokens, and without what it puts around a text."""
        facts = json.loads(self._tokenizer.backend_tokenizer.to_str())
        facts |= {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
        return Tokenizer.from_str(json.dumps(facts))


def require_spelling(tokenizer: WhisperTokenizer, *, model_name: str) -> None:
    """The one check of a tokenizer that needs it loaded; all others are `examination`'s.

    Raises:
        UserError: texts do not come back as they were.
    """
    spelling = Spelling(tokenizer)
    for text in _PROBES:
        if spelling.text(spelling.ids(text)) != text:
            raise UserError(
                f"its tokenizer can't spell {text!r}",
                setting="--model.name_or_path",
                value=model_name,
                remedy=f"the vocabulary is damaged: {BORROW}",
            )
