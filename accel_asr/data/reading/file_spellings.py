"""Find a file whose name is spelled otherwise than it is written: by case, Unicode's forms, or another encoding."""

import os
import unicodedata
from pathlib import Path

_OLD_ENCODINGS = ("cp1252", "latin-1")


class FileSpellings:
    """Looks names up in folders, each of which is listed once, by what spellings have in common."""

    def __init__(self) -> None:
        self._listings: dict[Path, dict[str, list[str]]] = {}

    def find(self, base: Path, name: str) -> list[Path]:
        """The files below `base` that are spelled like `name`; its folders too, where only one is meant."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if not parts or ".." in parts or any("\0" in part for part in parts):
            return []
        here = base
        for number, part in enumerate(parts, start=1):
            if os.path.lexists(here / part):
                here = here / part
                continue
            there = self._listing(here).get(_key(part), [])
            if number == len(parts):
                return [here / other for other in there]
            if len(there) != 1:
                return []
            here = here / there[0]
        return [here]

    def _listing(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._listings:
            listing: dict[str, list[str]] = {}
            try:
                names = os.listdir(folder)
            except OSError:
                names = []
            for name in names:
                for key in {_key(spelling) for spelling in _spellings(name)}:
                    listing.setdefault(key, []).append(name)
            self._listings[folder] = listing
        return self._listings[folder]


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _spellings(name: str) -> list[str]:
    """What a name on disk may be written as; one whose bytes are no UTF-8 as old encodings read them."""
    if not any("\udc80" <= letter <= "\udcff" for letter in name):
        return [name]
    content = os.fsencode(name)
    return [name, *(content.decode(encoding, errors="replace") for encoding in _OLD_ENCODINGS)]
