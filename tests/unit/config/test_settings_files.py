"""Hostile files and values of settings: each is one message, at once, and no memory goes."""

import os
from pathlib import Path

import pytest

from accel_asr.config.command_line import parse_config
from accel_asr.config.settings_files import MOST_BYTES, read_yaml
from accel_asr.errors import UserError

DATA = "data: {name_or_path: x, eval_rows: 3}\n"
# nine levels of ten aliases each: a billion values
BOMB = "[&a [x,x,x,x,x,x,x,x,x,x]," + ",".join(
    f"&{name} [{','.join(['*' + before] * 10)}]" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def problem(*arguments: str) -> str:
    with pytest.raises(UserError) as caught:
        parse_config(list(arguments))
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"data: {{sources: {BOMB}]}}", ("100,000 values", "aliases")),
        ("data: &a {sources: [*a]}", ("alias in line 1 of what it is a part of",)),
        ("a: " + "[" * 25 + "]" * 25, ("more than 20 levels",)),
        ("a: " + "[" * 100_000, ("is not a valid YAML file", "nesting depth")),
        ("#" * (MOST_BYTES + 1), ("larger than 1 MB",)),
        ("training:\n  seed: 1\n  max_steps: 3\n  seed: 2\n", ("gives 'seed' twice", "lines 2 and 4")),
        (DATA + "data: {eval_rows: 4}\n", ("gives 'data' twice", "lines 1 and 2")),
        ("training: {seed: " + "9" * 5000 + "}", ("is not a valid YAML file", "digits")),
        ("data: !!python/object/apply:os.getcwd []", ("is not a valid YAML file", "tag")),
        (b"\xff\xfe\x00a", ("is not a valid YAML file", "not UTF-8")),
        ("a: 1\n---\nb: 2\n", ("is not a valid YAML file", "single document")),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_file_that_would_fill_or_hang_is_refused(tmp_path: Path, content: str | bytes, words: tuple[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    answer = problem("--config", str(path))
    assert answer.startswith(f"--config: {path} ")
    assert [word for word in words if word not in answer] == []
    assert len(answer) < 1000


def test_aliases_and_merges_of_a_person_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "data:\n  eval_rows: 3\n  sources:\n"
        "    - &first {name_or_path: a, text_column: said}\n    - {<<: *first, name_or_path: b}\n"
    )
    sources = parse_config(["--config", str(path)]).data.sources
    assert [(source.name_or_path, source.text_column) for source in sources] == [("a", "said"), ("b", "said")]


@pytest.mark.parametrize(
    "name", ["/proc/self/mem", "/dev/zero", "/dev/stdin", "/", "x" * 300, "a\0b", "fifo", "dangling"]
)
def test_what_is_no_file_of_settings_is_answered_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    Path("dangling").symlink_to("nowhere")
    answer = problem("--config", name)
    assert answer.startswith("--config: ")
    assert len(answer) < 600


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.yaml")
    with pytest.raises(ValueError, match="no regular file"):
        read_yaml(tmp_path / "config.yaml")


@pytest.mark.parametrize("name", ["data.breakdown_columns", "data.sources", "data.text.replacements", "training.seed"])
@pytest.mark.parametrize("is_whole", [False, True])
def test_aliases_without_end_are_refused_on_the_command_line_too(name: str, is_whole: bool) -> None:
    arguments = [f"--{name}={BOMB}]"] if is_whole else [f"--{name}", f"{BOMB}]"]
    answer = problem(*arguments)
    assert answer.startswith(f"--{name}: the value has more than 100,000 values")


@pytest.mark.parametrize("value", ["[" * 3000, "9" * 5000, "x" * 100_000])
def test_a_long_value_is_not_repeated_whole(value: str) -> None:
    answer = problem("--data.name_or_path", "x", "--data.eval_rows", value)
    assert answer.startswith("data.eval_rows: ")
    assert len(answer) < 600


@pytest.mark.parametrize("section", ["data", "training", "data.text"])
def test_a_name_in_place_of_a_section_is_no_file_to_read(tmp_path: Path, section: str) -> None:
    other = tmp_path / "other.yaml"
    os.mkfifo(other)  # whoever reads it waits for ever
    for arguments in ([f"--{section}", str(other)], [f"--{section}={other}"]):
        answer = problem(*arguments)
        assert answer.startswith(f"{section}: '{other}'")
        assert "is not a section; write its settings below it" in answer
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"data: {{text: {other}}}" if section == "data.text" else f"{section}: {other}")
    assert problem("--config", str(mine)).startswith(f"{section}: '{other}'")


@pytest.mark.parametrize("content", ["", "# only a comment\n", "---\n"])
def test_a_file_without_settings_is_said_to_be_empty(content: str, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(content)
    with pytest.raises(UserError, match=r"--config: .*my\.yaml is empty; write settings"):
        parse_config(["--config", str(tmp_path / "my.yaml")])
