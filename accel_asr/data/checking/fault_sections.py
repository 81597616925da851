"""Sections of the report about the kept rows: what is worth a look, but drops nothing."""

import unicodedata
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np
from tokenizers.pre_tokenizers import ByteLevel

from accel_asr.data.checking import column_checks
from accel_asr.data.checking.check import Checked, language_of
from accel_asr.data.selection.preparation import MAX_EXAMPLES
from accel_asr.data.selection.utterances import Utterances
from accel_asr.data.text_processing import is_unseen
from accel_asr.model.spelling import Spelling

_MAX_CHARACTERS = 50
_WITHIN_WORDS = " \t\n\r\u200c\u200d\u3000"  # white space, and joiners, which Persian and Hindi are written with
_EXAMPLES_OF_CHARACTER = 3


class KeptRows:
    """Columns of all kept rows, training rows first; arrays and lists of shape (rows,)."""

    def __init__(self, checked: Checked) -> None:
        rows = Utterances.together([checked.train, *([checked.validation] if checked.validation is not None else [])])
        everything = np.arange(len(rows))
        self.training_rows = len(checked.train)
        self.sides = {"train": everything[: self.training_rows], "validation": everything[self.training_rows :]}
        self.ids = rows.ids()
        self.durations_s = rows.durations_s()
        self.hashes = rows.column("audio_hash", np.uint64)  # all kept rows were decoded, so none is null
        self.peak, self.rms, self.clipped = (rows.column(name) for name in ("peak", "rms", "clipped"))
        self.texts = [
            rows.parts[part].text(text or "") for part, text in zip(rows.part_of, rows.cells("text"), strict=True)
        ]
        parts_and_cells = list(zip(rows.part_of.tolist(), rows.cells("language"), strict=True))
        languages = {
            (part, cell): language_of(cell, rows.parts[part], checked.limits) or "?"
            for part, cell in set(parts_and_cells)
        }
        self.languages = [languages[key] for key in parts_and_cells]

    def named(self, places: Any) -> list[str]:
        """The ids at the first of these places."""
        return [self.ids[place] for place in places[:MAX_EXAMPLES]]


def characters(kept: KeptRows, checked: Checked) -> dict[str, Any]:
    """Characters that the tokenizer can't encode, and invisible ones a model would learn; the most frequent first."""
    encoder = checked.limits.encoder
    counts = column_checks.characters_of(kept.texts)

    def described(characters: list[str]) -> list[dict[str, Any]]:
        return [
            {
                "character": character,
                "code_point": f"U+{ord(character):04X}",
                "name": unicodedata.name(character, "without a name"),
                "count": counts[character],
                "examples": _ids_with(kept, character),
            }
            for character in sorted(characters, key=lambda character: -counts[character])[:_MAX_CHARACTERS]
        ]

    return {
        "different": len(counts),
        "byte_level": isinstance(encoder.tokenizer.backend_tokenizer.pre_tokenizer, ByteLevel),
        "unspellable": described([character for character in counts if not _spells(encoder.spelling, character)]),
        "unseen": described([unseen for unseen in counts if is_unseen(unseen) and unseen not in _WITHIN_WORDS]),
    }


def _spells(spelling: Spelling, character: str) -> bool:
    """Whether its tokens decode to it; always true for white space, which some tokenizers join to a word."""
    return character.isspace() or spelling.text(spelling.ids(character)) == character


def _ids_with(kept: KeptRows, character: str) -> list[str]:
    ids = (name for name, text in zip(kept.ids, kept.texts, strict=True) if character in text)
    return list(islice(ids, _EXAMPLES_OF_CHARACTER))


def repetitions(kept: KeptRows) -> dict[str, Any]:
    """Duplicates and copies within each side, and what both sides share."""
    codes: dict[str, int] = {}
    texts = np.array([codes.setdefault(text, len(codes)) for text in kept.texts], dtype=np.int64)
    duplicates = {}
    for side, places in kept.sides.items():
        groups = [places[group] for group in column_checks.groups_of_equal(kept.hashes[places])]
        other_text = sum(len(np.unique(texts[group])) > 1 for group in groups)
        duplicates[side] = {**_repetitions(kept, groups), "other_text": other_text}
    # of recordings with equal samples, which are reported above, the first; short texts match by chance
    candidates = np.sort(np.unique(kept.hashes, return_index=True)[1])
    candidates = candidates[[len(kept.texts[place]) >= column_checks.COPIED_CHARACTERS for place in candidates]]
    columns = (texts[candidates], kept.durations_s[candidates], kept.rms[candidates])
    likely_copies = [candidates[group] for group in column_checks.copies(*columns)]
    copies = {}
    for side in kept.sides:
        within = [group[(group < kept.training_rows) == (side == "train")] for group in likely_copies]
        copies[side] = _repetitions(kept, [group for group in within if len(group) > 1])
    return {"duplicates": duplicates, "copies": copies, "overlap": _overlap(kept, likely_copies)}


def _repetitions(kept: KeptRows, groups: list[np.ndarray]) -> dict[str, Any]:
    return {
        "recordings": len(groups),
        "rows": sum(len(group) - 1 for group in groups),
        "examples": [kept.named(group) for group in groups[:MAX_EXAMPLES]],
    }


def _overlap(kept: KeptRows, copies: list[np.ndarray]) -> dict[str, Any]:
    train, validation = (places.tolist() for places in kept.sides.values())
    hashes, ids = kept.hashes.tolist(), kept.ids
    first_by_hash = {hashes[place]: place for place in reversed(train)}
    same_audio = [(place, first_by_hash[hashes[place]]) for place in validation if hashes[place] in first_by_hash]
    copied = [group for group in copies if group[0] < kept.training_rows <= group[-1]]
    trained = {ids[place]: hashes[place] for place in train}
    same_id = [place for place in validation if trained.get(ids[place], hashes[place]) != hashes[place]]
    return {
        "same_audio": {"rows": len(same_audio), "examples": [kept.named(pair) for pair in same_audio[:MAX_EXAMPLES]]},
        "copies": {
            "rows": sum(int((group >= kept.training_rows).sum()) for group in copied),
            "examples": [kept.named(group) for group in copied[:MAX_EXAMPLES]],
        },
        "groups": {"rows": 0, "examples": []},  # unless `shared_values` finds some
        "same_id_other_audio": {"rows": len(same_id), "examples": kept.named(same_id)},
    }


def levels(kept: KeptRows) -> dict[str, Any]:
    """Silence, the quietest first, and clipping, the worst first."""
    silent = np.flatnonzero(column_checks.is_silent(kept.peak, kept.rms))
    silent = silent[np.argsort(kept.rms[silent], kind="stable")]
    clipped = np.flatnonzero(kept.clipped > column_checks.CLIPPED_SHARE)
    clipped = clipped[np.argsort(-kept.clipped[clipped], kind="stable")]
    dbfs = column_checks.dbfs(kept.rms)
    quietest = [
        [kept.ids[row], round(float(dbfs[row]), 1) if np.isfinite(dbfs[row]) else None]  # JSON has no infinity
        for row in silent[:MAX_EXAMPLES]
    ]
    worst = [[kept.ids[row], round(float(kept.clipped[row]), 5)] for row in clipped[:MAX_EXAMPLES]]
    return {
        "silence": {"rows": len(silent), "examples": quietest},
        "clipping": {"rows": len(clipped), "examples": worst},
    }


def text_speed(kept: KeptRows) -> dict[str, Any]:
    """Characters per second of each language, and the rows that are far from it, the farthest first."""
    names = sorted(set(kept.languages))
    number_of = {name: number for number, name in enumerate(names)}
    languages = np.array([number_of[name] for name in kept.languages], dtype=np.int64)
    lengths = np.array([len(text) for text in kept.texts], dtype=np.int64)
    outliers, deviations, bounds = column_checks.text_speed_outliers(lengths, kept.durations_s, languages)
    return {
        "languages": {
            names[number]: {name: round(value, 2) for name, value in asdict(speed).items()}
            for number, speed in bounds.items()
        },
        "outliers": {
            "rows": len(outliers),
            "examples": [
                [
                    kept.ids[row],
                    {
                        "characters_per_s": round(float(lengths[row] / kept.durations_s[row]), 2),
                        "deviations": round(float(deviation), 1),
                        "duration_s": round(float(kept.durations_s[row]), 3),
                        "text": kept.texts[row],
                    },
                ]
                for row, deviation in zip(outliers[:MAX_EXAMPLES].tolist(), deviations, strict=False)
            ],
        },
    }
