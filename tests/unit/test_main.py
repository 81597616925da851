"""The console: one subcommand for each module, exit codes, and messages without tracebacks."""

from importlib import import_module

import pytest

from accel_asr import __main__ as console
from accel_asr import __version__


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    """Its exit code, None when it ends without one."""

    def run_with(*arguments: str) -> object:
        monkeypatch.setattr("sys.argv", ["accel-asr", *arguments])
        try:
            console.main()
        except SystemExit as stopped:
            return stopped.code
        return None

    return run_with


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(run, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) in (None, 0)
    message = capsys.readouterr().out
    assert all(name in message for name in console.COMMANDS)


def test_version(run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") is None
    assert capsys.readouterr().out == f"accel-asr {__version__}\n"


def test_an_unknown_command_ends_with_code_2_and_the_list(run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("trancribe") == 2
    message = capsys.readouterr().err
    assert message.startswith("error: COMMAND 'trancribe': is not a command")
    assert "transcribe" in message.splitlines()[-1] or any("transcribe  " in line for line in message.splitlines())


@pytest.mark.parametrize("name", sorted(console.COMMANDS))
def test_every_command_is_there_and_explains_itself(run, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module, purpose = console.COMMANDS[name]
    assert callable(import_module(module).main)
    assert purpose
    assert run(name, "--help") == 0
    shown = capsys.readouterr().out
    assert "usage" in shown
    assert "<function" not in shown
    assert "\\x08" not in shown
