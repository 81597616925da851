"""What may be wrong with the rows that are kept, as sections of the report: it drops nothing, and is worth a look."""

import unicodedata
from itertools import islice
from typing import Any

import numpy as np
from tokenizers.pre_tokenizers import ByteLevel

from accel_asr.data.checking import column_checks as findings
from accel_asr.data.checking.check import Checked, columns_of, language_of
from accel_asr.data.selection.preparation import MAX_EXAMPLES
from accel_asr.data.selection.utterances import Utterances
from accel_asr.data.text_processing import is_unseen
from accel_asr.model.spelling import Spelling

_MAX_CHARACTERS = 50
_WITHIN_WORDS = " \t\n\r\u200c\u200d\u3000"  # white space, and joiners, which Persian and Hindi write with
_EXAMPLES_OF_CHARACTER = 3


class Kept:
    """Columns of all kept rows, those of training first; numbers and lists of shape (rows,)."""

    def __init__(self, checked: Checked) -> None:
        sides = [checked.train] if checked.validation is None else [checked.train, checked.validation]
        rows = Utterances.together(sides)
        self.training_rows = len(checked.train)
        self.ids = rows.ids()
        self.groups = rows.cells("group")
        self.durations_s = rows.durations_s()
        self.hashes = _column(rows, "audio_hash", np.uint64)
        self.peak, self.rms, self.clipped = (_column(rows, name, np.float64) for name in ("peak", "rms", "clipped"))
        processing = [part.text for part in rows.parts]
        raw = rows.cells("text")
        self.texts = [processing[part](text or "") for part, text in zip(rows.part_of, raw, strict=True)]
        said = rows.cells("language")
        told = {
            (number, cell): language_of(cell, rows.parts[number], checked.limits) or "?"
            for number, cell in set(zip(rows.part_of.tolist(), said, strict=True))
        }
        self.languages = [told[key] for key in zip(rows.part_of.tolist(), said, strict=True)]

    def sides(self) -> dict[str, np.ndarray]:
        """Places of the rows of each side."""
        everything = np.arange(len(self.ids))
        return {"train": everything[: self.training_rows], "validation": everything[self.training_rows :]}

    def named(self, places: np.ndarray) -> list[str]:
        return [self.ids[place] for place in places[:MAX_EXAMPLES].tolist()]


def characters(kept: Kept, checked: Checked) -> dict[str, Any]:
    """What the tokenizer can't spell, and what nobody sees and a model would write; the most frequent first."""
    encoder = checked.limits.encoder
    pre_tokenizer = encoder.tokenizer.backend_tokenizer.pre_tokenizer
    used = findings.characters_of(kept.texts)
    wrong = [character for character in used if not _spells(encoder.spelling, character)]
    unseen = [character for character in used if is_unseen(character) and character not in _WITHIN_WORDS]

    def described(characters: list[str]) -> list[dict[str, Any]]:
        return [
            {
                "character": character,
                "code_point": f"U+{ord(character):04X}",
                "name": unicodedata.name(character, "without a name"),
                "count": used[character],
                "examples": _texts_with(kept, character),
            }
            for character in sorted(characters, key=lambda character: -used[character])[:_MAX_CHARACTERS]
        ]

    return {
        "different": len(used),
        "byte_level": isinstance(pre_tokenizer, ByteLevel),
        "unspellable": described(wrong),
        "unseen": described(unseen),
    }


def _spells(spelling: Spelling, character: str) -> bool:
    """Whether it comes back from its tokens; white space, which some tokenizers join to a word, always counts."""
    if character.isspace():
        return True
    return spelling.text(spelling.ids(character)) == character


def _texts_with(kept: Kept, character: str) -> list[str]:
    """The ids of the first rows that have it."""
    having = (name for name, text in zip(kept.ids, kept.texts, strict=True) if character in text)
    return list(islice(having, _EXAMPLES_OF_CHARACTER))


def repetitions(kept: Kept) -> dict[str, Any]:
    """Duplicates and copies within each side, and what both sides share."""
    codes: dict[str, int] = {}
    texts = np.array([codes.setdefault(text, len(codes)) for text in kept.texts], dtype=np.int64)
    duplicates = {}
    for side, places in kept.sides().items():
        repeated = [places[group] for group in findings.groups_of_equal(kept.hashes[places])]
        duplicates[side] = {
            **_repetitions(kept, repeated),
            "other_text": sum(len(np.unique(texts[group])) > 1 for group in repeated),
        }
    _, first_of_each = np.unique(kept.hashes, return_index=True)  # equal samples have been told above
    long_enough = np.array([len(text) >= findings.COPIED_CHARACTERS for text in kept.texts], dtype=bool)
    first_of_each = np.sort(first_of_each[long_enough[first_of_each]])
    groups = [
        first_of_each[group]
        for group in findings.copies(texts[first_of_each], kept.durations_s[first_of_each], kept.rms[first_of_each])
    ]
    copies = {
        side: _repetitions(kept, [group[mine] for group in groups if (mine := np.isin(group, places)).sum() > 1])
        for side, places in kept.sides().items()
    }
    return {"duplicates": duplicates, "copies": copies, "overlap": _overlap(kept, groups)}


def _repetitions(kept: Kept, groups: list[np.ndarray]) -> dict[str, Any]:
    return {
        "recordings": len(groups),
        "rows": sum(len(group) - 1 for group in groups),
        "examples": [kept.named(group) for group in groups[:MAX_EXAMPLES]],
    }


def _overlap(kept: Kept, copies: list[np.ndarray]) -> dict[str, Any]:
    sides = kept.sides()
    train, validation = sides["train"], sides["validation"]
    trained_hashes, first = np.unique(kept.hashes[train], return_index=True)
    places = np.searchsorted(trained_hashes, kept.hashes[validation])
    places = np.minimum(places, max(len(trained_hashes) - 1, 0))
    shared = np.zeros(len(validation), dtype=bool)
    if len(train):
        shared = trained_hashes[places] == kept.hashes[validation]
    pairs = [
        [kept.ids[mine], kept.ids[train[first[place]]]]
        for mine, place in zip(validation[shared][:MAX_EXAMPLES], places[shared], strict=False)
    ]
    on_both = [group for group in copies if group[0] < kept.training_rows <= group[-1]]
    trained = {kept.ids[place]: kept.hashes[place] for place in train}
    same_id = [
        place
        for place in validation.tolist()
        if kept.ids[place] in trained and trained[kept.ids[place]] != kept.hashes[place]
    ]
    trained_groups = {kept.groups[place] for place in train} - {None}
    of_trained_group = [place for place in validation.tolist() if kept.groups[place] in trained_groups]
    shared_groups = list(dict.fromkeys(kept.groups[place] for place in of_trained_group))
    return {
        "same_audio": {"rows": int(shared.sum()), "examples": pairs},
        "copies": {
            "rows": sum(int((group >= kept.training_rows).sum()) for group in on_both),
            "examples": [kept.named(group) for group in on_both[:MAX_EXAMPLES]],
        },
        "groups": {"rows": len(of_trained_group), "examples": shared_groups[:MAX_EXAMPLES]},
        "same_id_other_audio": {
            "rows": len(same_id),
            "examples": [kept.ids[place] for place in same_id[:MAX_EXAMPLES]],
        },
    }


def levels(kept: Kept) -> dict[str, Any]:
    """Silence, the quietest first, and clipping, the worst first."""
    silent = np.flatnonzero(findings.is_silent(kept.peak, kept.rms))
    silent = silent[np.argsort(kept.rms[silent], kind="stable")]
    clipped = np.flatnonzero(kept.clipped > findings.CLIPPED_SHARE)
    clipped = clipped[np.argsort(-kept.clipped[clipped], kind="stable")]
    levels = findings.dbfs(kept.rms)
    return {
        "silence": {
            "rows": len(silent),
            # JSON has no infinity
            "examples": [
                [kept.ids[row], round(float(levels[row]), 1) if kept.rms[row] > 0 else None]
                for row in silent[:MAX_EXAMPLES].tolist()
            ],
        },
        "clipping": {
            "rows": len(clipped),
            "examples": [
                [kept.ids[row], round(float(kept.clipped[row]), 5)] for row in clipped[:MAX_EXAMPLES].tolist()
            ],
        },
    }


def text_speed(kept: Kept) -> dict[str, Any]:
    """What is usual in each language, and the rows that are far from it, the farthest first."""
    names = sorted(set(kept.languages))
    number_of = {name: number for number, name in enumerate(names)}
    languages = np.array([number_of[name] for name in kept.languages], dtype=np.int64)
    characters = np.array([len(text) for text in kept.texts], dtype=np.int64)
    outliers, deviations, bounds = findings.text_speed_outliers(characters, kept.durations_s, languages)
    return {
        "languages": {
            names[number]: {
                "median": round(speed.median, 2),
                "lowest": round(speed.lowest, 2),
                "highest": round(speed.highest, 2),
            }
            for number, speed in bounds.items()
        },
        "outliers": {
            "rows": len(outliers),
            "examples": [
                [
                    kept.ids[row],
                    {
                        "characters_per_s": round(float(characters[row] / kept.durations_s[row]), 2),
                        "deviations": round(float(deviation), 1),
                        "duration_s": round(float(kept.durations_s[row]), 3),
                        "text": kept.texts[row],
                    },
                ]
                for row, deviation in zip(outliers[:MAX_EXAMPLES].tolist(), deviations, strict=False)
            ],
        },
    }


def _column(utterances: Utterances, name: str, dtype: Any) -> np.ndarray:
    """A column of numbers of kept rows, exactly: all of them were decoded, so that none is null."""
    values = np.zeros(len(utterances), dtype=dtype)
    for number, part in enumerate(utterances.parts):
        mine = utterances.part_of == number
        column = columns_of(part.index).column(name).combine_chunks().fill_null(0)
        values[mine] = column.to_numpy(zero_copy_only=False)[utterances.row_of[mine]]
    return values
