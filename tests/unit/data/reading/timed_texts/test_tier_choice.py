"""Which tiers are read: by the setting, or the only ones that can be meant."""

import pytest

from accel_asr.data.reading.timed_texts.tier_choice import Role, TierError, choose_tiers, role_of
from accel_asr.data.reading.timed_texts.timed_cues import TimedCue

# (tier, speaker, type) of each
FIELDWORK = [
    ("ref@Ann", "Ann", "ref"),
    ("tx@Ann", "Ann", "tx"),
    ("ft@Ann", "Ann", "ft"),
    ("ref@Ben", "Ben", "ref"),
    ("tx@Ben", "Ben", "tx"),
    ("ft@Ben", "Ben", "ft"),
]
FLEX = [
    ("A_phrase-segnum-en", "Ann", "phrase item"),
    ("A_phrase-txt-oj", "Ann", "phrase"),
    ("A_word-txt-oj", "Ann", "word"),
    ("A_word-gls-en", "Ann", "word item"),
    ("A_morph-txt-oj", "Ann", "morph"),
    ("A_phrase-gls-en", "Ann", "phrase item"),
]
MFA = [
    ("Ann Lee - words", "Ann Lee", "words"),
    ("Ann Lee - phones", "Ann Lee", "phones"),
    ("Ben - words", "Ben", "words"),
    ("Ben - phones", "Ben", "phones"),
]
SPEAKERS = [("Ann", None, None), ("Ben", None, None), ("notes", None, None)]


def cues_of(tiers: list[tuple[str, str | None, str | None]], text: str = "eya") -> list[TimedCue]:
    return [
        TimedCue(number, number + 1.0, text, speaker, tier, tier_type=tier_type)
        for number, (tier, speaker, tier_type) in enumerate(tiers)
    ]


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("utterance", Role.UTTERANCES),
        ("Transcription", Role.UTTERANCES),
        ("orthTranscription", Role.UTTERANCES),
        ('"""word"""', Role.WORDS),
        ("ORT-MAU", Role.WORDS),
        ("KAN-MAU", Role.NO_TEXT),
        ("MAU", Role.NO_TEXT),
        ("phonetic transcription", Role.NO_TEXT),
        ("Text translation", Role.NO_TEXT),
        ("phone", Role.NO_TEXT),
        ("Naskapi", Role.UNKNOWN),
        ("", Role.UNKNOWN),
    ],
)
def test_a_name_says_what_a_tier_holds(name: str, role: Role) -> None:
    assert role_of(name) is role


@pytest.mark.parametrize(
    ("tiers", "chosen", "are_words"),
    [
        (FIELDWORK, ["tx@Ann", "tx@Ben"], False),
        (FLEX, ["A_phrase-txt-oj"], False),
        (MFA, ["Ann Lee - words", "Ben - words"], True),
        ([("phone", None, None), ("word", None, None)], ["word"], True),
        ([("word", None, None), ("phrase", None, None)], ["phrase"], False),
        ([("Naskapi", None, None), ("English translation", None, None)], ["Naskapi"], False),
        ([("Ann", "Ann", "utterance"), ("Ben", "Ben", "utterance"), ("x", None, "note")], ["Ann", "Ben"], False),
        ([("Speaker1", "Ann", None), ("Speaker2", "Ben", None)], ["Speaker1", "Speaker2"], False),
        ([("", None, None)], [""], False),
    ],
    ids=["fieldwork", "flex", "mfa", "words", "phrases", "unknown", "by-type", "participants", "no-name"],
)
def test_the_only_tiers_that_can_be_meant(tiers, chosen: list[str], are_words: bool) -> None:
    choice = choose_tiers(cues_of(tiers))
    assert [cue.tier for cue in choice.cues] == chosen
    assert choice.are_words is are_words


def test_a_file_without_tiers_is_used_whole() -> None:
    cues = [TimedCue(0, 1, "eya"), TimedCue(1, 2, "eya eya")]
    assert choose_tiers(cues).cues == cues


def test_words_that_refer_to_a_sentence_are_whole_texts() -> None:
    assert not choose_tiers(cues_of([("wd@Ann", "Ann", "wd"), ("ref@Ann", "Ann", "ref")], "eya hey")).are_words


@pytest.mark.parametrize(
    ("tiers", "words"),
    [
        (SPEAKERS[:2], ["several", "'Ann' (1 labels, such as eya)", "'Ben'"]),
        ([("phrase", None, None), ("sentence", None, None)], ["several", "'phrase'", "'sentence'"]),
        ([("phone", None, None), ("notes", None, None)], ["no tier of it", "'phone'", "'notes'"]),
    ],
)
def test_what_is_not_clear_is_listed(tiers, words: list[str]) -> None:
    with pytest.raises(TierError) as refusal:
        choose_tiers(cues_of(tiers))
    assert all(word in str(refusal.value) for word in words)


@pytest.mark.parametrize(
    ("tiers", "wanted", "chosen"),
    [
        (FIELDWORK, "ft", ["ft@Ann", "ft@Ben"]),
        (FIELDWORK, "ft@Ben", ["ft@Ben"]),
        (FIELDWORK, "FT@*", ["ft@Ann", "ft@Ben"]),
        (FLEX, "A_word-txt*", ["A_word-txt-oj"]),
        (MFA, "phones", ["Ann Lee - phones", "Ben - phones"]),
        ([("[x]", None, None), ("x", None, None)], "[x]", ["[x]"]),
    ],
)
def test_tiers_by_name_type_and_pattern(tiers, wanted: str, chosen: list[str]) -> None:
    assert [cue.tier for cue in choose_tiers(cues_of(tiers), wanted).cues] == chosen


def test_tiers_stand_for_speakers_where_nothing_else_does() -> None:
    assert [cue.speaker for cue in choose_tiers(cues_of(SPEAKERS), "[AB]*").cues] == ["Ann", "Ben"]
    assert [cue.speaker for cue in choose_tiers(cues_of(SPEAKERS), "Ann").cues] == [None]


def test_a_tier_that_is_not_there_is_refused_with_those_there_are() -> None:
    with pytest.raises(TierError, match="no such tier"):
        choose_tiers(cues_of(FIELDWORK), "words")
    with pytest.raises(TierError, match="no tiers"):
        choose_tiers([TimedCue(0, 1, "eya")], "words")
