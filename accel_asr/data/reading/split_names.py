"""Which of the splits that are there a setting means: by its name, or by another common name for the same thing."""

import os
import re
from collections.abc import Sequence

from accel_asr.data.reading.audio_paths import named
from accel_asr.errors import UserError

MAX_NAMED_SPLITS = 20
_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "devel", "development"),
    "eval": ("eval", "evaluation"),  # validation to some, test to others
    "test": ("test", "testing"),
}
_KIND_OF_WORD = {word: kind for kind, words in _WORDS.items() for word in words}
# what else may be meant, first come first served; the scores of a `test` that is asked for are never those of another
_ELSE_OF_KIND: dict[str, tuple[tuple[str, ...], ...]] = {
    "train": (("train",),),
    "validation": (("validation",), ("eval",), ("test",)),
    "eval": (("eval",), ("validation", "test")),
    "test": (("test",), ("eval",)),
}
# Common Voice's other tables: never read as if they were parts of one set
OWN_SPLITS = frozenset(("validated", "invalidated", "other", "reported", "unvalidated"))
_NUMBERED = re.compile(r"(?P<start>.*-)(?P<number>\d+)-of-(?P<total>\d+)(?P<end>\..*)?")
_MOST_SHARDS = 10_000  # numbered; more are no count
_SHARD = re.compile(r"[-_.]?(part[-_.]?)?\d+([-_.]of[-_.]\d+)?$", re.IGNORECASE)


def without_shard_number(stem: str) -> str:
    """`train` of `train-00000-of-00002`; a name that is nothing but a number stays."""
    return _SHARD.sub("", stem) or stem


def missing_shards(files: Sequence[str]) -> list[str]:
    """The names of shards that are not there, as the others' say how many there are: `train-00000-of-00002.parquet`."""
    missing: dict[str, None] = {}
    there = {os.path.basename(file) for file in files}
    for name in sorted(there):
        match = _NUMBERED.fullmatch(name)
        if match and int(match["total"]) <= _MOST_SHARDS:
            start, width, end = match["start"], len(match["number"]), f"-of-{match['total']}{match['end']}"
            names = (f"{start}{number:0{width}d}{end}" for number in range(int(match["total"])))
            missing |= dict.fromkeys(other for other in names if other not in there)
    return list(missing)


def kind_of(name: str) -> str | None:
    """`train`, `validation`, `eval` or `test`, where one word of a name says so: `train_manifest`, `dev-clean`."""
    kinds = {kind for _, kind in _kinds_in(name)}
    return kinds.pop() if len(kinds) == 1 else None


def is_split_name(name: str) -> bool:
    """Whether a file or folder of that name holds one split of several."""
    return bool(_kinds_in(name)) or name.lower() in OWN_SPLITS


def choose_splits(
    asked: str, there: Sequence[str], *, where: str, any_lone: bool = False, all_without: bool = False
) -> tuple[list[str], list[str]]:
    """The names among `there` that are the split that was asked for, and a notice where its name is another one.

    Several names belong together if they share the word that says what they are: `train-clean-100`,
    `train-clean-360`.

    Args:
        where: What has these splits, for the messages.
        any_lone: If there is one split only, it is meant, whatever its name.
        all_without: If no name says which split it is, all of them together are what is trained on.

    Raises:
        UserError: no such split, or several that may be meant.
    """
    names = list(dict.fromkeys(there))
    if asked in names:
        return [asked], []
    kind = _KIND_OF_WORD.get(asked.lower())
    if len(names) == 1 and (any_lone or (kind == "train" and _may_be_trained_on(names[0]))):
        return names, [f"{asked}: read {names[0]}, the only split of {where}"]
    if all_without and (kind == "train" or any_lone) and not any(map(is_split_name, names)):
        return names, []
    for kinds in _ELSE_OF_KIND.get(kind or "", ()):
        by_word: dict[str, list[str]] = {}
        for name in names:
            words = {word for word, other in _kinds_in(name) if other in kinds}
            if words and kind_of(name) in kinds:
                by_word.setdefault(min(words), []).append(name)
        meant = by_word.get(asked.lower()) or (next(iter(by_word.values())) if len(by_word) == 1 else None)
        if meant:
            return meant, [f"{asked}: read {named(meant, most=MAX_NAMED_SPLITS)} of {where}"]
        if by_word:
            several = named(sorted(name for group in by_word.values() for name in group), most=MAX_NAMED_SPLITS)
            raise UserError(
                f"data.train_split or data.eval_split: {where} has no split {asked!r}, and {several} may be meant; "
                "name the one you want"
            )
    raise UserError(
        f"data.train_split or data.eval_split: {where} has no split {asked!r}; "
        f"it has: {named(sorted(names), most=MAX_NAMED_SPLITS)}"
    )


def _kinds_in(name: str) -> set[tuple[str, str]]:
    """(word, kind) of each word of a name that says which split it is."""
    words = re.split(r"[^a-z]+", name.lower())
    return {(word, _KIND_OF_WORD[word]) for word in words if word in _KIND_OF_WORD}


def _may_be_trained_on(name: str) -> bool:
    return kind_of(name) in (None, "train") and name.lower() not in OWN_SPLITS - {"validated"}
