"""Hostile files and values of settings: each is one message, at once, and takes no memory."""

import os
from pathlib import Path

import pytest

from accel_asr.config.command_line import parse_config
from accel_asr.config.settings_files import MOST_BYTES, read_yaml
from tests.refusals import refused

DATA = "data: {name_or_path: x, eval_rows: 3}\n"
# nine levels of ten aliases each: a billion values
BOMB = "[&a [x,x,x,x,x,x,x,x,x,x]," + ",".join(
    f"&{name} [{','.join(['*' + before] * 10)}]" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
NOT_YAML = "is not a valid YAML file"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"data: {{sources: {BOMB}]}}", ("100,000 values", "aliases")),
        ("data: &a {sources: [*a]}", ("alias in line 1 of what it is a part of",)),
        ("a: " + "[" * 25 + "]" * 25, ("more than 20 levels",)),
        ("a: " + "[" * 100_000, (NOT_YAML, "nesting depth")),
        ("#" * (MOST_BYTES + 1), ("larger than 1 MB",)),
        ("training:\n  seed: 1\n  max_steps: 3\n  seed: 2\n", ("gives 'seed' twice", "lines 2 and 4")),
        (DATA + "data: {eval_rows: 4}\n", ("gives 'data' twice", "lines 1 and 2")),
        ("training: {seed: " + "9" * 5000 + "}", (NOT_YAML, "digits")),
        ("data: !!python/object/apply:os.getcwd []", (NOT_YAML, "tag")),
        (b"\xff\xfe\x00a", (NOT_YAML,)),
        (b"PK\x03\x04\x00\xff", (NOT_YAML,)),
        ("a: 1\n---\nb: 2\n", (NOT_YAML, "single document")),
        ("a: [1\n", (NOT_YAML,)),
        ("a: b: c\n", (NOT_YAML,)),
        ("\tx: 1\n", (NOT_YAML,)),
        ("- a\n- b\n", ("is not a section",)),
        ("just text\n", ("is not a section",)),
        ("", ("is empty",)),
        ("# only a comment\n", ("is empty",)),
        ("---\n", ("is empty",)),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_file_that_holds_no_settings_or_would_fill_the_memory(
    tmp_path: Path, content: str | bytes, words: tuple[str]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with refused("--config", *words, value=path):
        parse_config(["--config", str(path)])


def test_aliases_and_merges_of_a_person_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "data:\n  eval_rows: 3\n  sources:\n"
        "    - &first {name_or_path: a, text_column: said}\n    - {<<: *first, name_or_path: b}\n"
    )
    sources = parse_config(["--config", str(path)]).data.sources
    assert [(source.name_or_path, source.text_column) for source in sources] == [("a", "said"), ("b", "said")]


@pytest.mark.parametrize("name", ["/proc/self/mem", "/dev/zero", "/dev/stdin", "/", "fifo", "dangling"])
def test_what_is_no_file_of_settings_is_answered_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    Path("dangling").symlink_to("nowhere")
    with refused("--config"):
        parse_config(["--config", name])


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.yaml")
    with pytest.raises(ValueError, match="no regular file"):
        read_yaml(tmp_path / "config.yaml")


@pytest.mark.parametrize("name", ["data.breakdown_columns", "data.sources", "data.text.replacements", "training.seed"])
@pytest.mark.parametrize("is_assignment", [False, True])
def test_aliases_without_end_are_refused_on_the_command_line_too(name: str, is_assignment: bool) -> None:
    with refused(f"--{name}", "100,000 values"):
        parse_config([f"--{name}={BOMB}]"] if is_assignment else [f"--{name}", f"{BOMB}]"])


@pytest.mark.parametrize("section", ["data", "training", "data.text"])
def test_a_file_in_place_of_a_section_is_not_read(tmp_path: Path, section: str) -> None:
    other = str(tmp_path / "other.yaml")
    os.mkfifo(other)  # whoever reads it waits for ever
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"data: {{text: {other}}}" if section == "data.text" else f"{section}: {other}")
    for arguments in ([f"--{section}", other], [f"--{section}={other}"], ["--config", str(mine)]):
        with refused(f"--{section}", "is not a section", value=other, remedy="below it"):
            parse_config(arguments)
