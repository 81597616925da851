"""The one resolver of languages, for settings, rows of data and `--language` alike: `nb`, `deu`, `en-US`, `Farsi`."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from accel_asr.errors import UserError, raise_all

SETTING = "--model.language"
NO_STAND_INS: Mapping[str, str] = MappingProxyType({})
# Whisper's code, then the codes of ISO 639 and others for the same language or one of its standard forms. Only Whisper
# says `no` for Bokmål, `jw` for Javanese and `tl` for Filipino today
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
_ANY_LANGUAGE = ("auto", "detect", "none", "null", "multilingual", "all", "und", "mul")


@lru_cache(maxsize=4096)
def language_code(name: str) -> str | None:
    """Whisper's code for a language: `en` for `en`, `EN`, `eng`, `English`, `en-US`, `en_us.UTF-8`, `<|en|>`,
    `English (India)`; None for a language that no Whisper has."""
    return next((_CODES[candidate] for candidate in _candidates(name) if candidate in _CODES), None)


@lru_cache(maxsize=4096)
def language_name(name: str) -> str:
    """Whisper's code, or its bare name for a language without one: `ckb`."""
    return language_code(name) or _candidates(name)[-1]


def token_language(name: str, known: Collection[str], stand_ins: Mapping[str, str] = NO_STAND_INS) -> str | None:
    """The code in `known` whose token stands for `name`, its own or that of its stand-in; None if there is none."""
    code = language_name(name)
    if code not in known:
        code = {language_name(spoken): language_name(other) for spoken, other in stand_ins.items()}.get(code, code)
    return code if code in known else None


def language_of_labels(
    language: str | None,
    task: str,
    *,
    is_multilingual: bool,
    lang_to_id: Iterable[str] | None,
    language_of_rows: bool = False,
    stand_ins: Mapping[str, str] = NO_STAND_INS,
) -> str | None:
    """The code of a run's language; None for an English-only model, and where each row says its own.

    Args:
        language: A code or a name, as the user gives it.
        lang_to_id: The language tokens of the model's generation settings, such as `<|en|>`.
        language_of_rows: Rows may name their language, so the run need not.
        stand_ins: `model.language_stand_ins`.

    Raises:
        UserError: as `known_language`, or an English-only model is asked for anything else.
    """
    if not is_multilingual:
        require_english(language, task, stand_ins)
        return None
    if lang_to_id is not None:
        lang_to_id = list(lang_to_id)
        _require_stand_ins(stand_ins, _codes(lang_to_id))
    if language is None and language_of_rows:
        return None
    return known_language(language, lang_to_id, stand_ins=stand_ins)


def require_english(
    language: str | None, task: str | None, stand_ins: Mapping[str, str] = NO_STAND_INS, *, options: str = "--model."
) -> None:
    """What an English-only model can be asked for: it has no tokens for languages and tasks.

    Args:
        options: How the settings begin that gave `language` and `task`.

    Raises:
        UserError: another language or task.
    """
    asked = {
        "language": None if language_code(language or "en") == "en" else language,
        "task": None if task in (None, "transcribe") else task,
        "language_stand_ins": dict(stand_ins) or None,
    }
    raise_all(
        UserError(
            "the model is English-only",
            setting=options + name,
            value=value,
            remedy="leave it unset, or choose a multilingual model",
        )
        for name, value in asked.items()
        if value is not None
    )


def known_language(
    language: str | None,
    lang_to_id: Iterable[str] | None,
    *,
    setting: str = SETTING,
    stand_ins: Mapping[str, str] = NO_STAND_INS,
) -> str:
    """The model's code for `language`, given as a code or a name.

    Raises:
        UserError: no language, or one that the model does not know; the message lists those that it knows.
    """
    if lang_to_id is None:
        raise UserError(
            "the model's generation settings list no languages",
            setting=setting,
            value=language,
            remedy="leave it unset if the model is English-only, or copy generation_config.json from its base model",
        )
    known = _codes(lang_to_id)
    if language is None:
        raise UserError(
            "is not set, and the model is multilingual",
            setting=setting,
            remedy=f"give the language spoken, such as --model.language en (the model knows: {', '.join(known)})",
        )
    code = token_language(language, known, stand_ins)
    if code is None:
        problem, remedy = _unknown(language, known, may_stand_in=setting == SETTING)
        raise UserError(problem, setting=setting, value=language, remedy=remedy)
    return code


def unknown_language(language: str, known: Collection[str]) -> str:
    """That a model does not know a language of the data, which ones it knows, and what to do."""
    problem, remedy = _unknown(language, known, may_stand_in=True)
    return f"{problem}; {remedy}"


def _unknown(language: str, known: Collection[str], *, may_stand_in: bool) -> tuple[str, str]:
    """(problem, remedy) of a language that the model does not know.

    Args:
        may_stand_in: It comes from a run's settings, of which one lets another language stand in.
    """
    asked = language.strip().lower()
    names = [name for name, code in _CODES.items() if code in known and len(name) > _LONGEST_CODE]
    similar = difflib.get_close_matches(asked, names, n=1, cutoff=0.75)
    problem = f"the model does not know {language!r}"
    knows = f"it knows: {', '.join(sorted(known))}"
    if not may_stand_in:
        return problem, f"leave it out, or give the language that stood in for it in training; {knows}"
    if set(known) == {"en"}:
        return problem, "the model is English-only: choose a multilingual model"
    if asked in _ANY_LANGUAGE:
        return problem, f"set model.language, or name a column with each row's in data.language_column; {knows}"
    if not re.fullmatch(r"[^\W\d_]+([-_ ()]+\w+)*\)?", asked.removeprefix("<|")):
        return problem, f"give one language, by its code or name; {knows}"
    example = f"{{{language_name(language) or 'ckb'}: {'fa' if 'fa' in known else min(known, default='en')}}}"
    remedy = f"let another, similar in sound and script, stand in for it: model.language_stand_ins: {example}"
    if similar:
        remedy = f"did you mean {similar[0].title()}? If not, {remedy}"
    return problem, f"{remedy}; {knows}"


def _require_stand_ins(stand_ins: Mapping[str, str], known: Sequence[str]) -> None:
    errors = []
    for language, other in stand_ins.items():
        setting, value = f"{SETTING}_stand_ins", {language: other}
        if language_name(language) in known:
            problem, remedy = f"the model knows {language!r} itself", "leave it out"
            errors.append(UserError(problem, setting=setting, value=value, remedy=remedy))
        elif language_name(other) not in known:
            problem, remedy = f"the model does not know {other!r}", f"give one of {', '.join(known)}"
            errors.append(UserError(problem, setting=setting, value=value, remedy=remedy))
    raise_all(errors)


def _codes(lang_to_id: Iterable[str]) -> list[str]:
    return sorted(token.strip("<|>") for token in lang_to_id)


def _candidates(name: str) -> list[str]:
    """The name, and what is left of it without region, script or encoding, in the order in which they are looked up."""
    lowered = name.strip().lower().removeprefix("<|").removesuffix("|>")
    plain = re.sub(r"\s*\(.*", "", lowered) or lowered
    return [lowered, plain, re.split(r"[-_@]|\.utf", plain)[0] or plain]
