"""Text that others may read: without what may be a secret, and without what acts on the screen that shows it."""

import re

_CREDENTIALS = re.compile(r"(?<=://)[^/\s'\"@]+@")
_QUERY = re.compile(r"(?<=://)([^\s'\"?]*)\?[^\s'\"]*")
_HIDDEN = "(hidden)"
# what would move the cursor, colour the rest or turn the direction of writing: a screen must not act on data
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def public(text: str) -> str:
    """Without the part of an address before its @, such as a password, and without what comes after a question mark."""
    return _QUERY.sub(rf"\1?{_HIDDEN}", _CREDENTIALS.sub(f"{_HIDDEN}@", text))


def without_controls(text: str) -> str:
    """With a space in place of control characters, line separators and marks that turn the direction of writing."""
    return _CONTROLS.sub(" ", text)
