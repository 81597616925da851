"""Text that others may read: addresses in it without what may be a secret."""

import re

_CREDENTIALS = re.compile(r"(?<=://)[^/\s'\"@]+@")
_QUERY = re.compile(r"(?<=://)([^\s'\"?]*)\?[^\s'\"]*")
_HIDDEN = "(hidden)"


def public(text: str) -> str:
    """Without the part of an address before its @, such as a password, and without what comes after a question mark."""
    return _QUERY.sub(rf"\1?{_HIDDEN}", _CREDENTIALS.sub(f"{_HIDDEN}@", text))
