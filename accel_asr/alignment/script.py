"""What is said in a recording, in order: the words of its text that were heard, and heard words that the text lacks.

The text and the transcript are matched letter by letter, which also works where a model misspells a language. Words are
then said or not by how many of their letters, and of those around them, were found.
"""

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from rapidfuzz.distance import Levenshtein

from accel_asr.transcription.segments import Segment, split_words

# A letter of a word that is said is found this often at least, by chance one of an unrelated text about so often.
SAID_FOUND, CHANCE_FOUND = 0.65, 0.3
CHANGE = 3.0  # what it costs to go from said to not said, in natural logarithms of probability
FASTEST = 25.0  # letters a second; nobody speaks faster
UNHEARD = 12.0  # the same where nothing was heard
DIGIT = 4.0  # letters that a digit stands for, when it is said
FEWEST_LETTERS = 8  # fewer that are not found are misheard
_EXPLAINED = 0.4  # of the letters heard: a text with fewer is not what they are


@dataclass(frozen=True, slots=True)
class ScriptWord:
    """A word to look for.

    Args:
        place: Its number in the text; None for one that is heard only.
        about_s: When it begins, roughly.
    """

    text: str
    place: int | None
    about_s: float


@dataclass(frozen=True)
class Script:
    """All that is said, and the places of the text's words that are not."""

    words: tuple[ScriptWord, ...]
    unsaid: tuple[range, ...]


def letters_of(word: str) -> str:
    """Its letters and digits, with their marks, in one case."""
    return "".join(
        character
        for character in unicodedata.normalize("NFKC", word.casefold())
        if unicodedata.category(character)[0] in "LNM"
    )


def write_script(words: Sequence[str], heard: Sequence[Segment], *, duration_s: float) -> Script:
    """Match the words of a text with what was heard.

    Args:
        heard: Segments with times; within one, letters are taken to follow each other evenly.
    """
    said, listened = _Letters.of(words), _Letters.of([word for part in heard for word in split_words(part.text)])
    listened_s = _letter_times(listened, heard)
    partner = np.full(len(said.text), -1)  # of each letter of the text, among those heard
    for block in Levenshtein.opcodes(said.text, listened.text):
        if block.tag == "equal":
            partner[block.src_start : block.src_end] = np.arange(block.dest_start, block.dest_end)
    has_partner = np.zeros(len(listened.text), dtype=bool)
    has_partner[partner[partner >= 0]] = True
    known = set(_likely_words(listened, has_partner))
    found = _anchors(said, listened, partner, known, _likely_words(said, partner >= 0))

    script: list[ScriptWord] = []
    unsaid: list[range] = []
    for before, after in pairwise(_with_edges(found, said, listened)):
        before_s, ended_s, after_s = (
            float(listened_s[min(letter, len(listened_s) - 1)]) if anchor.heard else edge_s
            for anchor, letter, edge_s in (
                (before, listened.starts[before.heard.start], 0.0),
                (before, listened.starts[before.heard.stop], 0.0),
                (after, listened.starts[after.heard.start], duration_s),
            )
        )
        if before.place >= 0:
            script.append(ScriptWord(words[before.place], before.place, before_s))
        missing = range(before.place + 1, after.place)
        strange = [word for word in range(before.heard.stop, after.heard.start) if word not in known]
        letters, strange_letters = said.count(missing), listened.count(strange)
        is_number = any(letter.isdigit() for word in strange for letter in listened.letters(word))
        room_s = max(after_s - before_s, 0.0)
        fastest = FASTEST if strange else UNHEARD
        if not is_number and letters >= FEWEST_LETTERS and letters > fastest * max(after_s - ended_s, 0.0):
            unsaid.append(missing)
            missing = range(0)
        if strange_letters >= FEWEST_LETTERS and letters * bool(missing) < _EXPLAINED * strange_letters:
            # what little text there is stands before it
            script += [ScriptWord(words[place], place, before_s) for place in missing]
            script += [
                ScriptWord(listened.words[word], None, float(listened_s[listened.span(word)].mean()))
                for word in strange
                if listened.count([word])
            ]
            continue
        each_s = room_s / (len(missing) + 1)
        script += [
            ScriptWord(words[place], place, before_s + number * each_s) for number, place in enumerate(missing, 1)
        ]
    return Script(tuple(script), tuple(unsaid))


@dataclass(frozen=True)
class _Letters:
    """The letters of many words in a row; `starts` has where each word's begin, and the end."""

    words: list[str]
    text: str
    starts: np.ndarray

    @classmethod
    def of(cls, words: Sequence[str]) -> "_Letters":
        letters = [letters_of(word) for word in words]
        return cls(list(words), "".join(letters), np.cumsum([0, *map(len, letters)]))

    def letters(self, word: int) -> str:
        return self.text[self.span(word)]

    def word_of(self, letters: np.ndarray) -> np.ndarray:
        """The word of each letter, (letters,)."""
        return np.searchsorted(self.starts, letters, side="right") - 1

    def span(self, word: int) -> slice:
        return slice(int(self.starts[word]), int(self.starts[word + 1]))

    def count(self, words: Iterable[int]) -> int:
        return sum(int(self.starts[word + 1] - self.starts[word]) for word in words)


@dataclass(frozen=True, slots=True)
class _Anchor:
    """A word of the text, by its place, and the heard words that have letters of it."""

    place: int
    heard: range


def _anchors(
    said: _Letters, listened: _Letters, partner: np.ndarray, known: set[int], likely: Sequence[int]
) -> list[_Anchor]:
    """The words of the text whose heard words are sure, in order.

    The edits with the fewest letters may as well find the word before or after strange speech within it; so a word
    beside strange speech is found where it stands in full beside its neighbour.
    """
    sure: list[_Anchor] = []
    for place in likely:
        partners = partner[said.span(place)]
        partners = partners[partners >= 0]
        if len(partners):
            first, last = (int(number) for number in listened.word_of(partners[[0, -1]]))
            if known.issuperset(range(first, last + 1)):
                sure.append(_Anchor(place, range(first, last + 1)))
    anchors: list[_Anchor] = []
    for before, after in pairwise(_with_edges(sure, said, listened)):
        ahead: list[_Anchor] = []
        place, word = after.place - 1, after.heard.start - 1
        while place > before.place and word >= before.heard.stop and said.letters(place) == listened.letters(word):
            ahead.append(_Anchor(place, range(word, word + 1)))
            place, word = place - 1, word - 1
        last_place, last_word = place, word
        place, word = before.place + 1, before.heard.stop
        while place <= last_place and word <= last_word and said.letters(place) == listened.letters(word):
            anchors.append(_Anchor(place, range(word, word + 1)))
            place, word = place + 1, word + 1
        anchors += [*reversed(ahead), after]
    return anchors[:-1]


def _with_edges(anchors: Sequence[_Anchor], said: _Letters, listened: _Letters) -> list[_Anchor]:
    """With one that has no words before the first and one after the last."""
    end = len(listened.words)
    return [_Anchor(-1, range(0)), *anchors, _Anchor(len(said.words), range(end, end))]


def _letter_times(listened: _Letters, heard: Sequence[Segment]) -> np.ndarray:
    """When each letter is said, (letters,), in seconds."""
    times: list[np.ndarray] = []
    word = 0
    for part in heard:
        stop = word + len(split_words(part.text))
        text = listened.text[listened.starts[word] : listened.starts[stop]]
        lengths = np.array([DIGIT if letter.isdigit() else 1.0 for letter in text])
        before = np.cumsum(lengths) - lengths
        times.append(part.start_s + (part.end_s - part.start_s) * before / max(lengths.sum(), 1.0))
        word = stop
    return np.concatenate([np.zeros(0), *times])


def _likely_words(letters: _Letters, is_found: np.ndarray) -> list[int]:
    """The words of the likeliest sequence of said and not said, by Viterbi's algorithm over two states."""
    hit, miss = math.log(SAID_FOUND / CHANCE_FOUND), math.log((1 - SAID_FOUND) / (1 - CHANCE_FOUND))
    found = np.concatenate([[0], np.cumsum(is_found)])[letters.starts]
    gains = [
        hit * hits + miss * (size - hits)
        for hits, size in zip(np.diff(found).tolist(), np.diff(letters.starts).tolist(), strict=True)
    ]
    unsaid, said = 0.0, 0.0  # the best score of a sequence that ends so
    came_from: list[tuple[int, int]] = []  # before not said, before said
    for gain in gains:
        came_from.append((int(said - CHANGE > unsaid), int(said > unsaid - CHANGE)))
        unsaid, said = max(unsaid, said - CHANGE), max(said, unsaid - CHANGE) + gain
    state = int(said > unsaid)
    likely = []
    for word in range(len(gains) - 1, -1, -1):
        if state:
            likely.append(word)
        state = came_from[word][state]
    return likely[::-1]
