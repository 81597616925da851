"""What the callers say: sentences drawn from the templates, in sets that have none in common.

A sentence is a caller's request in 3 to 12 words, first letter capitalised, no final punctuation, digits spoken one by
one as words. Everything is a pure function of a seed. The quickstart's sentences are drawn first and do not depend on
how much pretraining text is asked for; the pretraining text then leaves them out, and speaks of other
things than banks.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tools.quickstart.templates import ACTIONS, DIGITS, INTENTS, OTHER_WORDS, SLOTS, STATEMENTS

MIN_WORDS, MAX_WORDS = 3, 12
QUICKSTART_SEED = 20260114
NUM_QUICKSTART_TRAIN = 450
NUM_QUICKSTART_VALIDATION = 113  # 563 in all, as many as MINDS-14 en-US has
DIGIT_STRING_SHARE = 0.08  # of the pretraining text: "Seven", "Four two seven one"
MAX_DIGITS = 6
WORD_STRING_SHARE = 0.10  # of the pretraining text: "River much the Friday", so that no word can be guessed
MAX_STRING_WORDS = 6
RARE_WORD_SHARE = 0.01  # of the pretraining text: drawn for the quickstart words that are rare in the rest
MIN_WORD_COUNT = 15  # of each of the quickstart's words in the pretraining text
MAX_TRIES = 200  # draws in a row without a new sentence: then the grammar counts as used up

_SLOT = re.compile(r"\{([^{}]*)\}")  # an innermost slot


@dataclass(frozen=True)
class Sentence:
    """One thing a caller says; `intent` is empty for a bare digit string."""

    text: str
    intent: str = ""


def expand(template: str, rng: random.Random) -> str:
    """Fill the slots of one template, innermost first, until none is left."""

    def fill(match: re.Match) -> str:
        inner = match.group(1)
        if "|" in inner:
            return rng.choice(inner.split("|"))
        return rng.choice(SLOTS[inner])

    while "{" in template:
        # One slot at a time: an alternative's own slots are filled before the alternatives are chosen from.
        template = _SLOT.sub(fill, template, count=1)
    return " ".join(template.split())


Draw = Callable[[str, random.Random], Sentence]


def draw_sentence(intent: str, rng: random.Random) -> Sentence:
    """Draw a sentence of `intent` with MIN_WORDS..MAX_WORDS words."""
    while True:
        kind = rng.random()
        if kind < 0.4:
            parts = ["{ask} " + rng.choice(ACTIONS[intent])]
            if rng.random() < 0.2:
                parts.append("{tail}")
        elif kind < 0.6:
            parts = ["{brief} " + rng.choice(ACTIONS[intent])]
        else:
            parts = [rng.choice(STATEMENTS[intent])]
        if rng.random() < 0.12:
            parts.insert(0, "{hello}")
        text = expand(" ".join(parts), rng)
        if MIN_WORDS <= len(text.split()) <= MAX_WORDS:
            return Sentence(text[0].upper() + text[1:], intent)


def draw_sentence_about_other_things(intent: str, rng: random.Random) -> Sentence:
    """Draw a sentence of the same pattern with OTHER_WORDS in the place of the words of a bank."""
    words = []
    for word in draw_sentence(intent, rng).text.split():
        other = OTHER_WORDS.get(word) or OTHER_WORDS.get(word.lower(), word)
        words.append(other.capitalize() if word.istitle() else other)
    return Sentence(" ".join(words), intent)


def draw_digit_string(rng: random.Random, *, min_digits: int = 1) -> Sentence:
    """Draw `min_digits` to MAX_DIGITS digit words, the first one capitalised."""
    words = [rng.choice(DIGITS) for _ in range(rng.randint(min_digits, MAX_DIGITS))]
    return Sentence(" ".join(words).capitalize())


def draw_word_string(vocabulary: list[str], rng: random.Random) -> Sentence:
    """Draw 2 to MAX_STRING_WORDS words that have nothing to do with each other."""
    text = " ".join(rng.choice(vocabulary) for _ in range(rng.randint(2, MAX_STRING_WORDS)))
    return Sentence(text[0].upper() + text[1:])


def _draw_new(num: int, rng: random.Random, taken: set[str], *, draw: Draw = draw_sentence) -> list[Sentence]:
    """Draw `num` sentences that are not in `taken` (and add them to it), the intents in turn, then shuffled."""
    sentences: list[Sentence] = []
    for index in range(num):
        intent = INTENTS[index % len(INTENTS)]
        for _ in range(MAX_TRIES):
            sentence = draw(intent, rng)
            if sentence.text not in taken:
                break
        else:
            raise ValueError(
                f"the grammar has no more new sentences for {intent!r} after {len(sentences)}; ask for fewer"
            )
        taken.add(sentence.text)
        sentences.append(sentence)
    rng.shuffle(sentences)
    return sentences


def _draw_rare(
    num: int, rng: random.Random, taken: set[str], *, known: list[Sentence], wanted: set[str]
) -> list[Sentence]:
    """Draw up to `num` new sentences about other things that bring the `wanted` words to MIN_WORD_COUNT.

    The sentences `known` already count.
    """
    counts = word_counts(known)
    sentences: list[Sentence] = []
    for _ in range(MAX_TRIES * num):
        rare = {word for word in wanted if counts[word] < MIN_WORD_COUNT}
        if not rare or len(sentences) == num:
            break
        sentence = draw_sentence_about_other_things(rng.choice(INTENTS), rng)
        if sentence.text not in taken and rare.intersection(sentence.text.split()):
            taken.add(sentence.text)
            counts.update(sentence.text.split())
            sentences.append(sentence)
    return sentences


def quickstart_sentences() -> tuple[list[Sentence], list[Sentence]]:
    """Return the quickstart's 450 training and 113 validation sentences: 563 distinct ones.

    Either part has the intents evenly: 32 or 33 of each in training, 8 or 9 in validation.
    """
    rng = random.Random(QUICKSTART_SEED)
    waiting: dict[str, list[Sentence]] = {intent: [] for intent in INTENTS}
    for sentence in _draw_new(NUM_QUICKSTART_TRAIN + NUM_QUICKSTART_VALIDATION, rng, set()):
        waiting[sentence.intent].append(sentence)
    validation = [waiting[INTENTS[i % len(INTENTS)]].pop() for i in range(NUM_QUICKSTART_VALIDATION)]
    train = [sentence for intent in INTENTS for sentence in waiting[intent]]
    rng.shuffle(train)
    rng.shuffle(validation)
    return train, validation


def pretraining_sentences(num_train: int, num_validation: int, *, seed: int) -> tuple[list[Sentence], list[Sentence]]:
    """Return training and validation text for pretraining.

    It speaks of other things than banks. No sentence is in the quickstart, none is in both parts, and none comes twice,
    but for strings of digits or words in the training part: there are only ten of one digit, and a model should hear
    them often.
    """
    rng = random.Random(seed)
    train_part, validation_part = quickstart_sentences()
    taken = {sentence.text for sentence in train_part + validation_part}

    num_digit_strings = round(DIGIT_STRING_SHARE * num_validation)
    validation = _draw_new(num_validation - num_digit_strings, rng, taken, draw=draw_sentence_about_other_things)
    while len(validation) < num_validation:
        sentence = draw_digit_string(rng, min_digits=4)  # shorter ones the training part cannot do without
        if sentence.text not in taken:
            taken.add(sentence.text)
            validation.append(sentence)
    validation_texts = {sentence.text for sentence in validation}

    num_digit_strings, num_word_strings = round(DIGIT_STRING_SHARE * num_train), round(WORD_STRING_SHARE * num_train)
    num_spoken, num_rare = num_train - num_digit_strings - num_word_strings, round(RARE_WORD_SHARE * num_train)
    train = _draw_new(num_spoken - num_rare, rng, taken, draw=draw_sentence_about_other_things)
    train += _draw_rare(num_rare, rng, taken, known=train, wanted=words_known_before_fine_tuning())
    train += _draw_new(num_spoken - len(train), rng, taken, draw=draw_sentence_about_other_things)
    vocabulary = sorted({word for sentence in train for word in sentence.text.split()[1:]})  # as within a sentence
    train += [draw_word_string(vocabulary, rng) for _ in range(num_word_strings)]
    while len(train) < num_train:
        sentence = draw_digit_string(rng)
        if sentence.text not in validation_texts:
            train.append(sentence)
    rng.shuffle(train)
    rng.shuffle(validation)
    return train, validation


def words_known_before_fine_tuning() -> set[str]:
    """The quickstart's words that pretraining has too: all but the words of a bank."""
    train, validation = quickstart_sentences()
    new = {word for bank_word in OTHER_WORDS for word in (bank_word, bank_word.capitalize())}
    return set(word_counts(train + validation)) - new


def word_counts(sentences: Iterable[Sentence]) -> Counter[str]:
    """Count the words as they are written: "Can" and "can" are two, as they are to the tokenizer."""
    return Counter(word for sentence in sentences for word in sentence.text.split())
