"""The pages of the documentation, as the tests read them: fenced blocks, the commands in them, links.

A `bash` block is run by `tests/integration/test_docs_commands.py`, unless `<!-- needs network: ... -->` (or GPU, Slurm,
several machines) stands before it, or RUN_ELSEWHERE says who runs its commands. `<!-- file: NAME -->` before a block
says that the reader saves it under that name, and so do the tests.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "AGENTS.md", *sorted(DOCS.glob("*.md"))]
NEEDS = re.compile(r"needs (network|GPU|Slurm|several machines)(: .+)?")
RUN_ELSEWHERE = {  # command -> who runs it
    "pip install -e .": ".ci/run",
    'pip install -e ".[test]" && pytest': ".ci/run",
    'pip install -e ".[docs]" && mkdocs build --strict': ".ci/run",
    "ruff check . && ruff format --check . && mypy": ".ci/run",
    "accel-asr demo --model runs/quickstart/best": "tests/integration/test_demo.py",
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    remark: str | None
    """What an HTML comment before the block says, None without one."""

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}"

    @property
    def needs_something(self) -> bool:
        """Whether a test can't run it."""
        return self.remark is not None and NEEDS.fullmatch(self.remark) is not None

    @property
    def file_name(self) -> str | None:
        """The file that the reader makes of it."""
        return self.remark.removeprefix("file: ") if self.remark and self.remark.startswith("file: ") else None


def blocks_of(page: Path, text: str | None = None) -> list[Block]:
    """The fenced blocks of a page, or of `text` in its place."""
    content = page.read_text(encoding="utf-8") if text is None else text
    fenced = re.compile(r"(?:^<!-- (?P<remark>[^\n]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
    return [
        Block(page, content.count("\n", 0, match.start("text")), match["language"], match["text"], match["remark"])
        for match in fenced.finditer(content)
    ]


def all_blocks() -> list[Block]:
    return [block for page in PAGES for block in blocks_of(page)]


def command_lines(block: Block) -> list[str]:
    """The lines of a block as they stand, comments and continuations taken away."""
    lines = re.sub(r"\s*\\\n\s*", " ", block.text).splitlines()
    return [line for line in (re.sub(r"(^|\s{2,})#.*$", "", line).strip() for line in lines) if line]


def commands_of(line: str) -> list[list[str]]:
    """The words of each command of a line with `&&` and `|` in it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|")
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= {"&", "|"}:
            commands.append([])
        else:
            commands[-1].append(word)
    return commands


def blocks_to_run() -> list[Block]:
    """What `test_docs_commands` runs, in order: the quickstart first, and each text once."""
    pages = sorted(PAGES, key=lambda page: page.name != "quickstart.md")
    candidates = [block for page in pages for block in blocks_of(page) if block.language == "bash"]
    run = {
        block.text: block
        for block in reversed(candidates)
        if not block.needs_something and not all(line in RUN_ELSEWHERE for line in command_lines(block))
    }
    return sorted(run.values(), key=candidates.index)


def write_files(folder: Path) -> None:
    """The files that the pages tell the reader to write; those of one name are written as the first page has them."""
    for block in all_blocks():
        if block.file_name is not None and not (folder / block.file_name).exists():
            (folder / block.file_name).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file_name).write_text(block.text, encoding="utf-8")
