"""The console: one subcommand for each module, exit codes, and messages without tracebacks."""

from importlib import import_module

import pytest

from accel_asr import __main__ as console
from accel_asr import __version__
from accel_asr.errors import UserError, user_errors_exit


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
    told = capsys.readouterr().out
    assert all(name in told for name in console.COMMANDS)


def test_version(run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") is None
    assert capsys.readouterr().out == f"accel-asr {__version__}\n"


def test_an_unknown_command_ends_with_code_2_and_the_list(run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("trancribe") == 2
    told = capsys.readouterr().err
    assert told.startswith("error: 'trancribe' is not a command")
    assert "transcribe" in told.splitlines()[-1] or any("transcribe  " in line for line in told.splitlines())


@pytest.mark.parametrize("name", sorted(console.COMMANDS))
def test_every_command_is_there_and_explains_itself(run, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module, purpose = console.COMMANDS[name]
    assert callable(import_module(module).main)
    assert purpose
    assert run(name, "--help") == 0
    assert "usage" in capsys.readouterr().out


def test_a_mistake_of_the_users_is_one_line_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped, user_errors_exit():
        raise UserError("training.seed: -1 is out of range")
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "error: training.seed: -1 is out of range\n"


def test_other_errors_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError), user_errors_exit():
        raise ZeroDivisionError


@pytest.mark.parametrize(("same", "told"), [(False, "error [rank 3]: wrong\n"), (True, "")])
def test_other_ranks_say_who_they_are_or_leave_it_to_the_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], same: bool, told: str
) -> None:
    monkeypatch.setenv("RANK", "3")
    with pytest.raises(SystemExit), user_errors_exit(same_on_every_rank=same):
        raise UserError("wrong")
    assert capsys.readouterr().err == told
