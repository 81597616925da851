"""What the decoder is given as the text before: a prompt, keywords to have in mind, and what it has written so far."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import WhisperTokenizer

from accel_asr.errors import UserError
from accel_asr.model.folder.token_ids import PREVIOUS
from accel_asr.model.spelling import Spelling

FILE_ENDING = ".txt"


@dataclass(frozen=True, slots=True)
class PreviousText:
    """Token ids of texts that the user gives, without <|startofprev|>.

    Args:
        initial: Said before the recording; as the transcript grows, it moves out of the decoder's sight.
        keywords: Stand before every window.
    """

    initial: tuple[int, ...] = ()
    keywords: tuple[int, ...] = ()

    def ids(self, most: int) -> list[int]:
        """What stands before a recording's first window, at most so many tokens; those of the keywords stay."""
        keywords = self.keywords[:most]
        room = most - len(keywords)
        return [*keywords, *(self.initial[-room:] if room else ())]


NO_PREVIOUS_TEXT = PreviousText()


def previous_text(
    spelling: Spelling, *, initial_prompt: str | None = None, keywords: Sequence[str] = ()
) -> PreviousText:
    """The user's texts as tokens; keywords as `keywords_prompt` writes them."""
    texts = (initial_prompt or "", keywords_prompt(keywords) if keywords else "")
    return PreviousText(*(spelling.ids(f" {text.strip()}") if text.strip() else () for text in texts))


def keywords_prompt(keywords: Sequence[str]) -> str:
    """The previous text that brings the keywords to the decoder's mind: `Anna, Zurich, IBAN.`"""
    return ", ".join(keywords) + "."


def listed_keywords(given: Sequence[str], *, setting: str = "--evaluation.keywords") -> tuple[str, ...]:
    """The keywords, each once; an entry that ends with `.txt` is a file with one on each line.

    Raises:
        UserError: such a file can't be read, or holds none.
    """
    keywords: dict[str, None] = {}
    for entry in given:
        lines = _lines(Path(entry), setting) if entry.endswith(FILE_ENDING) else [entry]
        keywords |= dict.fromkeys(stripped for line in lines if (stripped := line.strip()))
    return tuple(keywords)


def require_previous_text(tokenizer: WhisperTokenizer, *, setting: str, value: object) -> None:
    """Check that a model can be given a previous text.

    Raises:
        UserError: it has no token for it.
    """
    if PREVIOUS not in tokenizer.get_vocab():
        raise UserError(
            f"the model has no {PREVIOUS}, so that it can't be given a previous text",
            setting=setting,
            value=value,
            remedy="leave it out, or give a model with OpenAI's tokens",
        )


def _lines(path: Path, setting: str) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        problem = "holds no keyword" if not any(line.strip() for line in lines) else ""
    except (OSError, UnicodeDecodeError) as error:
        lines, problem = [], f"can't be read ({error})"
    if problem:
        raise UserError(problem, setting=setting, value=path, remedy="give a text file with one keyword on each line")
    return lines
