"""Which tiers of an annotation hold the text to learn: those of `data.tier`, or the only ones that can be meant.

Tiers that differ by the speaker alone, such as `tx@Ann` and `tx@Ben`, belong together. Without a setting, a tier counts
by the words in its name or type: tiers of sounds, glosses, translations and notes are not read; one of utterances goes
before one of words, and that before a tier of any other name; and there must be exactly one of them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from fnmatch import fnmatch

from accel_asr.data.reading.source_table import first_few
from accel_asr.data.reading.timed_texts.timed_cues import TimedCue
from accel_asr.data.reading.timed_texts.word_joining import is_silence

_MOST_TIERS = 20  # listed in a message
_EXAMPLES = 2  # of the labels of each
_WORD_IN_NAME = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NO_TEXT = re.compile(
    r"phon(es?|emes?|etics?|emic)|phn|ipa|mau|kan|syl(l|lables?)?|tones?|tobi|breaks?|stress|pitch|intensity|"
    r"gloss(es|ing)?|gls?|g[en]|translat(ions?|ed)|trl|ft[efgn]?|free|lit(eral)?|lt|morph(s|emes?)?|m[bopt]|msa|pos?|ps|"
    r"lemmas?|tags?|notes?|nt|comments?|com|cmt?|remarks?|refs?|ids?|segnum|numbers?|silences?|noise|music|laughter|"
    r"events?|gestures?|gaze|lang(uage)?|topic"
)
_WORDS = re.compile(r"words?|wd|wrds?|tokens?")
_UTTERANCES = re.compile(
    r"utt(erance)?s?|sent(ence)?s?|phrases?|transcript(ion|ions|s)?|transcribed|texts?|txt?|ortho?|orthograph(y|ic)|"
    r"speech|trn|trs|turns?"
)


class Role(IntEnum):
    """What the labels of a tier are, by its name, from what is read first on."""

    UTTERANCES = 1
    WORDS = 2
    UNKNOWN = 3
    NO_TEXT = 4


@dataclass(frozen=True, slots=True)
class TierSettings:
    """`data.tier` and `data.speaker`: names or patterns; None where the source leaves no doubt."""

    tier: str | None = None
    speaker: str | None = None


class TierError(Exception):
    """No tier, or more than one, can be meant; the message lists all tiers with counts and examples.

    `is_open`: several may hold the text.
    """

    def __init__(self, message: str, *, is_open: bool = False) -> None:
        super().__init__(message)
        self.is_open = is_open


@dataclass(frozen=True, slots=True)
class _Tier:
    """A tier; `kind` is what it has in common with those of other speakers."""

    name: str
    type: str | None
    kind: str
    role: Role


@dataclass(frozen=True, slots=True)
class ChosenTiers:
    """All cues of the chosen tiers, the kind of these if the file has tiers, and whether each label is a word."""

    cues: list[TimedCue]
    kind: str | None = None
    are_words: bool = False


def choose_tiers(cues: Sequence[TimedCue], wanted: str | None = None) -> ChosenTiers:
    """The cues of the tiers with the text to learn; all of a file without tiers.

    Args:
        cues: Of one file.
        wanted: The name or the type of a tier, or a pattern of names, such as `tx@*`.

    Raises:
        TierError: there is no such tier; or without `wanted`, no tier or more than one has the text.
    """
    spoken = [cue for cue in cues if cue.text.strip() and not is_silence(cue)]
    tiers = _tiers(cues if wanted is not None else spoken)
    if not tiers:
        if wanted is not None:
            raise TierError("it has no tiers")
        return ChosenTiers(list(cues))
    chosen = _matching(tiers, wanted) if wanted is not None else _only_kind(tiers)
    if not chosen:
        is_open = wanted is None and any(tier.role < Role.NO_TEXT for tier in tiers)
        problem = "several of its tiers may hold the text" if is_open else "by its name, no tier of it holds the text"
        problem = "it has no such tier" if wanted is not None else problem
        raise TierError(f"{problem}: {_listed(tiers, spoken)}", is_open=is_open)
    names = {tier.name for tier in chosen}
    kept = [cue for cue in cues if cue.tier in names]
    if len(names) > 1:  # where nothing else tells the speakers apart, the tiers do
        kept = [cue if cue.speaker else replace(cue, speaker=cue.tier) for cue in kept]
    of_chosen = [cue for cue in spoken if cue.tier in names]
    # the words of a sentence that refer to it are one cue already
    are_apart = sum(len(cue.text.split()) > 1 for cue in of_chosen) < len(of_chosen) / 2
    are_words = are_apart and all(tier.role == Role.WORDS for tier in chosen)
    return ChosenTiers(kept, " and ".join(dict.fromkeys(tier.kind for tier in chosen)), are_words)


def role_of(name: str) -> Role:
    """What the labels of a tier of this name are."""
    words = {word.lower() for part in _CAMEL.split(name) for word in _WORD_IN_NAME.findall(part)}
    if {"ort", "mau"} <= words:  # of WebMAUS
        return Role.WORDS
    kinds = ((_NO_TEXT, Role.NO_TEXT), (_WORDS, Role.WORDS), (_UTTERANCES, Role.UTTERANCES))
    return next((role for kind, role in kinds if any(map(kind.fullmatch, words))), Role.UNKNOWN)


def _tiers(cues: Sequence[TimedCue]) -> list[_Tier]:
    """The tiers of the cues, in their order."""
    found = dict.fromkeys((cue.tier, cue.speaker, cue.tier_type) for cue in cues if cue.tier is not None)
    speakers_of_type: dict[str | None, list[str | None]] = {}
    for _, speaker, tier_type in found:
        speakers_of_type.setdefault(tier_type, []).append(speaker)
    tiers: dict[str, _Tier] = {}
    for name, speaker, tier_type in found:
        base = _without_speaker(str(name), speaker)
        speakers = speakers_of_type[tier_type]
        is_one_of_each = None not in speakers and len(set(speakers)) == len(speakers) > 1
        role = role_of(base)
        if role == Role.UNKNOWN and tier_type is not None:
            role = role_of(tier_type)
        kind = tier_type or "" if is_one_of_each else base or tier_type or str(name)
        tiers.setdefault(str(name), _Tier(str(name), tier_type, kind, role))
    return list(tiers.values())


def _without_speaker(name: str, speaker: str | None) -> str:
    """`tx` of `tx@Ann`; `phrase-txt` of `A_phrase-txt` where A is the speaker."""
    base = name.partition("@")[0]
    if speaker:
        at_either_end = rf"^{re.escape(speaker)}(?=[\W_]|$)|(?<=[\W_]){re.escape(speaker)}$"
        base = re.sub(at_either_end, "", base)
    return base.strip(" -_:.")


def _matching(tiers: Sequence[_Tier], wanted: str) -> list[_Tier]:
    return (
        [tier for tier in tiers if tier.name == wanted]
        or [tier for tier in tiers if wanted in (tier.kind, tier.type)]
        or [tier for tier in tiers if fnmatch(tier.name.casefold(), wanted.casefold())]
    )


def _only_kind(tiers: Sequence[_Tier]) -> list[_Tier]:
    """The tiers of the best role, if they are of one kind."""
    best = min(tier.role for tier in tiers)
    chosen = [tier for tier in tiers if tier.role == best]
    return chosen if best < Role.NO_TEXT and len({tier.kind for tier in chosen}) == 1 else []


def _listed(tiers: Sequence[_Tier], cues: Sequence[TimedCue]) -> str:
    lines = []
    for tier in tiers:
        texts = [" ".join(cue.text.split()) for cue in cues if cue.tier == tier.name]
        examples = f", such as {first_few(texts[:_EXAMPLES])}" if texts else ""
        lines.append(f"{tier.name!r} ({len(texts):,} labels{examples})")
    return first_few(lines, most=_MOST_TIERS)
