"""Text that others may read: without what may be a secret, and without what acts on the screen that shows it."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

HIDDEN = "(hidden)"
SHORTEST_SECRET = 6  # a shorter one may be any word, and hiding all of those would say more than it hides
_CREDENTIALS = re.compile(r"(?<=://)[^/\s'\"\\?#]+@")
_QUERY = re.compile(r"(?<=://)([^\s'\"\\?#]*)([?#])[^\s'\"\\]*")
_PARAMETER = re.compile(
    r"\b(X-(?:Amz|Goog)-[\w-]+|AWSAccessKeyId|Signature|sig|(?:access_)?token|api_?key|password)=[^\s&'\"\\]+", re.I
)
_OPTION = re.compile(
    r"(--(?:[\w.-]*[._-])?(?:token|password|passwd|secret|api[_-]?key))([=\s]+)(?:'[^']*'|\"[^\"]*\"|[^\s'\"\\]+)", re.I
)
_SECRET_PARAMETER = re.compile(r"sig|token|key|secret|passw|credential|auth", re.I)
_LONG_VALUE = 16  # characters: what a parameter of another name may hold and be no word that texts have too
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}")
# tokens that say what they are: of the Hub, AWS, GitHub, GitLab, OpenAI
_TOKEN = re.compile(r"\b(hf_[A-Za-z0-9]{16,}|AKIA[0-9A-Z]{16}|gh[pousr]_\w{20,}|glpat-[\w-]{16,}|sk-[A-Za-z0-9-]{20,})")
_SECRET_VARIABLE = re.compile(
    r"(?:.*_)?(?:TOKEN|SECRET|PASSWORD|PASSWD|PAT|API_?KEY|ACCESS_?KEY(?:_ID)?|PRIVATE_?KEY|CREDENTIALS?)", re.I
)
_remembered: set[str] = set()
# what would move the cursor, colour the rest, end the line or turn the direction of writing; and half characters, such
# as a file name that is no UTF-8 becomes in Python, which no file can be written with
_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_ON_ONE_LINE = re.compile(f"[{_CONTROLS}]")
_IN_LINES = re.compile(rf"(?!\n)[{_CONTROLS}]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def public(text: str) -> str:
    """Without passwords, queries and fragments of addresses, tokens, and whatever else this process knows as a secret.

    For settings, commands, names and messages. Texts of the data lose only what `without_secrets` takes.
    """
    text = _CREDENTIALS.sub(f"{HIDDEN}@", text)
    text = _QUERY.sub(rf"\1\2{HIDDEN}", text)
    text = _PARAMETER.sub(rf"\1={HIDDEN}", text)
    text = _OPTION.sub(rf"\1\2{HIDDEN}", text)
    text = _BEARER.sub(rf"\1 {HIDDEN}", text)
    return without_secrets(text)


def without_secrets(text: str, secrets: Iterable[str] | None = None) -> str:
    """Without known secrets and tokens that say what they are; nothing else is touched.

    Args:
        secrets: As `known_secrets` gives them, where it is asked once for many texts.
    """
    for secret in known_secrets() if secrets is None else secrets:
        if secret in text:
            text = text.replace(secret, HIDDEN)
    return _TOKEN.sub(HIDDEN, text)


def shortened(text: str, most: int = 200) -> str:
    """At most so many characters of it, and how many there were more."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text) - most:,} more)"


def last_part(location: str) -> str:
    """The name at the end of a path or an address, of which the query, that may hold a secret, is left out."""
    path = re.split(r"[?#]", location)[0] if "://" in location else location
    return path.rstrip("/").rpartition("/")[2]


def public_values(content: Any, hide: Callable[[str], str] = public) -> Any:
    """Nested mappings and lists with every string of theirs hidden by `hide`."""
    if isinstance(content, str):
        return hide(content)
    if isinstance(content, Mapping):
        return {hide(name) if isinstance(name, str) else name: public_values(content[name], hide) for name in content}
    if isinstance(content, list | tuple):
        return [public_values(value, hide) for value in content]
    return content


def remember_secrets(content: Any) -> None:
    """Know the passwords and queries of addresses in nested settings or arguments from here on, wherever they appear.

    A server's answer, an exception or a library's warning may repeat a part of an address without the rest of it.
    """
    if isinstance(content, str):
        _remembered.update(_secrets_in(content))
    elif isinstance(content, Mapping):
        remember_secrets(list(content.values()))
    elif isinstance(content, list | tuple):
        for value in content:
            remember_secrets(value)


def known_secrets() -> list[str]:
    """Values of variables such as HF_TOKEN, passwords of proxies, and what was remembered; the longest first."""
    found = set(_remembered)
    for name, value in os.environ.items():
        if "://" in value:
            found.update(_secrets_in(value))
        elif _SECRET_VARIABLE.fullmatch(name) and len(value) >= SHORTEST_SECRET and value[0] not in "/~.":  # no path
            found.add(value)
    return sorted(found, key=len, reverse=True)


def _secrets_in(text: str) -> set[str]:
    """The password, or the user where there is none, and the values of the query, of each address in `text`."""
    found = set()
    for credentials in _CREDENTIALS.findall(text):
        user, colon, password = credentials[:-1].partition(":")
        found.add(password if colon else user)
    for address in _QUERY.finditer(text):
        for part in re.split(r"[&;#]", address[0][len(address[1]) + 1 :]):
            name, equals, value = part.partition("=")
            if _SECRET_PARAMETER.search(name) or len(part) - len(name) > _LONG_VALUE:
                found.add(value if equals else name)
    found |= {unquote(secret) for secret in found}
    return {secret for secret in found if len(secret) >= SHORTEST_SECRET}


def visible(text: str) -> str:
    """On one line, with controls as Python writes them: `\\n`, `\\x1b`, `\\u202e`. For names, texts and cells."""
    return _ON_ONE_LINE.sub(_escaped, text)


def visible_lines(text: str) -> str:
    """As `visible`, for what has lines of its own: they stay."""
    return _IN_LINES.sub(_escaped, text)


def _escaped(control: re.Match[str]) -> str:
    code = ord(control[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is no UTF-8
        code -= 0xDC00
    return _SHORT.get(control[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
