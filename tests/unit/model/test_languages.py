"""One resolver of languages: by code, name, region, script, three letters; hints; and another that stands in."""

import pytest
from transformers.models.whisper.tokenization_whisper import LANGUAGES, TO_LANGUAGE_CODE

from accel_asr.data.labels import LabelEncoder
from accel_asr.model import languages
from accel_asr.model.languages import (
    known_language,
    language_code,
    language_name,
    language_of_labels,
    token_language,
    unknown_language,
)
from tests.refusals import refused

TOKENS = [f"<|{code}|>" for code in list(LANGUAGES)[:99]]


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["en", "EN", " English", "en-US", "en_us", "en_IN.UTF-8", "eng", "<|en|>", "English (India)"], "en"),
        (["de", "de-DE", "deu", "ger", "GERMAN", "German (Austria)", "Deutsch"], "de"),
        (["zh", "zh-CN", "zh-Hant-TW", "cmn", "cmn_hans_cn", "zho", "chi", "Mandarin", "Chinese (Simplified)"], "zh"),
        (["yue", "yue_hant_hk", "zh-yue", "Cantonese", "Chinese (Cantonese)"], "yue"),
        (["no", "nb", "nb_NO", "nob", "nor", "Bokmål", "Norwegian Bokmål", "Norwegian"], "no"),
        (["nn", "nn-NO", "nno", "Nynorsk"], "nn"),
        (["he", "iw", "heb", "iw-IL", "Hebrew"], "he"),
        (["jw", "jv", "jav", "jv_id", "Javanese"], "jw"),
        (["tl", "fil", "fil_ph", "tgl", "Filipino", "Tagalog"], "tl"),
        (["fa", "fas", "per", "Farsi", "Persian"], "fa"),
        (["el", "ell", "gre", "Greek, Modern"], "el"),
        (["es", "Castilian", "es-419"], "es"),
        ([" de "], "de"),
        (
            [
                "klingon",
                "",
                " ",
                "-",
                "xx-US",
                "wo",
                "ckb",
                "dv",
                "or",
                "tlh",
                "en,de",
                "English, German",
                "en.de",
                "en/de",
            ],
            None,
        ),
    ],
)
def test_names_of_languages(names: list[str], code: str | None) -> None:
    assert {name: language_code(name) for name in names} == dict.fromkeys(names, code)


def test_every_language_of_whisper_has_its_codes_and_no_code_has_two() -> None:
    entries = [line.split() for line in languages._OTHER_CODES.split(";")]
    assert {code for code, *_ in entries} == set(LANGUAGES)
    names = [name for entry in entries for name in entry]
    assert len(names) == len(set(names))
    for code in LANGUAGES:  # each has a code of three letters too
        assert any(len(name) == 3 and language_code(name) == code for name in names), code
    for name, code in TO_LANGUAGE_CODE.items():
        assert language_code(name.title()) == code
    assert {*languages._OTHER_NAMES.values()} <= set(LANGUAGES)


def test_a_language_that_whisper_has_not_keeps_its_own_name() -> None:
    assert [language_name(name) for name in ("ckb_IQ", "Wolof", "dv", "German")] == ["ckb", "wolof", "dv", "de"]


# -- stand-ins


@pytest.mark.parametrize("stand_ins", [{"ckb": "fa"}, {"CKB-IQ": "Persian"}])
@pytest.mark.parametrize("name", ["ckb", "ckb_IQ", "CKB"])
def test_another_language_stands_in_for_one_without_a_token(name: str, stand_ins: dict[str, str]) -> None:
    assert token_language(name, ["en", "fa"], stand_ins) == "fa"
    assert token_language(name, ["en"], stand_ins) is None
    assert language_of_labels(
        name, "transcribe", is_multilingual=True, lang_to_id=TOKENS, stand_ins=stand_ins
    ) == "fa"  # fmt: skip


def test_labels_and_rows_take_the_token_of_the_stand_in(encoder: LabelEncoder) -> None:
    standing = LabelEncoder(encoder.tokenizer, stand_ins={"ckb": "fa"})
    assert (encoder.knows_language("ckb"), standing.knows_language("ckb-IQ")) == (False, True)
    assert standing.encode("x", language="ckb") == encoder.encode("x", language="fa")
    assert standing.encode("x", language="de") == encoder.encode("x", language="de")


@pytest.mark.parametrize(
    ("stand_ins", "words"),
    [
        ({"German": "nl"}, ["knows 'German' itself", "leave it out"]),
        ({"ckb": "klingon"}, ["does not know 'klingon'", "give one of af, am"]),
    ],
)
def test_stand_ins_that_make_no_sense(stand_ins: dict[str, str], words: list[str]) -> None:
    with refused("--model.language_stand_ins", *words, value=stand_ins):
        language_of_labels("en", "transcribe", is_multilingual=True, lang_to_id=TOKENS, stand_ins=stand_ins)


# -- refusals


@pytest.mark.parametrize("language", ["wo", "ckb", "dv", "klingon"])
def test_an_unknown_language_is_answered_with_a_stand_in(language: str) -> None:
    with refused("--model.language", "the model does not know", value=language, remedy=f"{{{language}: fa}}"):
        known_language(language, TOKENS)
    assert len(unknown_language(language, list(LANGUAGES)).split("it knows: ")[1].split(", ")) == len(LANGUAGES)


@pytest.mark.parametrize(
    ("language", "known", "remedy"),
    [
        ("", TOKENS, "give one language"),
        ("de,en", TOKENS, "give one language"),
        ("auto", TOKENS, "data.language_column"),
        ("mul", TOKENS, "set model.la"),
        ("de", ["<|en|>"], "choose a multilingual model"),
    ],
)
def test_where_no_stand_in_helps_none_is_proposed(language: str, known: list[str], remedy: str) -> None:
    with refused("--model.language", remedy=remedy) as refusal:
        known_language(language, known)
    assert "stand" not in str(refusal.value)


def test_a_typing_error_is_answered_with_the_language_that_is_meant() -> None:
    with refused("--model.language", "'Germn'; did you mean German?"):
        known_language("Germn", TOKENS)


def test_an_option_of_a_command_mentions_no_setting_of_training() -> None:
    with refused("--language", value="ckb", remedy="stood in for it") as refusal:
        known_language("ckb", TOKENS, setting="--language")
    assert "model." not in str(refusal.value)


@pytest.mark.parametrize("language", [None, "en", "en-US", "English", "eng"])
def test_an_english_only_model_takes_english_by_any_name(language: str | None) -> None:
    assert language_of_labels(language, "transcribe", is_multilingual=False, lang_to_id=None) is None


@pytest.mark.parametrize(
    ("language", "task", "stand_ins", "refused_settings"),
    [
        ("de-DE", "transcribe", {}, ["language"]),
        (None, "translate", {}, ["task"]),
        ("ckb", "translate", {"ckb": "en"}, ["language", "task", "language_stand_ins"]),
    ],
)
def test_an_english_only_model_can_do_nothing_else(
    language: str | None, task: str, stand_ins: dict[str, str], refused_settings: list[str]
) -> None:
    for setting in refused_settings:
        with refused(f"--model.{setting}", "English-only", remedy="choose a multilingual model"):
            language_of_labels(language, task, is_multilingual=False, lang_to_id=None, stand_ins=stand_ins)
