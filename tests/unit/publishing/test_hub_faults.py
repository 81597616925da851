"""Every fault of a Hub is one message with its remedy, leaves the run as it was, and lets a second try succeed."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from accel_asr.commands import push
from accel_asr.errors import UserError, user_errors_exit
from accel_asr.publishing import hub_faults
from accel_asr.publishing.hub import push_run
from tests.hub_server import LoopbackHub
from tests.unit.publishing.hub_client import CARD, fingerprints, hub_of_this_process, make_finished_run

NAME = "tester/whisper-bank"
ALWAYS = 99


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with hub_of_this_process(tmp_path, monkeypatch) as hub:
        yield hub


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_finished_run(tmp_path, monkeypatch)


def refuse_the_card(hub: LoopbackHub) -> None:
    errors = [{"message": '"language" must only contain language codes'}]
    hub.fail(next=ALWAYS, status=400, match="/api/validate-yaml", body={"errors": errors, "warnings": []})


# fault -> how it is ordered, what its message says, how often the main thing is tried
FAULTS: dict[str, tuple[Callable[[LoopbackHub], object], str, int]] = {
    "token refused": (
        lambda hub: hub.fail(next=ALWAYS, status=401, message="Invalid credentials in Authorization header"),
        r"^HF_TOKEN: .*401.*Invalid credentials.*`hf auth login`",
        1,
    ),
    "may not write": (
        lambda hub: hub.fail(next=ALWAYS, status=403, match="/preupload/"),
        r"^hub.hub_model_id: .*403.*may not write.*'tester'.*`hf auth login`",
        1,
    ),
    "too many requests": (
        lambda hub: hub.fail(next=ALWAYS, status=429, match="/commit/"),
        "429.*try again later",
        4,
    ),
    "fault of the Hub": (lambda hub: hub.fail(next=ALWAYS, match="/commit/"), "500.*try again later", 4),
    "cut before the reply": (
        lambda hub: hub.cut(next=ALWAYS, match="/commit/", within_request=0),
        "the connection to the Hub broke .*within reach",
        4,
    ),
    "reset": (
        lambda hub: hub.cut(next=ALWAYS, match="/commit/", within_request=0, reset=True),
        "the connection to the Hub broke .*within reach",
        4,
    ),
    "cut in a large file": (
        lambda hub: hub.cut(next=ALWAYS, match="/lfs/", method="PUT", within_request=1000, reset=True),
        "the connection to the Hub broke .*within reach",
        1,
    ),
    "refused card": (refuse_the_card, '"language" must only contain language codes.*config.yaml', 1),
    "not the Hub's answer": (
        lambda hub: hub.cut(next=ALWAYS, match="/api/validate-yaml", after_bytes=5),
        "the connection to the Hub broke",
        4,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_message_and_the_second_try_succeeds(
    hub: LoopbackHub, run: Path, fault: str, capfd: pytest.CaptureFixture[str]
) -> None:
    order, said, tries = FAULTS[fault]
    before = fingerprints(run)
    order(hub)
    waited: list[float] = []
    with pytest.raises(UserError, match=said) as caught:
        push_run(run, hub_model_id=NAME, wait=waited.append)
    message = str(caught.value)
    assert "\n" not in message
    assert f"The model is safe in {run / 'best'}. Then: accel-asr push {run} --hub_model_id {NAME}" in message
    assert waited == [2.0, 8.0, 30.0][: tries - 1]
    assert fingerprints(run) == before
    printed = "".join(capfd.readouterr())
    assert hub.token not in message + printed
    assert not [path for path in run.rglob("*") if path.is_file() and hub.token.encode() in path.read_bytes()]

    hub.heal()
    push_run(run, hub_model_id=NAME)
    repository = hub.repository("model", NAME)
    assert {path.name for path in repository.folder().iterdir()} == {
        *(".gitattributes", "README.md", "config.json", "model.safetensors")
    }
    assert (repository.folder() / "README.md").read_text() == CARD
    assert len(repository.commits) == 2  # its first, and ours
    assert fingerprints(run) == before


def test_what_the_hub_remarks_on_the_card_is_told(hub: LoopbackHub, run: Path) -> None:
    remark = {"errors": [], "warnings": [{"message": "empty or missing yaml metadata"}]}
    hub.fail(status=200, match="/api/validate-yaml", body=remark)
    told: list[str] = []
    push_run(run, hub_model_id=NAME, say=told.append)
    assert told[0] == "Warnings while validating metadata in README.md: - empty or missing yaml metadata"


def test_somebody_elses_name_is_refused(hub: LoopbackHub, run: Path) -> None:
    with pytest.raises(UserError, match=r"403.*rights to write to openai/mine.*is 'openai' you"):
        push_run(run, hub_model_id="openai/mine")


@pytest.mark.parametrize("fault", ["too many requests", "fault of the Hub", "cut before the reply", "refused card"])
def test_a_large_file_that_arrived_is_not_sent_again(hub: LoopbackHub, run: Path, fault: str) -> None:
    FAULTS[fault][0](hub)
    with pytest.raises(UserError):
        push_run(run, hub_model_id=NAME, wait=lambda seconds: None)
    hub.heal()
    push_run(run, hub_model_id=NAME)
    assert len(hub.requested("/lfs/", "PUT")) == 1


def test_a_commit_whose_reply_was_lost_is_not_made_twice(hub: LoopbackHub, run: Path) -> None:
    hub.cut(match="/commit/", after_bytes=None)
    told: list[str] = []
    push_run(run, hub_model_id=NAME, say=told.append, wait=lambda seconds: None)
    assert "push: the connection to the Hub broke" in told[0]
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
    told: list[str] = []
    waited: list[float] = []
    push_run(run, hub_model_id=NAME, say=told.append, wait=waited.append)
    assert waited == [wait_s]
    assert f"the Hub answered {status}" in told[0]
    assert told[0].endswith(f"trying again in {wait_s:g} s (try 2 of 4)")
    assert (hub.repository("model", NAME).folder() / "config.json").exists()


def test_each_new_try_is_one_line(hub: LoopbackHub, run: Path) -> None:
    hub.fail(next=3, status=502, match="/api/repos/create")
    told: list[str] = []
    push_run(run, hub_model_id=NAME, say=told.append, wait=lambda seconds: None)
    assert [line.partition("; ")[2] for line in told[:3]] == [
        "trying again in 2 s (try 2 of 4)",
        "trying again in 8 s (try 3 of 4)",
        "trying again in 30 s (try 4 of 4)",
    ]
    assert len(told) == 4  # and what was pushed


def test_a_token_that_the_server_repeats_is_shown_to_nobody(
    hub: LoopbackHub, run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.fail(next=ALWAYS, status=500, match="/commit/", message=f"what is {hub.token}?")
    with pytest.raises(UserError, match=r"what is hf_\.\.\.\?") as caught:
        push_run(run, hub_model_id=NAME, wait=lambda seconds: None)
    printed = "".join(capfd.readouterr())
    assert "what is hf_...?" in printed
    assert hub.token not in str(caught.value) + printed


def test_the_command_ends_with_exit_code_2(
    hub: LoopbackHub, run: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_folder, run / "best", dirs_exist_ok=True)
    hub.fail(next=ALWAYS, status=403, match="/commit/")
    options = ["--hub_private_repo", "false", "--revision", "v 2", "--include_tensorboard"]
    with pytest.raises(SystemExit) as ended, user_errors_exit():
        push.main([str(run), "--hub_model_id", NAME, *options])
    assert ended.value.code == 2
    told = capsys.readouterr().err.splitlines()[-1]
    again = (
        f"accel-asr push {run} --hub_model_id {NAME} --hub_private_repo false --revision 'v 2' --include_tensorboard"
    )
    assert told.startswith("error: hub.hub_model_id: the upload to")
    assert told.endswith(f"Then: {again}")


def test_a_mistake_of_our_own_is_not_taken_for_the_hubs() -> None:
    def mistake() -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        hub_faults.with_retries(mistake, doing="push", say=pytest.fail, wait=pytest.fail)
