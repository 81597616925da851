"""Names of tar shards: a file or address, or many of them by braces or globs."""

import glob
import itertools
import math
import os
import re
from collections.abc import Sequence

from accel_asr.data.reading.downloads import is_http, without_secrets
from accel_asr.data.reading.source_table import first_few, source_error

MAX_SHARDS = 100_000
_COMPRESSED = re.compile(r"\.(tgz|tbz2?|txz|tar\.[a-z0-9]+)\}?$", re.IGNORECASE)
_SCHEME = re.compile(r"(pipe:|[A-Za-z][A-Za-z0-9+.-]+://)")


def is_shard_pattern(name: str) -> bool:
    """Whether a source is tar shards by its name: `a.tar`, `a-{000..012}.tar`, `{a,b}.tar`, `shards/*.tar`, or a URL.

    Raises:
        UserError: it is a pipe, has a scheme other than http(s), or names compressed tars.
    """
    scheme = _SCHEME.match(name)
    if scheme and not is_http(name):
        raise source_error(
            f"{scheme[0]!r} is not supported",
            without_secrets(name),
            "give local files or http(s) addresses, and fetch anything else by other means",
        )
    if os.path.isdir(name):
        return False
    path = re.split(r"[?#]", name)[0] if is_http(name) else name
    if _COMPRESSED.search(path):
        raise source_error(
            "is compressed, and random access needs uncompressed tars",
            _public(name),
            "unpack it with `gunzip shard.tar.gz` (bunzip2, unxz, unzstd), and give the .tar",
        )
    return path.lower().endswith((".tar", ".tar}"))


def expand_shards(pattern: str) -> list[str]:
    """The shards of a pattern: ranges in braces by number, lists as they are written, globs sorted; each once.

    Raises:
        UserError: nothing matches, local files are missing, a brace is malformed, or the name has no .tar.
    """
    if not is_shard_pattern(pattern):
        raise source_error("is not a .tar", _public(pattern))
    if not is_http(pattern) and os.path.isfile(pattern):  # whatever characters its name has
        return [pattern]
    names = _expand_braces(pattern)
    if is_http(pattern):
        if "*" in pattern.split("?", maxsplit=1)[0]:
            raise source_error(
                "a server can't be searched with *",
                _public(pattern),
                "write the numbers in braces, such as shard-{000..012}.tar",
            )
        return names
    shards, missing = [], []
    for name in names:
        matches = [name] if os.path.isfile(name) else sorted(filter(os.path.isfile, glob.glob(name, recursive=True)))
        shards += matches
        if not matches:
            missing.append(repr(name))
    if missing:
        raise source_error(
            f"{len(missing):,} of the {len(names):,} names match no file: {first_few(missing)}",
            pattern,
            "check the pattern (it is relative to the current folder)",
        )
    return list(dict.fromkeys(shards))


def _expand_braces(pattern: str) -> list[str]:
    pieces = re.split(r"\{([^{}]*)\}", pattern)  # every second one stood in braces
    choices = [_choices(piece) if index % 2 else [piece] for index, piece in enumerate(pieces)]
    if not all(choices) or any(set(piece) & set("{}") for piece in pieces[::2]):
        raise source_error(
            "malformed braces",
            _public(pattern),
            "write a range from low to high, such as shard-{000..012}.tar, or a list, such as {a,b}.tar, and "
            "nest nothing",
        )
    if (count := math.prod(map(len, choices))) > MAX_SHARDS:
        raise source_error(f"names {count:,} shards, of at most {MAX_SHARDS:,}", _public(pattern))
    return list(dict.fromkeys(map("".join, itertools.product(*choices))))


def _choices(inside: str) -> Sequence[str]:
    """What a pair of braces stands for; nothing if they are malformed."""
    bounds = re.fullmatch(r"([0-9]{1,15})\.\.([0-9]{1,15})", inside)
    if bounds:
        first, last = bounds.groups()
        is_padded = any(bound.startswith("0") and len(bound) > 1 for bound in bounds.groups())
        width = max(len(first), len(last)) if is_padded else 0
        # one too many is enough to refuse it
        return [f"{number:0{width}d}" for number in range(int(first), min(int(last), int(first) + MAX_SHARDS) + 1)]
    items = inside.split(",")
    return items if len(items) > 1 and all(items) else []


def _public(name: str) -> str:
    return without_secrets(name) if is_http(name) else name
