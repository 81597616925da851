"""Text normalisers by name, as Whisper's authors score."""

import re
import unicodedata
from collections.abc import Callable, Mapping

from transformers import WhisperTokenizer
from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

from accel_asr.errors import UserError

Normalizer = Callable[[str], str]


def load_normalizer(name: str, tokenizer: WhisperTokenizer) -> Normalizer:
    """As `normalizer_named`, with the spelling table in the tokenizer's folder."""
    return normalizer_named(name, spelling=tokenizer.english_spelling_normalizer)


def normalizer_named(name: str, *, spelling: Mapping[str, str] | None) -> Normalizer:
    """The function that both texts go through before the normalised scores.

    `basic` lowercases and turns punctuation into spaces; `english` also spells out contractions, numbers and British
    spellings, by the table in the model's own folder; `multilingual` is as `basic`, but leaves the marks of letters
    where they are, of which `basic` makes spaces in the middle of Thai, Hindi or Arabic words; `none` only trims.

    Raises:
        UserError: `english` for a tokenizer without a spelling table.
    """
    if name == "none":
        return str.strip
    if name == "multilingual":
        return multilingual
    if name == "basic":
        basic = BasicTextNormalizer()
        return lambda text: basic(text).strip()
    if spelling is None:
        raise UserError(
            "evaluation.normalizer: 'english' needs the spelling table normalizer.json in the model's folder, and it "
            "has none; choose basic"
        )
    english = EnglishTextNormalizer(spelling)
    return lambda text: english(text).strip()


def multilingual(text: str) -> str:
    """Lower case without brackets and what is in them, punctuation and symbols; marks stay, of letters in NFKC."""
    text = re.sub(r"[<\[][^>\]]*[>\]]|\([^)]*\)", "", unicodedata.normalize("NFKC", text).lower())
    kept = []
    for character in text:
        category = unicodedata.category(character)
        if category != "Cf":  # joiners and marks of direction, that nobody sees
            kept.append(" " if category[0] in "PSZ" else character)
    return " ".join("".join(kept).split())
