"""The plain text of a cue: without tags, positions and escapes, and the speaker that a tag or prefix names."""

import html
import re

_RUBY = re.compile(r"<rt\b[^<>]*>.*?</rt>|<rp\b[^<>]*>.*?</rp>", re.DOTALL | re.IGNORECASE)  # how it is pronounced
_LINE_BREAK = re.compile(r"<br\s*/?>|\\[Nn]", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<[\d:.]+>|\{\\[^{}]*\}")
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s+([^<>]+)>")
_INVISIBLE = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_SPEAKER = re.compile(r"\s*\[(SPEAKER_\d+)\]:?\s*")  # as WhisperX writes it


def plain_text(markup: str) -> str:
    """The text without tags of HTML, WebVTT and SubStation, line breaks kept."""
    text = _LINE_BREAK.sub("\n", _RUBY.sub("", markup)).replace("\\h", " ")
    text = html.unescape(_TAG.sub("", text))
    return _INVISIBLE.sub("", text).replace("\xa0", " ")


def text_and_speaker(markup: str) -> tuple[str, str | None]:
    """The plain text, and who says it if a voice tag or WhisperX's prefix names one speaker only."""
    voices = {html.unescape(name).strip() for name in _VOICE.findall(markup)}
    text = plain_text(markup)
    match = _SPEAKER.match(text)
    if match:
        return text[match.end() :], match[1]
    return text, voices.pop() if len(voices) == 1 else None
