"""Words that matter most, such as names and terms: given to the decoder as a prompt."""

from collections.abc import Sequence


def keywords_prompt(keywords: Sequence[str]) -> str:
    """The previous text that brings the keywords to the decoder's mind: `Anna, Zurich, IBAN.`"""
    return ", ".join(keywords) + "."
