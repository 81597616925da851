"""What is done to every text before it is learnt or scored: replacements, then punctuation, then case."""

import unicodedata
from dataclasses import dataclass, field

INSIDE_WORDS = frozenset("'’-‐‑")  # noqa: RUF001 - kept between letters: it's, well-known


@dataclass(frozen=True)
class TextProcessing:
    """Nothing by default. `replacements` go first, longest first, wherever they stand in the text."""

    lowercase: bool = False
    remove_punctuation: bool = False
    replacements: dict[str, str] = field(default_factory=dict)

    def __call__(self, text: str) -> str:
        """The processed text, without white space around it."""
        for old in sorted(self.replacements, key=len, reverse=True):
            text = text.replace(old, self.replacements[old])
        if self.remove_punctuation:
            text = without_punctuation(text)
        if self.lowercase:
            text = text.lower()
        return text.strip()


def without_punctuation(text: str) -> str:
    """Punctuation becomes a space, but for apostrophes and hyphens inside of words; marks of letters stay."""
    kept = []
    for index, character in enumerate(text):
        is_inside_word = text[index - 1 : index].isalnum() and text[index + 1 : index + 2].isalnum()
        is_punctuation = unicodedata.category(character).startswith("P")
        keeps = not is_punctuation or (character in INSIDE_WORDS and is_inside_word)
        kept.append(character if keeps else " ")
    return " ".join("".join(kept).split())
