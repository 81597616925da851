"""Text that others may read: without secrets, and without characters that control the terminal."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

HIDDEN = "(hidden)"
SHORTEST_SECRET = 6  # characters: a shorter one may be any word, and hiding that everywhere would give it away
_CREDENTIALS = re.compile(r"(?<=://)[^/\s'\"\\?#]+@")
_QUERY = re.compile(r"(?<=://)([^\s'\"\\?#]*)([?#])[^\s'\"\\]*")
_PARAMETER = re.compile(
    r"\b(X-(?:Amz|Goog)-[\w-]+|AWSAccessKeyId|Signature|sig|(?:access_)?token|api_?key|password)=[^\s&'\"\\]+", re.I
)
_OPTION = re.compile(
    r"(--(?:[\w.-]*[._-])?(?:token|password|passwd|secret|api[_-]?key))([=\s]+)(?:'[^']*'|\"[^\"]*\"|[^\s'\"\\]+)", re.I
)
_SECRET_PARAMETER = re.compile(r"sig|token|key|secret|passw|credential|auth", re.I)
_LONG_VALUE = 16  # characters: a parameter of any name with a longer value may be a secret, and is no common word
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}")
# tokens with a known prefix: of the Hub, AWS, GitHub, GitLab, OpenAI
_TOKEN = re.compile(r"\b(hf_[A-Za-z0-9]{16,}|AKIA[0-9A-Z]{16}|gh[pousr]_\w{20,}|glpat-[\w-]{16,}|sk-[A-Za-z0-9-]{20,})")
_SECRET_VARIABLE = re.compile(
    r"(?:.*_)?(?:TOKEN|SECRET|PASSWORD|PASSWD|PAT|API_?KEY|ACCESS_?KEY(?:_ID)?|PRIVATE_?KEY|CREDENTIALS?)", re.I
)
_remembered: set[str] = set()
# characters that move the cursor, change colours, end the line or turn the writing direction; and lone surrogates,
# which Python uses for file names that are not UTF-8, and which can't be encoded
_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_ON_ONE_LINE = re.compile(f"[{_CONTROLS}]")
_IN_LINES = re.compile(rf"(?!\n)[{_CONTROLS}]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def public(text: str) -> str:
    """Hide passwords, queries and fragments of addresses, tokens, and everything that this process knows as a secret.

    For settings, commands, names and messages. For texts of the data use `without_secrets`, which hides less.
    """
    text = _CREDENTIALS.sub(f"{HIDDEN}@", text)
    text = _QUERY.sub(rf"\1\2{HIDDEN}", text)
    text = _PARAMETER.sub(rf"\1={HIDDEN}", text)
    text = _OPTION.sub(rf"\1\2{HIDDEN}", text)
    text = _BEARER.sub(rf"\1 {HIDDEN}", text)
    return without_secrets(text)


def without_secrets(text: str, secrets: Iterable[str] | None = None) -> str:
    """Hide known secrets and tokens with a known prefix, and nothing else.

    Args:
        secrets: The result of `known_secrets`, to call it once for many texts.
    """
    for secret in known_secrets() if secrets is None else secrets:
        if secret in text:
            text = text.replace(secret, HIDDEN)
    return _TOKEN.sub(HIDDEN, text)


def shortened(text: str, most: int = 200) -> str:
    """At most `most` characters of a text, and how many more there were."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text) - most:,} more)"


def last_part(location: str) -> str:
    """The name at the end of a path or an address, without the address's query, which may hold a secret."""
    path = re.split(r"[?#]", location)[0] if "://" in location else location
    return path.rstrip("/").rpartition("/")[2]


def public_values(content: Any, hide: Callable[[str], str] = public) -> Any:
    """Nested mappings and lists with `hide` applied to every string."""
    if isinstance(content, str):
        return hide(content)
    if isinstance(content, Mapping):
        return {hide(name) if isinstance(name, str) else name: public_values(content[name], hide) for name in content}
    if isinstance(content, list | tuple):
        return [public_values(value, hide) for value in content]
    return content


def remember_secrets(content: Any) -> None:
    """Hide the passwords and queries of addresses in nested settings or arguments from now on, wherever they appear.

    A server's answer, an exception or a library's warning may repeat a part of an address without the rest.
    """
    if isinstance(content, str):
        _remembered.update(_secrets_in(content))
    elif isinstance(content, Mapping):
        remember_secrets(list(content.values()))
    elif isinstance(content, list | tuple):
        for value in content:
            remember_secrets(value)


def known_secrets() -> list[str]:
    """Values of variables such as HF_TOKEN, passwords of proxies, and remembered secrets; the longest first."""
    secrets = set(_remembered)
    for name, value in os.environ.items():
        if "://" in value:
            secrets.update(_secrets_in(value))
        elif _SECRET_VARIABLE.fullmatch(name) and len(value) >= SHORTEST_SECRET and value[0] not in "/~.":  # no path
            secrets.add(value)
    return sorted(secrets, key=len, reverse=True)


def _secrets_in(text: str) -> set[str]:
    """Of each address in `text`: the password, or the user if there is none, and the values of the query."""
    secrets = set()
    for credentials in _CREDENTIALS.findall(text):
        user, colon, password = credentials[:-1].partition(":")
        secrets.add(password if colon else user)
    for address in _QUERY.finditer(text):
        for part in re.split(r"[&;#]", address[0][len(address[1]) + 1 :]):
            name, equals, value = part.partition("=")
            if _SECRET_PARAMETER.search(name) or len(part) - len(name) > _LONG_VALUE:
                secrets.add(value if equals else name)
    secrets |= {unquote(secret) for secret in secrets}
    return {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}


def visible(text: str) -> str:
    """On one line, with control characters escaped as in Python: `\\n`, `\\x1b`, `\\u202e`. For names, texts, cells."""
    return _ON_ONE_LINE.sub(_escaped, text)


def visible_lines(text: str) -> str:
    """As `visible`, but keeps line breaks."""
    return _IN_LINES.sub(_escaped, text)


def _escaped(control: re.Match[str]) -> str:
    code = ord(control[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is no UTF-8
        code -= 0xDC00
    return _SHORT.get(control[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
