"""The error that users see: its fields, its text, and several of them at once."""

import pickle
from pathlib import Path

import pytest

from accel_asr.errors import SeveralProblemsError, UserError, raise_all, setting_shown_as, user_errors_exit
from tests.refusals import refused

COLUMN = UserError("there is no such column", setting="--data.text_column", value="said", remedy="give another")
FOLDER = UserError("is not a folder", setting="MODEL", value=Path("a/b"), same_on_every_rank=True)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (COLUMN, "--data.text_column 'said': there is no such column; give another"),
        (FOLDER, "MODEL 'a/b': is not a folder"),
        (UserError("needs a name", setting="--hub.push_to_hub", value=True), "--hub.push_to_hub true: needs a name"),
        (UserError("is torn", value=Path("x.wav")), "'x.wav': is torn"),
        (UserError("plain", remedy="wait"), "plain; wait"),
        (SeveralProblemsError([COLUMN, SeveralProblemsError([FOLDER])]), f"{COLUMN}\n{FOLDER}"),
    ],
)
def test_the_text_is_made_of_the_fields_and_survives_a_process_border(error: UserError, text: str) -> None:
    assert str(error) == text
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.setting, copy.value) == (type(error), text, error.setting, error.value)
    assert [str(single) for single in copy.errors] == [str(single) for single in error.errors]


def test_a_long_value_is_shortened() -> None:
    assert len(str(UserError("is too long", setting="--x", value="y" * 10_000))) < 300


def test_what_was_collected_is_raised_at_once() -> None:
    raise_all([])
    with pytest.raises(UserError) as alone:
        raise_all([COLUMN])
    assert alone.value is COLUMN
    with pytest.raises(SeveralProblemsError) as both:
        raise_all(error for error in (COLUMN, FOLDER))
    assert both.value.errors == (COLUMN, FOLDER)
    assert not both.value.same_on_every_rank  # one of them may be of this rank alone


def test_an_error_can_name_the_option_that_the_user_gave() -> None:
    with (
        refused("--text", value="said", remedy="give another"),
        setting_shown_as("--text", setting="--data.text_column"),
    ):
        raise SeveralProblemsError([COLUMN, FOLDER])
    with pytest.raises(UserError) as other, setting_shown_as("--text", setting="--data.audio_column"):
        raise COLUMN
    assert other.value is COLUMN


def test_an_error_ends_the_command_with_code_2_and_a_line_for_each_problem(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped, user_errors_exit():
        raise SeveralProblemsError([COLUMN, FOLDER])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"error: {COLUMN}\n{FOLDER}\n"


def test_other_errors_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError), user_errors_exit():
        raise ZeroDivisionError


@pytest.mark.parametrize(("same", "printed"), [(False, "error [rank 3]: wrong\n"), (True, "")])
def test_other_ranks_say_who_they_are_or_leave_it_to_the_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], same: bool, printed: str
) -> None:
    monkeypatch.setenv("RANK", "3")
    with pytest.raises(SystemExit), user_errors_exit(same_on_every_rank=same):
        raise UserError("wrong")
    assert capsys.readouterr().err == printed
