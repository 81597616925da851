"""The documentation says what is so: its commands parse, settings, files and links exist, the README stays short."""

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from argparse import ArgumentParser
from functools import cache
from pathlib import Path
from typing import Any

import jsonargparse
import pytest
import yaml

import accel_asr
from accel_asr.commands import align, demo, push, report, transcribe
from accel_asr.config.command_line import build_parser, find_config, parse_config
from accel_asr.config.given_settings import SETTINGS
from accel_asr.errors import UserError
from tests.doc_pages import (
    DOCS,
    PAGES,
    REPOSITORY,
    RUN_ELSEWHERE,
    Block,
    all_blocks,
    blocks_of,
    blocks_to_run,
    command_lines,
    commands_of,
    write_files,
)

BASH = [block for block in all_blocks() if block.language == "bash"]
COMMANDS_WITH_A_PARSER = {"align": align, "transcribe": transcribe, "push": push, "report": report, "demo": demo}
PROGRAMS_OF_OTHERS = {"bash", "cat", "hf", "mkdocs", "mypy", "ruff", "sbatch"}
SECTIONS = ("model", "data", "training", "evaluation", "checkpoint", "tracking", "hub")


@pytest.fixture
def folder_of_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the reader types the commands: the repository's folder, and the files that the pages say to write."""
    for name in ("accel_asr", "benchmarks", "launch_configs", "tests", ".ci"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- commands


def check_line(line: str) -> None:
    """Fail if a command of the line would not be understood."""
    for words in commands_of(line):
        program, *arguments = words
        if words[:2] == ["accelerate", "launch"]:
            launched = launcher().parse_args(arguments[1:])
            assert launched.config_file is None or Path(launched.config_file).exists()
            assert launched.module or Path(launched.training_script).exists()
            check_own(*([] if launched.module else ["train"]), *launched.training_script_args)
        elif program == "accel-asr" or words[:3] == ["python", "-m", "accel_asr"]:
            check_own(*words[1 if program == "accel-asr" else 3 :])
        elif words[:2] == ["python", "-m"]:
            assert flags(arguments[2:]) <= flags_of_help(arguments[1]), line
        elif words[:2] == ["pip", "download"] or words[:3] == ["pip", "install", "--no-index"]:
            continue  # wheels for a machine without a network
        elif program == "pip":
            extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            assert arguments[:2] == ["install", "-e"]
            named = re.fullmatch(r"\.(\[[\w,]+\])?", arguments[2])
            assert named is not None
            assert set(filter(None, (named[1] or "").strip("[]").split(","))) <= set(extras), line
        elif program == "pytest":
            paths = [word.split("::")[0] for word in arguments if "/" in word]
            assert [path for path in paths if not Path(path).exists()] == []
        else:
            assert program in PROGRAMS_OF_OTHERS, line
            assert program not in ("bash", "sbatch") or Path(arguments[0]).exists()


def check_own(command: str, *arguments: str) -> None:
    if command in COMMANDS_WITH_A_PARSER:
        COMMANDS_WITH_A_PARSER[command].build_parser().parse_args(arguments)
        return
    settings, own, words = [], [], iter(arguments)
    for word in words:
        if word in setting_flags():
            value = next(words)
            settings += [word, str(find_config(value)) if word == "--config" else value]
        elif word != "--print_config":
            own.append(word)
    if command != "train":
        assert flags(own) <= flags_of_help("accel_asr", command), arguments
    if command in ("evaluate", "export"):  # they take the run's own settings along
        build_parser().parse_args(settings)
    else:
        parse_config(settings)
    assert command != "train" or own == []


@cache
def setting_flags() -> set[str]:
    return {"--config", *(f"--{name}" for name in SETTINGS)}


def flags(words: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if word.startswith("--")}


@cache
def flags_of_help(*module_and_command: str) -> set[str]:
    command = [sys.executable, "-m", *module_and_command, "--help"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY).stdout
    return set(re.findall(r"--[a-z_]+", shown))


@cache
def launcher() -> ArgumentParser:
    from accelerate.commands.launch import launch_command_parser

    parser: ArgumentParser = launch_command_parser()
    return parser


@pytest.mark.parametrize("block", BASH, ids=lambda block: block.place)
def test_the_commands_of_a_page_are_understood(block: Block, folder_of_a_reader: Path) -> None:
    for line in command_lines(block):
        check_line(line)


@pytest.mark.parametrize(
    "line",
    [
        "accel-asr transcribe --modle runs/quickstart/best a.wav",
        "accel-asr check-data --config not_there.yaml",
        "accel-asr evaluate --model runs/quickstart/best --evaluation.beams 3",
        "accel-asr export --model a --format onnx --outptu_dir b",
        "accelerate launch accel_asr/train.py --training.max_step 3",
        "accelerate launch accel_asr/train.py --confg quickstart",
        "accelerate launch accel_asr/training.py",
        "accelerate launch --config_file launch_configs/gone.yaml accel_asr/train.py",
        "accelerate launch --num_process_es 2 accel_asr/train.py",
        "python -m benchmarks.speed --row step",
        "pytest tests/unit/test_gone.py",
        'pip install -e ".[nothing]"',
        "make docs",
    ],
)
def test_a_slip_in_a_command_is_noticed(line: str, folder_of_a_reader: Path) -> None:
    with pytest.raises((AssertionError, SystemExit, ValueError, jsonargparse.ArgumentError, UserError)):
        check_line(line)


def test_every_command_is_run_by_a_test_or_needs_what_a_test_has_not() -> None:
    marked = [block.remark for block in BASH if block.remark is not None and not block.needs_something]
    assert marked == [], "a bash block is marked by what it needs, or not at all"
    assert [path for path in RUN_ELSEWHERE.values() if not (REPOSITORY / path).exists()] == []
    written = {line for block in BASH for line in command_lines(block)}
    assert [line for line in RUN_ELSEWHERE if line not in written] == []
    assert blocks_to_run()[0].page.name == "quickstart.md"  # whose run the others look at


def test_commands_are_in_bash_blocks_only() -> None:
    assert {block.language for block in all_blocks()} <= {"bash", "python", "text", "yaml"}
    for block in all_blocks():
        if block.language != "bash":
            commands = re.findall(
                r"^(?:\$|(?:accel-asr|accelerate launch|pip install|python -m)\b).*", block.text, re.M
            )
            assert commands == [], block.place


@pytest.mark.parametrize("command", ["pip install -e . && accelerate launch", 'pip install -e ".[test]" && pytest'])
def test_the_readme_has_the_two_commands_of_ci_alone_on_their_lines(command: str) -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()
    assert len([line for line in readme if line.startswith(command)]) == 1


# -- settings and code


@pytest.mark.parametrize("block", [block for block in all_blocks() if block.language == "yaml"], ids=lambda b: b.place)
def test_yaml_on_a_page_is_of_settings(block: Block) -> None:
    build_parser().parse_object(yaml.safe_load(block.text))


@pytest.mark.parametrize("block", [b for b in all_blocks() if b.language == "python"], ids=lambda b: b.place)
def test_python_on_a_page_compiles(block: Block) -> None:
    ast.parse(block.text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_a_page_names_exist(page: Path) -> None:
    sections = {*SECTIONS, "data.text", "evaluation.long_form_decoding"}
    known = {name.removeprefix("--") for name in setting_flags()} | sections
    named = re.findall(rf"`(?:--)?((?:{'|'.join(SECTIONS)})\.[a-z_.]+)", page.read_text(encoding="utf-8"))
    assert {name.rstrip(".") for name in named} - known == set()


def test_functions_of_the_python_api_take_what_their_page_says() -> None:
    page = (DOCS / "python-api.md").read_text(encoding="utf-8")
    signatures = re.findall(r"^`(\w+)\((.*)\)`$", page, re.M)
    assert {name for name, _ in signatures} == {"load_config", "train", "evaluate", "transcribe"}
    for name, written in signatures:
        parameters = inspect.signature(getattr(accel_asr, name)).parameters.values()
        plain = [parameter.replace(annotation=parameter.empty) for parameter in parameters]
        assert f"({written})" == str(inspect.Signature(plain)), name


def test_messages_in_troubleshooting_are_those_of_the_code() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "accel_asr").rglob("*.py"))
    rows = (DOCS / "troubleshooting.md").read_text(encoding="utf-8").splitlines()
    messages = [row.split("`")[1] for row in rows if row.startswith("| `")]
    assert len(messages) >= 6
    parts = [part.strip() for message in messages for part in re.split(r"\d+", message)]  # numbers are filled in
    assert [part for part in parts if part not in code] == []


# -- links


def anchors(page: Path) -> set[str]:
    """The names of a page's headings in links, as GitHub and mkdocs make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert REPOSITORY in target.parents, link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_repository_that_a_page_names_exist(page: Path) -> None:
    folders = "accel_asr|benchmarks|docs|launch_configs|notebooks|tests|tools"
    text = page.read_text(encoding="utf-8")
    named = re.findall(rf"`((?:{folders})/[\w./-]*)`", text)
    assert [name for name in named if not (REPOSITORY / name).exists()] == []
    files = {path.name for folder in ("accel_asr", "tests") for path in (REPOSITORY / folder).rglob("*.py")}
    assert [name for name in re.findall(r"`(\w+\.py)`", text) if name not in files] == []


def test_every_page_is_in_the_navigation() -> None:
    def pages_of(entries: Any) -> list[str]:
        if isinstance(entries, str):
            return [entries]
        values = entries.values() if isinstance(entries, dict) else entries
        return [page for value in values for page in pages_of(value)]

    site = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"))
    from_the_root = {"index.md", "contributing.md", "changelog.md"}
    assert set(pages_of(site["nav"])) == {page.name for page in DOCS.glob("*.md")} | from_the_root


# -- the front door


def test_the_readme_is_short() -> None:
    readme = (REPOSITORY / "README.md").read_bytes()
    assert len(readme.splitlines()) <= 120
    assert len(readme) <= 8 * 1024


def test_a_block_is_read_with_its_remark() -> None:
    text = 'a\n\n<!-- needs GPU -->\n```bash\nmake x \\\n    --y "1 # 2"  # why\n# only this\n```\n\n```text\nb\n```\n'
    first, second = blocks_of(REPOSITORY / "README.md", text)
    assert (first.needs_something, first.line, first.language) == (True, 4, "bash")
    assert command_lines(first) == ['make x --y "1 # 2"']
    assert (second.remark, second.needs_something, second.text) == (None, False, "b\n")
