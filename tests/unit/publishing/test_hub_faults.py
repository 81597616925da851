"""Every fault of a Hub is one message with its remedy, leaves the run as it was, and lets a second try succeed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from accel_asr.commands import push
from accel_asr.errors import user_errors_exit
from accel_asr.publishing import hub_faults
from accel_asr.publishing.hub import push_run
from tests.hub_server import LoopbackHub
from tests.refusals import refused
from tests.unit.publishing.hub_client import CARD, fingerprints

NAME = "tester/whisper-bank"
ALWAYS = 99
NAME_SETTING = "--hub.hub_model_id"
BROKE = "the connection to the Hub broke"
CARD_ERROR = '"language" must only contain language codes'


def no_wait(seconds: float) -> None:
    pass


def refuse_the_card(hub: LoopbackHub) -> None:
    body = {"errors": [{"message": CARD_ERROR}], "warnings": []}
    hub.fail(next=ALWAYS, status=400, match="/api/validate-yaml", body=body)


# fault -> how it is ordered, the setting at fault, words of its message and of the remedy, how often the Hub is asked
FAULTS: dict[str, tuple[Callable[[LoopbackHub], object], str, str, str, int]] = {
    "token refused": (
        lambda hub: hub.fail(next=ALWAYS, status=401, message="Invalid credentials in Authorization header"),
        *("HF_TOKEN", "401 Unauthorized: Invalid credentials", "`hf auth login`", 1),
    ),
    "may not write": (
        lambda hub: hub.fail(next=ALWAYS, status=403, match="/preupload/"),
        *(NAME_SETTING, "403", "'tester' you", 1),
    ),
    "too many requests": (
        lambda hub: hub.fail(next=ALWAYS, status=429, match="/commit/"),
        *(NAME_SETTING, "429", "try again later", 4),
    ),
    "fault of the Hub": (
        lambda hub: hub.fail(next=ALWAYS, match="/commit/"),
        *(NAME_SETTING, "500", "try again later", 4),
    ),
    "cut before the reply": (
        lambda hub: hub.cut(next=ALWAYS, match="/commit/", within_request=0),
        *(NAME_SETTING, BROKE, "within reach", 4),
    ),
    "reset": (
        lambda hub: hub.cut(next=ALWAYS, match="/commit/", within_request=0, reset=True),
        *(NAME_SETTING, BROKE, "within reach", 4),
    ),
    "cut in a large file": (
        lambda hub: hub.cut(next=ALWAYS, match="/lfs/", method="PUT", within_request=1000, reset=True),
        *(NAME_SETTING, BROKE, "within reach", 1),
    ),
    "refused card": (refuse_the_card, NAME_SETTING, CARD_ERROR, "config.yaml", 1),
    "not the Hub's answer": (
        lambda hub: hub.cut(next=ALWAYS, match="/api/validate-yaml", after_bytes=5),
        *(NAME_SETTING, BROKE, "try again", 4),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_message_and_the_second_try_succeeds(
    hub: LoopbackHub, run: Path, fault: str, capfd: pytest.CaptureFixture[str]
) -> None:
    order, setting, words, remedy, tries = FAULTS[fault]
    before = fingerprints(run)
    order(hub)
    waited: list[float] = []
    with refused(setting, words, remedy=remedy) as refusal:
        push_run(run, hub_model_id=NAME, wait=waited.append)
    message = str(refusal.value)
    assert "\n" not in message
    assert f"The model is safe in {run / 'best'}. Then: accel-asr push {run} --hub_model_id {NAME}" in message
    assert waited == [2.0, 8.0, 30.0][: tries - 1]
    assert fingerprints(run) == before
    assert hub.token not in message + "".join(capfd.readouterr())
    assert not [path for path in run.rglob("*") if path.is_file() and hub.token.encode() in path.read_bytes()]

    hub.heal()
    push_run(run, hub_model_id=NAME)
    repository = hub.repository("model", NAME)
    assert {path.name for path in repository.folder().iterdir()} == {
        *(".gitattributes", "README.md", "config.json", "model.safetensors")
    }
    assert (repository.folder() / "README.md").read_text() == CARD
    assert len(repository.commits) == 2  # its first, and ours
    assert len(hub.requested("/lfs/", "PUT")) == 1 or fault == "cut in a large file"  # what arrived is not sent again
    assert fingerprints(run) == before


def test_the_hubs_remarks_on_the_card_are_passed_on(hub: LoopbackHub, run: Path) -> None:
    remark = {"errors": [], "warnings": [{"message": "empty or missing yaml metadata"}]}
    hub.fail(status=200, match="/api/validate-yaml", body=remark)
    lines: list[str] = []
    push_run(run, hub_model_id=NAME, say=lines.append)
    assert lines[0] == "Warnings while validating metadata in README.md: - empty or missing yaml metadata"


def test_somebody_elses_name_is_refused(hub: LoopbackHub, run: Path) -> None:
    with refused(NAME_SETTING, "403", "rights to write to openai/mine", value="openai/mine", remedy="'openai' you"):
        push_run(run, hub_model_id="openai/mine")


def test_a_commit_whose_reply_was_lost_is_not_made_twice(hub: LoopbackHub, run: Path) -> None:
    hub.cut(match="/commit/", after_bytes=None)
    lines: list[str] = []
    push_run(run, hub_model_id=NAME, say=lines.append, wait=no_wait)
    assert f"push: {BROKE}" in lines[0]
    assert len(hub.requested("/commit/")) == 1
    assert len(hub.repository("model", NAME).commits) == 2


@pytest.mark.parametrize(
    ("status", "headers", "wait_s"),
    [
        (500, {}, 2.0),
        (429, {"Retry-After": "7"}, 7.0),
        (503, {"Retry-After": "7"}, 7.0),
        (429, {"Retry-After": "99999"}, 120.0),
        (429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 2.0),
        (429, {"RateLimit": '"api";r=0;t=55'}, 55.0),
        (429, {"RateLimit": '"api";r=0;t=9999'}, 120.0),
    ],
)
def test_a_busy_hub_is_asked_again_after_the_time_it_asks_for(
    hub: LoopbackHub, run: Path, status: int, headers: dict[str, str], wait_s: float
) -> None:
    hub.fail(status=status, match="/commit/", headers=headers)
    lines: list[str] = []
    waited: list[float] = []
    push_run(run, hub_model_id=NAME, say=lines.append, wait=waited.append)
    assert waited == [wait_s]
    assert f"the Hub answered {status}" in lines[0]
    assert lines[0].endswith(f"trying again in {wait_s:g} s (try 2 of 4)")
    assert len(lines) == 2  # and what was pushed
    assert (hub.repository("model", NAME).folder() / "config.json").exists()


def test_a_token_that_the_server_repeats_is_shown_to_nobody(
    hub: LoopbackHub, run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.fail(next=ALWAYS, status=500, match="/commit/", message=f"what is {hub.token}?")
    with refused(NAME_SETTING, "what is hf_...?") as refusal:
        push_run(run, hub_model_id=NAME, wait=no_wait)
    printed = "".join(capfd.readouterr())
    assert "what is hf_...?" in printed
    assert hub.token not in str(refusal.value) + printed


def test_the_command_ends_with_exit_code_2(
    hub: LoopbackHub, run: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_folder, run / "best", dirs_exist_ok=True)
    hub.fail(next=ALWAYS, status=403, match="/commit/")
    options = ["--hub_private_repo", "false", "--revision", "v 2", "--include_tensorboard"]
    with pytest.raises(SystemExit) as ended, user_errors_exit():
        push.main([str(run), "--hub_model_id", NAME, *options])
    assert ended.value.code == 2
    message = capsys.readouterr().err.splitlines()[-1]
    again = (
        f"accel-asr push {run} --hub_model_id {NAME} --hub_private_repo false --revision 'v 2' --include_tensorboard"
    )
    assert message.startswith(f"error: --hub_model_id '{NAME}': ")
    assert message.endswith(f"Then: {again}")


def test_a_mistake_of_our_own_is_not_taken_for_the_hubs() -> None:
    def mistake() -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        hub_faults.with_retries(mistake, doing="push", say=pytest.fail, wait=pytest.fail)
