"""Which of a source's splits a setting means: by its name, or by another common name for the same thing."""

import os
import re
from collections.abc import Sequence

from accel_asr.data.reading.source_table import first_few
from accel_asr.errors import UserError

_SETTING = "--data.train_split or --data.eval_split"
_MOST_SPLITS = 20  # listed in a message
_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "devel", "development"),
    "eval": ("eval", "evaluation"),  # validation to some, test to others
    "test": ("test", "testing"),
}
_KIND_OF_WORD = {word: kind for kind, words in _WORDS.items() for word in words}
# alternatives in order; what is scored as `test` is never another split
_ELSE_OF_KIND: dict[str, tuple[tuple[str, ...], ...]] = {
    "train": (("train",),),
    "validation": (("validation",), ("eval",), ("test",)),
    "eval": (("eval",), ("validation", "test")),
    "test": (("test",), ("eval",)),
}
# Common Voice's other tables: never joined to one set
OWN_SPLITS = frozenset(("validated", "invalidated", "other", "reported", "unvalidated"))
_NUMBERED = re.compile(r"(?P<start>.*-)(?P<number>\d+)-of-(?P<total>\d+)(?P<end>\..*)?")
_MOST_SHARDS = 10_000  # numbered; a larger number is not a count
_SHARD = re.compile(r"[-_.]?(part[-_.]?)?\d+([-_.]of[-_.]\d+)?$", re.IGNORECASE)


def without_shard_number(stem: str) -> str:
    """`train` of `train-00000-of-00002`; a bare number stays."""
    return _SHARD.sub("", stem) or stem


def missing_shards(files: Sequence[str]) -> list[str]:
    """The shards that are missing, by the count in the names of the others: `train-00000-of-00002.parquet`."""
    missing: dict[str, None] = {}
    present = {os.path.basename(file) for file in files}
    for name in sorted(present):
        match = _NUMBERED.fullmatch(name)
        if match and int(match["total"]) <= _MOST_SHARDS:
            start, width, end = match["start"], len(match["number"]), f"-of-{match['total']}{match['end']}"
            names = (f"{start}{number:0{width}d}{end}" for number in range(int(match["total"])))
            missing |= dict.fromkeys(other for other in names if other not in present)
    return list(missing)


def kind_of(name: str) -> str | None:
    """`train`, `validation`, `eval` or `test`, if a word of the name says so: `train_manifest`, `dev-clean`."""
    kinds = {kind for _, kind in _kinds_in(name)}
    return kinds.pop() if len(kinds) == 1 else None


def is_split_name(name: str) -> bool:
    """Whether a file or folder of that name holds one split of several."""
    return bool(_kinds_in(name)) or name.lower() in OWN_SPLITS


def choose_splits(
    asked: str, available: Sequence[str], *, where: str, any_lone: bool = False, all_without: bool = False
) -> tuple[list[str], list[str]]:
    """The available names that are the split that was asked for, and a notice if it has another name.

    Names with the same word for a split belong together: `train-clean-100`, `train-clean-360`.

    Args:
        where: What has these splits, for the messages.
        any_lone: A single split is meant, whatever its name.
        all_without: If no name says which split it is, train on all of them.

    Raises:
        UserError: no such split, or several that may be meant.
    """
    names = list(dict.fromkeys(available))
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
            return meant, [f"{asked}: read {first_few(meant, most=_MOST_SPLITS)} of {where}"]
        if by_word:
            several = first_few(sorted(name for group in by_word.values() for name in group), most=_MOST_SPLITS)
            raise UserError(
                f"{where} has no such split, and {several} may be meant",
                setting=_SETTING,
                value=asked,
                remedy="name the one you want",
            )
    raise UserError(
        f"{where} has no such split",
        setting=_SETTING,
        value=asked,
        remedy=f"give one of: {first_few(sorted(names), most=_MOST_SPLITS)}",
    )


def _kinds_in(name: str) -> set[tuple[str, str]]:
    """(word, kind) of each word of a name that stands for a split."""
    words = re.split(r"[^a-z]+", name.lower())
    return {(word, _KIND_OF_WORD[word]) for word in words if word in _KIND_OF_WORD}


def _may_be_trained_on(name: str) -> bool:
    return kind_of(name) in (None, "train") and name.lower() not in OWN_SPLITS - {"validated"}
