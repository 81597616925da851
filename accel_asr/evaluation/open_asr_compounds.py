"""Words written together or apart count as equal, as the Open ASR leaderboard scores them."""

from collections.abc import Sequence
from difflib import SequenceMatcher


def joined_where_equal(reference: str, hypothesis: str) -> tuple[str, str]:
    """Both texts, with stretches that differ in their spaces only as one word: the leaderboard's languages other than
    English."""
    before, after = reference.split(), hypothesis.split()
    joined: tuple[list[str], list[str]] = ([], [])
    for edit, first, last, first_after, last_after in SequenceMatcher(None, before, after).get_opcodes():
        words, others = before[first:last], after[first_after:last_after]
        if edit != "equal" and "".join(words) == "".join(others):
            words = others = ["".join(words)]
        joined[0].extend(words)
        joined[1].extend(others)
    return " ".join(joined[0]), " ".join(joined[1])


def spaced_as_reference(reference: str, hypothesis: str) -> str:
    """The hypothesis, with its compounds spaced as in the reference wherever that lowers the edits.

    The edits that are left are nearly always those of `kaldialign.edit_distance(..., merge_compounds=True)`, in which
    neighbouring words match one word of the other side at no cost. The reference stays, and so does its length.
    """
    words, others = reference.split(), hypothesis.split()
    if not (_may_match(words, others) or _may_match(others, words)):
        return hypothesis
    # fewest edits from the first i words to the first j others, and the (i, j) before
    costs = [[0] * (len(others) + 1) for _ in range(len(words) + 1)]
    steps: dict[tuple[int, int], tuple[int, int]] = {}
    for i in range(len(words) + 1):
        for j in range(len(others) + 1):
            options = []
            if i and j:
                options.append((costs[i - 1][j - 1] + (words[i - 1] != others[j - 1]), i - 1, j - 1))
                options += [(costs[first][j - 1], first, j - 1) for first in _parts(words, i, others[j - 1])]
                options += [(costs[i - 1][first], i - 1, first) for first in _parts(others, j, words[i - 1])]
            if i:
                options.append((costs[i - 1][j] + 1, i - 1, j))
            if j:
                options.append((costs[i][j - 1] + 1, i, j - 1))
            if options:
                costs[i][j], *step = min(options, key=lambda option: option[0])
                steps[i, j] = (step[0], step[1])
    spaced: list[str] = []
    i, j = len(words), len(others)
    while i or j:
        first, first_other = steps[i, j]
        is_compound = (i - first > 1 and j > first_other) or (j - first_other > 1 and i > first)
        spaced[:0] = words[first:i] if is_compound else others[first_other:j]
        i, j = first, first_other
    return " ".join(spaced)


def _parts(words: Sequence[str], end: int, whole: str) -> list[int]:
    """Where two or more words that end there and make `whole` begin; empty or one place."""
    first, length = end, 0
    while first and length < len(whole):
        first -= 1
        length += len(words[first])
    return [first] if end - first > 1 and "".join(words[first:end]) == whole else []


def _may_match(words: Sequence[str], others: Sequence[str]) -> bool:
    wholes = set(others)
    longest = max(map(len, others), default=0)
    for first in range(len(words)):
        joined = words[first]
        for word in words[first + 1 :]:
            joined += word
            if len(joined) > longest:
                break
            if joined in wholes:
                return True
    return False
