"""Languages by the names that people and data sets have for them: the one resolver of settings, rows and options."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from accel_asr.errors import UserError

NO_STAND_INS: Mapping[str, str] = MappingProxyType({})
# Whisper's code, then what ISO 639 and others call the same language or one of its standard forms. Whisper says `no`
# for Bokmål, `jw` for Javanese and `tl` for Filipino, as nobody else does today
_OTHER_CODES = """
en eng; zh zho chi cmn; de deu ger; es spa; ru rus; ko kor; fr fra fre; ja jpn; pt por; tr tur; pl pol; ca cat; nl nld
dut; ar ara arb; sv swe; it ita; id ind in; hi hin; fi fin; vi vie; he heb iw; uk ukr; el ell gre; ms msa may zsm; cs
ces cze; ro ron rum mo; da dan; hu hun; ta tam; no nor nob nb; th tha; ur urd; hr hrv; bg bul; lt lit; la lat; mi mri
mao; ml mal; cy cym wel; sk slk slo; te tel; fa fas per pes; lv lav lvs; bn ben; sr srp; az aze azj; sl slv; kn kan;
et est ekk; mk mkd mac; br bre; eu eus baq; is isl ice; hy hye arm; ne nep npi; mn mon khk; bs bos; kk kaz; sq sqi alb
als; sw swa swh; gl glg; mr mar; pa pan; si sin; km khm; sn sna; yo yor; so som; af afr; oc oci; ka kat geo; be bel;
tg tgk; sd snd; gu guj; am amh; yi yid ydd ji; lo lao; uz uzb uzn; fo fao; ht hat; ps pus pbt; tk tuk; nn nno; mt mlt;
sa san; lb ltz; my mya bur; bo bod tib; tl tgl fil; mg mlg plt; as asm; tt tat; haw; ln lin; ha hau; ba bak; jw jv
jav; su sun; yue
"""
_OTHER_NAMES = {
    **{"deutsch": "de", "español": "es", "français": "fr", "italiano": "it", "nederlands": "nl", "polski": "pl"},
    **{"português": "pt", "svenska": "sv", "norsk": "no", "dansk": "da", "suomi": "fi", "türkçe": "tr"},
    "bokmål": "no",
    "bokmal": "no",
    "norwegian bokmål": "no",
    "norwegian bokmal": "no",
    "norwegian nynorsk": "nn",
    "farsi": "fa",
    "filipino": "tl",
    "mandarin chinese": "zh",
    "simplified chinese": "zh",
    "traditional chinese": "zh",
    "brazilian portuguese": "pt",
    "modern greek": "el",
    "greek, modern": "el",
    "chinese (cantonese)": "yue",
    "kiswahili": "sw",
    "bangla": "bn",
    "zh-yue": "yue",
}
_CODES = {
    **{name: code for code, *names in (line.split() for line in _OTHER_CODES.split(";")) for name in (code, *names)},
    **TO_LANGUAGE_CODE,
    **_OTHER_NAMES,
}
_LONGEST_CODE = 3


@lru_cache(maxsize=4096)
def language_code(name: str) -> str | None:
    """Whisper's code for a language: `en` of `en`, `EN`, `eng`, `English`, `en-US`, `en_us.UTF-8`, `<|en|>`,
    `English (India)`; None of what names no language that any Whisper has."""
    return next((_CODES[candidate] for candidate in _candidates(name) if candidate in _CODES), None)


@lru_cache(maxsize=4096)
def language_name(name: str) -> str:
    """Whisper's code, or for a language that it has none for, its name without what says where or how: `ckb`."""
    return language_code(name) or _candidates(name)[-1]


def token_language(name: str, known: Collection[str], stand_ins: Mapping[str, str] = NO_STAND_INS) -> str | None:
    """The one of the codes in `known` whose token says `name`, itself or by what stands in for it; None for none."""
    own = language_name(name)
    if own not in known:
        own = {language_name(one): language_name(other) for one, other in stand_ins.items()}.get(own, own)
    return own if own in known else None


def language_of_labels(
    language: str | None,
    task: str,
    *,
    is_multilingual: bool,
    lang_to_id: Iterable[str] | None,
    language_of_rows: bool = False,
    stand_ins: Mapping[str, str] = NO_STAND_INS,
) -> str | None:
    """The code of a run's language; None for an English-only model, and where the rows say what is spoken.

    Args:
        language: A code or a name, as the user gives it.
        lang_to_id: The language tokens of the model's generation settings, such as `<|en|>`.
        language_of_rows: Rows may say theirs, so that the run need not.
        stand_ins: `model.language_stand_ins`.

    Raises:
        UserError: as `known_language` raises; or an English-only model is asked for anything else.
    """
    if not is_multilingual:
        if language_code(language or "en") != "en" or task != "transcribe" or stand_ins:
            asked = f"{language!r}, {task!r}" + (f" with stand-ins {dict(stand_ins)}" if stand_ins else "")
            raise UserError(
                f"model.language, model.task: the model is English-only and can't do {asked}; leave them unset, or "
                "choose a multilingual model"
            )
        return None
    if lang_to_id is not None:
        lang_to_id = list(lang_to_id)
        _require_stand_ins(stand_ins, lang_to_id)
    if language is None and language_of_rows:
        return None
    return known_language(language, lang_to_id, stand_ins=stand_ins)


def known_language(
    language: str | None,
    lang_to_id: Iterable[str] | None,
    *,
    setting: str = "model.language",
    stand_ins: Mapping[str, str] = NO_STAND_INS,
) -> str:
    """The model's code for `language`, given as a code or a name.

    Raises:
        UserError: no language, or one that the model does not know; the message says what it knows, and the way on.
    """
    if lang_to_id is None:
        raise UserError(
            f"{setting}: the model's generation settings name no languages, so it can't be told {language!r}; it is "
            "English-only, or its folder needs the generation_config.json of the model that it was made from"
        )
    known = _codes(lang_to_id)
    if language is None:
        raise UserError(
            "model.language is not set, and the model is multilingual; give the language spoken, for example "
            f"--model.language en (the model knows: {', '.join(known)})"
        )
    code = token_language(language, known, stand_ins)
    if code is None:
        raise UserError(f"{setting}: {unknown_language(language, known, may_stand_in=setting == 'model.language')}")
    return code


def unknown_language(language: str, known: Collection[str], *, may_stand_in: bool = True) -> str:
    """That a model does not know a language, what it knows, and the ways on.

    Args:
        may_stand_in: There is a setting that lets another one stand in.
    """
    names = [name for name, code in _CODES.items() if code in known and len(name) > _LONGEST_CODE]
    like = difflib.get_close_matches(language.strip().lower(), names, n=1, cutoff=0.75)
    meant = f" (do you mean {like[0]}?)" if like else ""
    knows = f"it knows: {', '.join(sorted(known))}"
    if may_stand_in and set(known) == {"en"}:
        return f"the model does not know {language!r}{meant}; it is English-only: choose a multilingual model"
    if may_stand_in and not re.fullmatch(r"[^\W\d_]+([-_ ()]+\w+)*\)?", language.strip().removeprefix("<|")):
        return f"the model does not know {language!r}; give one language, by its code or name; {knows}"
    if language.strip().lower() in ("auto", "detect", "none", "null", "multilingual", "all", "und", "mul"):
        return (
            f"the model does not know {language!r}; training needs to be told: set model.language, or a column with "
            f"the language of each row (data.language_column); {knows}"
        )
    if may_stand_in:
        example = f"{{{language_name(language) or 'ckb'}: {'fa' if 'fa' in known else min(known, default='en')}}}"
        remedy = f"let another, near in sound and script, stand in for it: model.language_stand_ins: {example}"
    else:
        remedy = "give the one that stood in for it when the model was trained"
    return f"the model does not know {language!r}{meant}; where it has no token for a language, {remedy}; {knows}"


def _require_stand_ins(stand_ins: Mapping[str, str], lang_to_id: Iterable[str]) -> None:
    known = _codes(lang_to_id)
    problems = []
    for language, other in stand_ins.items():
        told = f"model.language_stand_ins: {{{language}: {other}}}: the model"
        if language_name(language) in known:
            problems.append(f"{told} knows {language!r} itself; leave it out")
        elif language_name(other) not in known:
            problems.append(f"{told} does not know {other!r}; give one of {', '.join(known)}")
    if problems:
        raise UserError("\n".join(problems))


def _codes(lang_to_id: Iterable[str]) -> list[str]:
    return sorted(token.strip("<|>") for token in lang_to_id)


def _candidates(name: str) -> list[str]:
    """What is looked up, one after the other: the name, and what is left of it without region, script or encoding."""
    lowered = name.strip().lower().removeprefix("<|").removesuffix("|>")
    plain = re.sub(r"\s*\(.*", "", lowered) or lowered
    return [lowered, plain, re.split(r"[-_@]|\.utf", plain)[0] or plain]
