"""One resolver of languages: by code, name, region, script, three letters; hints; and another that stands in."""

import pytest
from transformers.models.whisper.tokenization_whisper import LANGUAGES, TO_LANGUAGE_CODE

from accel_asr.data.labels import LabelEncoder
from accel_asr.errors import UserError
from accel_asr.model import languages
from accel_asr.model.languages import (
    known_language,
    language_code,
    language_name,
    language_of_labels,
    token_language,
    unknown_language,
)

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
    ("stand_ins", "told"),
    [
        ({"German": "nl"}, ["{German: nl}", "knows 'German' itself", "leave it out"]),
        ({"ckb": "klingon"}, ["{ckb: klingon}", "does not know 'klingon'", "give one of af, am"]),
    ],
)
def test_stand_ins_that_make_no_sense(stand_ins: dict[str, str], told: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        language_of_labels("en", "transcribe", is_multilingual=True, lang_to_id=TOKENS, stand_ins=stand_ins)
    message = str(caught.value)
    assert message.startswith("model.language_stand_ins: ")
    assert all(one in message for one in told)


# -- what a user is told


@pytest.mark.parametrize("language", ["wo", "ckb", "dv", "klingon"])
def test_an_unknown_language_is_answered_with_the_way_on(language: str) -> None:
    with pytest.raises(UserError) as caught:
        known_language(language, TOKENS)
    message = str(caught.value)
    assert message.startswith(f"model.language: the model does not know {language!r}")
    assert f"model.language_stand_ins: {{{language}: fa}}" in message
    assert len(message.split("it knows: ")[1].split(", ")) == 99


@pytest.mark.parametrize(
    ("language", "way_on"),
    [
        ("", "give one language"),
        ("de,en", "give one language"),
        ("auto", "data.language_column"),
        ("mul", "set model.la"),
    ],
)
def test_what_is_no_language_gets_no_stand_in(language: str, way_on: str) -> None:
    with pytest.raises(UserError) as caught:
        known_language(language, TOKENS)
    assert way_on in str(caught.value)
    assert "stand" not in str(caught.value)


def test_an_english_only_model_is_answered_with_another_model() -> None:
    told = unknown_language("de", ["en"])
    assert "choose a multilingual model" in told
    assert "stand" not in told


def test_a_name_with_a_slip_is_answered_with_the_one_that_is_meant() -> None:
    with pytest.raises(UserError, match=r"'Germn' \(do you mean german\?\)"):
        known_language("Germn", TOKENS)


def test_an_option_names_no_setting_of_training() -> None:
    with pytest.raises(UserError) as caught:
        known_language("ckb", TOKENS, setting="--language")
    message = str(caught.value)
    assert message.startswith("--language: the model does not know 'ckb'")
    assert "stood in for it" in message
    assert "model." not in message


@pytest.mark.parametrize("language", [None, "en", "en-US", "English", "eng"])
def test_an_english_only_model_takes_english_by_any_name(language: str | None) -> None:
    assert language_of_labels(language, "transcribe", is_multilingual=False, lang_to_id=None) is None


@pytest.mark.parametrize(("language", "stand_ins"), [("de-DE", {}), ("ckb", {"ckb": "en"})])
def test_an_english_only_model_has_no_tokens_to_lend(language: str, stand_ins: dict[str, str]) -> None:
    with pytest.raises(UserError, match="English-only"):
        language_of_labels(language, "transcribe", is_multilingual=False, lang_to_id=None, stand_ins=stand_ins)
