"""Text normalisers by name, as Whisper's authors score."""

from collections.abc import Callable

from transformers import WhisperTokenizer
from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

from accel_asr.errors import UserError

Normalizer = Callable[[str], str]


def load_normalizer(name: str, tokenizer: WhisperTokenizer) -> Normalizer:
    """The function that both texts go through before the normalised scores.

    `basic` lowercases and turns punctuation into spaces; `english` also spells out contractions, numbers and British
    spellings, by the table in the model's own folder; `none` only trims.

    Raises:
        UserError: `english` for a tokenizer without a spelling table.
    """
    if name == "none":
        return str.strip
    if name == "basic":
        basic = BasicTextNormalizer()
        return lambda text: basic(text).strip()
    spelling = tokenizer.english_spelling_normalizer
    if spelling is None:
        raise UserError(
            "evaluation.normalizer: 'english' needs the spelling table normalizer.json in the model's folder, and it "
            "has none; choose basic"
        )
    english = EnglishTextNormalizer(spelling)
    return lambda text: english(text).strip()
