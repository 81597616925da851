"""The Open ASR leaderboard's rules, by the examples that its repository publishes in comments and tests.

Repository huggingface/open_asr_leaderboard: the docstrings and comments of `normalizer/normalizer.py`,
`normalizer/eval_utils.py` and `tests/test_multilingual_benchmark.py`, and the tests of kaldialign, by which it scores.
"""

import pytest

from accel_asr.evaluation import open_asr
from accel_asr.evaluation.normalizers import load_normalizer, normalizer_named
from accel_asr.evaluation.open_asr import OpenAsr
from accel_asr.evaluation.open_asr_compounds import joined_where_equal, spaced_as_reference
from accel_asr.evaluation.scoring import TRANSLATE, EditCounts, Transcript, score_utterance, word_edits
from tests.refusals import refused

SPELLING = {"colour": "color"}


@pytest.fixture
def english() -> OpenAsr:
    return OpenAsr(SPELLING, language="en")


def german(monkeypatch: pytest.MonkeyPatch) -> OpenAsr:
    """Also where num2words is not installed; only texts without digits need none."""
    monkeypatch.setattr(open_asr, "find_spec", lambda name: True)
    return OpenAsr(SPELLING, language="de")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # acronyms
        ("b b c", "bbc"),
        ("5 g", "5g"),
        ("a big cat", "a big cat"),
        # hesitations
        ("uh uhh uuuh uhhhh", ""),
        ("um-hmm", ""),
        ("ah-ha", ""),
        ("aah hm mmhm tsk ugh uhum erm, yes", "yes"),
        ("her humble hat", "her humble hat"),
        # "oh" as a zero and as a word
        ("four oh one", "401"),
        ("nineteen oh five", "1905"),
        ("oh seven nine eight", "0798"),
        ("oh oh", "oh oh"),
        ("two oh well", "2 oh well"),
        ("one oh one", "101"),
        ("double oh seven", "007"),
        # as Whisper's
        ("$20 million", "$20000000"),
        ("1960s, 274th and 32nd", "1960s 274th and 32nd"),
        ("$2 and ¢7", "$2.07"),
        ("one and ones", "one and ones"),
        # compounds, spellings and names
        ("wi-fi", "wifi"),
        ("All right, et cetera. OK?", "alright etc okay"),
        ("the colour", "the color"),
        ("Katherine and Jon MacDonald", "catherine and john mcdonald"),
        # 's is "is" only after some words
        ("it's what John's got", "it is what john has got"),
        ("who's in John's car", "who is in john s car"),
        # times
        ("half past seven", "7 30"),
        ("a quarter to one", "12 45"),
        ("ten minutes before 12", "11 50"),
        ("seven o'clock", "7"),
        ("at 07:00, not 07:05", "at 7 not 75"),
        # symbols at the end
        ("it is 5% or % of 3.5.", "it is 5% or of 3.5"),
    ],
)
def test_english_rules(english: OpenAsr, text: str, expected: str) -> None:
    assert english(text) == expected


def test_other_languages_keep_their_marks_and_english_rows_are_english(monkeypatch: pytest.MonkeyPatch) -> None:
    normalize = german(monkeypatch)
    assert normalize("Hallo, Welt!") == normalize("hallo welt") == "hallo welt"
    assert normalize("Straße (leise) <um> it's") == "straße it s"
    assert normalize("नमस्ते, दुनिया।", "hi") == "नमस्ते दुनिया"
    assert normalize("it's okay", "en") == "it is okay"


def test_numbers_of_other_languages_are_written_out() -> None:
    pytest.importorskip("num2words")
    normalize = OpenAsr(SPELLING, language="de")
    assert normalize("10 000 Euro, Nr. 5") == "zehntausend euro nr fünf"
    assert normalize("5", "ht") == "5"  # a language that num2words does not know


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors"),
    [  # the values are kaldialign's, with merge_compounds
        ("white paper", "whitepaper", EditCounts(0, 0, 0, 2)),
        ("whitepaper", "white paper", EditCounts(0, 0, 0, 1)),
        ("the white paper is here", "the whitepaper was here", EditCounts(1, 0, 0, 5)),
        ("a b c", "abc", EditCounts(0, 0, 0, 3)),
        ("a bc", "ab c", EditCounts(2, 0, 0, 2)),
        ("x a b y", "z ab", EditCounts(1, 1, 0, 4)),
    ],
)
def test_compounds_apart_or_together_are_no_errors(reference: str, hypothesis: str, errors: EditCounts) -> None:
    assert word_edits(reference, spaced_as_reference(reference, hypothesis)) == errors


def test_outside_of_english_stretches_that_differ_in_spaces_are_joined() -> None:
    assert joined_where_equal("das haus boot ab", "das hausboot an") == ("das haus boot ab", "das hausboot an")
    assert joined_where_equal("ein haus boot ist", "ein hausboot ist") == ("ein hausboot ist", "ein hausboot ist")
    assert joined_where_equal("a bc d", "ab c d") == ("abc d", "abc d")


def test_a_translation_is_normalised_as_english(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Transcript("a", 1.0, "It's one white paper.", "it is a whitepaper", False, language="de")
    assert score_utterance(row, german(monkeypatch)).reference_normalized == "it s one white paper"
    translated = Transcript("a", 1.0, "It's a white paper.", "it is a whitepaper", False, "de", task=TRANSLATE)
    scored = score_utterance(translated, german(monkeypatch))
    assert scored.words == EditCounts(0, 0, 0, 5)


def test_what_it_needs_is_said_at_once(model_and_processor, monkeypatch: pytest.MonkeyPatch) -> None:
    with refused("--evaluation.normalizer", "normalizer.json", value="open_asr", remedy="choose basic"):
        normalizer_named("open_asr", spelling=None)
    monkeypatch.setattr(open_asr, "find_spec", lambda name: None)
    for language in ("de", None):
        with refused("--evaluation.normalizer", "num2words", value="open_asr", remedy="accel-asr[open_asr]"):
            load_normalizer("open_asr", model_and_processor[1].tokenizer, language=language)
    assert load_normalizer("open_asr", model_and_processor[1].tokenizer)("Colour!") == "color"
