"""Text normalisers by name: those of Whisper's authors, and one for other scripts."""

import re
import unicodedata
from collections.abc import Callable, Mapping

from transformers import WhisperTokenizer
from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

from accel_asr.errors import UserError
from accel_asr.evaluation.open_asr import ENGLISH, OpenAsr

Normalizer = Callable[[str], str]


def load_normalizer(name: str, tokenizer: WhisperTokenizer, *, language: str | None = ENGLISH) -> Normalizer:
    """`normalizer_named`, with the spelling table of the tokenizer's folder."""
    return normalizer_named(name, spelling=tokenizer.english_spelling_normalizer, language=language)


def normalizer_named(name: str, *, spelling: Mapping[str, str] | None, language: str | None = ENGLISH) -> Normalizer:
    """The function that reference and hypothesis go through before the normalised scores.

    `basic` lowercases and turns punctuation into spaces; `english` also spells out contractions and numbers, and
    Americanises spellings by the table in the model's folder; `multilingual` is `basic`, but keeps combining marks,
    which `basic` turns into spaces within Thai, Hindi or Arabic words; `open_asr` is the Open ASR leaderboard's, by the
    language of each utterance; `none` only trims.

    Args:
        language: Of utterances without their own, for `open_asr`.

    Raises:
        UserError: `english` or `open_asr` for a tokenizer without a spelling table; or as `OpenAsr` raises.
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
            "it needs the spelling table normalizer.json, which the model's folder lacks",
            setting="--evaluation.normalizer",
            value=name,
            remedy="choose basic",
        )
    if name == "open_asr":
        return OpenAsr(spelling, language=language)
    english = EnglishTextNormalizer(spelling)
    return lambda text: english(text).strip()


def multilingual(text: str) -> str:
    """Lowercase NFKC, without bracketed text, punctuation and symbols; combining marks stay."""
    text = re.sub(r"[<\[][^>\]]*[>\]]|\([^)]*\)", "", unicodedata.normalize("NFKC", text).lower())
    kept = []
    for character in text:
        category = unicodedata.category(character)
        if category != "Cf":  # invisible: joiners, direction marks
            kept.append(" " if category[0] in "PSZ" else character)
    return " ".join("".join(kept).split())
