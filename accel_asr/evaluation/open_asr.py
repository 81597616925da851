"""The normaliser of the Open ASR leaderboard, by the rules of 2026: one for English, one for other languages.

Built on Whisper's English normaliser in transformers, whose rules it extends
(https://github.com/huggingface/open_asr_leaderboard, `normalizer/` and `normalizer/eval_utils.py`). The leaderboard has
rules of its own for Armenian, and scores Hindi against lattices: neither is here.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

import regex
from transformers.models.whisper.english_normalizer import (
    EnglishNumberNormalizer,
    EnglishTextNormalizer,
    remove_symbols_and_diacritics,
)

from accel_asr.errors import UserError
from accel_asr.evaluation.open_asr_compounds import joined_where_equal, spaced_as_reference
from accel_asr.evaluation.open_asr_times import standard_times
from accel_asr.evaluation.open_asr_words import COMPOUNDS, FILLERS, NAMES, SPELLINGS, WORDS_BEFORE_IS

ENGLISH = "en"
_NUMBER = re.compile(r"^\d+(\.\d+)?$")
_NOT_A_ZERO = "oh\N{WORD JOINER}"  # no word that the number normaliser knows
_FILLERS = re.compile(rf"\b({'|'.join(FILLERS)})\b")
_COMPOUNDS = [(re.compile(rf"\b{parts.replace(' ', chr(92) + 's+')}\b"), word) for parts, word in COMPOUNDS.items()]


class OpenAsr:
    """Normalises by the language of each utterance; called without one, by the run's.

    Args:
        spelling: The table in the model's folder, British to American.
        language: Of utterances without their own, as Whisper's code.

    Raises:
        UserError: texts may not be English, and num2words, which writes out their numbers, is not installed.
    """

    def __init__(self, spelling: Mapping[str, str], *, language: str | None) -> None:
        if language != ENGLISH and find_spec("num2words") is None:
            raise UserError(
                "needs num2words for languages other than English",
                setting="--evaluation.normalizer",
                value="open_asr",
                remedy="pip install 'accel-asr[open_asr]', or set --model.language en if all rows are English",
            )
        self.language = language
        whisper = EnglishTextNormalizer({**spelling, **SPELLINGS})
        self._spelling = whisper.standardize_spellings
        self._numbers = EnglishNumberNormalizer()
        only_is = {rf"\b({'|'.join(WORDS_BEFORE_IS)})'s\b": r"\1 is"}
        self._contractions: dict[str, str] = {}
        for pattern, words in whisper.replacers.items():
            self._contractions |= only_is if pattern == r"'s\b" else {pattern: words}

    def __call__(self, text: str, language: str | None = None) -> str:
        """The normalised text."""
        language = language or self.language
        return self.english(text) if language == ENGLISH else self.multilingual(text, language)

    def pair(self, reference: str, hypothesis: str, language: str | None = None) -> tuple[str, str]:
        """Both texts, with words that are written together in one and apart in the other made equal."""
        language = language or self.language
        reference, hypothesis = self(reference, language), self(hypothesis, language)
        if language != ENGLISH:
            reference, hypothesis = joined_where_equal(reference, hypothesis)
        return reference, spaced_as_reference(reference, hypothesis)

    def english(self, text: str) -> str:
        """Without hesitations and bracketed text; contractions, numbers, times, spellings, names and acronyms in one
        way each."""
        text = standard_times(re.sub(r"\s+'", "'", _FILLERS.sub("", _without_brackets(text.lower()))))
        for pattern, words in self._contractions.items():
            text = re.sub(pattern, words, text)
        text = re.sub(r"\.(?![0-9])", " ", re.sub(r"(\d),(\d)", r"\1\2", text))
        text = remove_symbols_and_diacritics(text, keep=".%$¢€£")
        for parts, word in _COMPOUNDS:
            text = parts.sub(word, text)
        text = self._spelling(self._with_numbers(text))
        text = acronyms_joined(" ".join(NAMES.get(word, word) for word in text.split()))
        text = re.sub(r"(?<![0-9])%", " ", re.sub(r"[.$¢€£](?![0-9])", " ", text))
        return " ".join(text.split())

    def _with_numbers(self, text: str) -> str:
        numbers = self._numbers
        words = interjections_marked(numbers.preprocess(text).split(), numbers)
        written = " ".join(word for word in numbers.process_words(words) if word is not None)
        return str(numbers.postprocess(written)).replace(_NOT_A_ZERO, "oh")

    def multilingual(self, text: str, language: str | None) -> str:
        """Lower-case words of letters, marks and digits; numbers written out where the language is known."""
        text = unicodedata.normalize("NFKC", _without_brackets(text.lower()))
        text = "".join(" " if unicodedata.category(character)[0] in "SP" else character for character in text).lower()
        text = " ".join(regex.sub(r"[^\w\s]", "", text).split())
        if language is None:
            return text
        text = re.sub(r"(\d)\s+(\d{3})\b", r"\1\2", text)
        return re.sub(r"\d+", lambda digits: _in_words(digits[0], language), text)


def acronyms_joined(text: str) -> str:
    """`b b c` as `bbc`: runs of two or more letters or digits; of three or more where `a` or `i` is among them."""
    words: list[str] = []
    run: list[str] = []
    for word in [*text.split(), ""]:
        if len(word) == 1 and word.isalnum():
            run.append(word)
            continue
        is_acronym = len(run) >= (3 if {"a", "i"} & set(run) else 2)
        words += ["".join(run)] if is_acronym else run
        run = []
        words.append(word)
    return " ".join(words).strip()


def interjections_marked(words: Sequence[str], numbers: EnglishNumberNormalizer) -> list[str]:
    """The words, each `oh` that is no zero as a word that the number normaliser leaves alone.

    It is a zero before a digit: after a number (`nineteen oh five`), or before two (`oh seven nine`).
    """
    padded = [*words, "", ""]
    marked: list[str] = []
    is_number_open = is_taken = False  # as the normaliser keeps a number open, and takes the word after `double`
    for place, word in enumerate(words):
        following, later = padded[place + 1 : place + 3]
        if is_taken:
            is_taken = False
        elif word == "oh":
            is_number_open = _is_digit(following, numbers) and (is_number_open or _is_digit(later, numbers))
            marked.append(word if is_number_open else _NOT_A_ZERO)
            continue
        elif word in ("double", "triple"):
            is_number_open = is_taken = following in numbers.ones or following in numbers.zeros
        elif word == "and":
            is_number_open &= words[place - 1] in numbers.multipliers and _continues(following, numbers)
        elif word == "point":
            is_number_open = (
                following in numbers.decimals
                or bool(_NUMBER.match(following))
                or (is_number_open and following in numbers.words)
            )
        else:
            is_number_open = _is_digit(word, numbers) or word in numbers.multipliers
            is_number_open |= _is_written_number(word, numbers)
        marked.append(word)
    return marked


def _continues(word: str, numbers: EnglishNumberNormalizer) -> bool:
    return word in numbers.words or bool(_NUMBER.match(word))


def _is_written_number(word: str, numbers: EnglishNumberNormalizer) -> bool:
    return bool(_NUMBER.match(word[1:] if word[0] in numbers.prefixes else word))


def _is_digit(word: str, numbers: EnglishNumberNormalizer) -> bool:
    return bool(re.match(r"^\d+$", word)) or word in numbers.zeros or word in numbers.ones or word in numbers.tens


def _without_brackets(text: str) -> str:
    return re.sub(r"\(([^)]+?)\)", "", re.sub(r"[<\[][^>\]]*[>\]]", "", text))


def _in_words(digits: str, language_code: str) -> str:
    """The number in words; as it is where num2words knows neither the language nor so large a number."""
    from num2words import num2words

    try:
        return str(num2words(int(digits), lang=language_code))
    except (NotImplementedError, OverflowError, ValueError, TypeError, KeyError, IndexError):
        return digits
