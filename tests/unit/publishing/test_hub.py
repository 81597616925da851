"""A push against a Hub on loopback, by the real client in this process: what is sent, and what is only listed."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from accel_asr.commands import push
from accel_asr.files.atomic_writes import WRITING
from accel_asr.publishing import hub as publishing
from accel_asr.publishing.hub import check_may_push, describe_push, push_run
from accel_asr.publishing.upload_plan import plan_upload
from tests.hub_server import LoopbackHub
from tests.refusals import ANY, refused
from tests.unit.publishing.hub_client import CARD, fingerprints

NAME = "tester/whisper-bank"


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".gitattributes")
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


BEST = {"README.md": CARD, "config.json": '{"model_type": "whisper"}', "model.safetensors": "weights" * 1000}


def test_the_best_model_and_its_card_arrive_in_one_commit(hub: LoopbackHub, run: Path) -> None:
    before = fingerprints(run)
    assert push_run(run, hub_model_id=NAME) == f"{hub.url}/{NAME}"
    repository = hub.repository("model", NAME)
    assert contents(repository.folder()) == BEST
    assert [commit.summary for commit in repository.commits[1:]] == ["accel_asr: my_run"]
    assert (fingerprints(run), (run / "best" / "README.md").read_text()) == (before, CARD)


def test_the_adapter_alone_arrives_in_its_place(hub: LoopbackHub, run: Path) -> None:
    said: list[str] = []
    push_run(run, hub_model_id=NAME, adapter=True, say=said.append)
    repository = hub.repository("model", NAME)
    assert sorted(contents(repository.folder())) == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert not (run / "best" / "README.md").exists()
    assert any("base model is not on the Hub" in line for line in said)  # the card names none
    assert "4.0 kB" not in describe_push(run, hub_model_id=NAME, adapter=True)
    assert "best_adapter/adapter_model.safetensors" in describe_push(run, hub_model_id=NAME, adapter=True)


def test_a_failed_push_of_an_adapter_names_the_command_that_repeats_it(hub: LoopbackHub, run: Path) -> None:
    hub.fail(next=9, status=403, match="/commit/")
    with refused("--hub.hub_model_id", value=NAME, remedy=f"{run} --hub_model_id {NAME} --push_adapter"):
        push_run(run, hub_model_id=NAME, adapter=True)


@pytest.mark.parametrize("command", [True, False])
def test_a_run_without_an_adapter_has_none_to_push(hub: LoopbackHub, run: Path, command: bool) -> None:
    shutil.rmtree(run / "best_adapter")
    with refused("RUN_DIR", "holds no adapter", value=run, remedy="--lora.enabled true"):
        if command:
            push.main([str(run), "--hub_model_id", NAME, "--push_adapter"])
        else:
            push_run(run, hub_model_id=NAME, adapter=True)
    assert hub.requests == []


def test_a_second_push_sends_nothing_that_is_there(hub: LoopbackHub, run: Path) -> None:
    push_run(run, hub_model_id=NAME)
    push_run(run, hub_model_id=NAME)
    assert len(hub.requested("/commit/")) == len(hub.requested("/lfs/", "PUT")) == 1
    (run / "best" / "config.json").write_text("{}")
    push_run(run, hub_model_id=NAME)
    assert contents(hub.repository("model", NAME).folder()) == {**BEST, "config.json": "{}"}
    assert len(hub.requested("/lfs/", "PUT")) == 1


def test_a_branch_is_made_and_the_message_is_as_asked(hub: LoopbackHub, run: Path) -> None:
    for _ in range(2):  # made, then there
        address = push_run(run, hub_model_id=NAME, revision="try/1", commit_message="a better one")
    assert address == f"{hub.url}/{NAME}/tree/try/1"
    repository = hub.repository("model", NAME)
    assert contents(repository.folder("try/1")) == BEST
    assert contents(repository.folder("main")) == {}
    assert repository.revisions["try/1"].summary == "a better one"


def test_only_the_curves_of_tensorboard_go_and_only_when_asked(hub: LoopbackHub, run: Path) -> None:
    push_run(run, hub_model_id=NAME, include_tensorboard=True)
    added = {"runs/my_run/events.out.tfevents.1.host.2.0": "curves"}
    assert contents(hub.repository("model", NAME).folder()) == BEST | added


def test_logs_that_are_missing_are_refused(hub: LoopbackHub, run: Path) -> None:
    (run / "tensorboard" / "events.out.tfevents.1.host.2.0").unlink()
    with refused("--include_tensorboard", "no logs of TensorBoard"):
        push_run(run, hub_model_id=NAME, include_tensorboard=True)
    assert hub.requests == []


# -- private or public


@pytest.mark.parametrize(("asked", "became"), [(None, False), (False, False), (True, True)])
def test_a_new_repository_is_as_asked(hub: LoopbackHub, run: Path, asked: bool | None, became: bool) -> None:
    push_run(run, hub_model_id=NAME, private=asked)
    assert hub.repository("model", NAME).private == became


@pytest.mark.parametrize("check", [False, True])
def test_what_must_be_private_is_not_put_into_a_public_repository(
    hub: LoopbackHub, run: Path, tmp_path: Path, check: bool
) -> None:
    (tmp_path / "empty").mkdir()
    hub.add_repository("model", NAME, tmp_path / "empty")
    with refused("--hub.hub_private_repo", NAME, "public", "nothing was sent"):
        check_may_push(NAME, private=True) if check else push_run(run, hub_model_id=NAME, private=True)
    assert not hub.requested("/preupload/")
    push_run(run, hub_model_id=NAME)  # not said: it stays as it is


def test_a_private_repository_stays_private_with_a_note(hub: LoopbackHub, run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    hub.add_repository("model", NAME, tmp_path / "empty", private=True)
    lines: list[str] = []
    push_run(run, hub_model_id=NAME, private=False, say=lines.append)
    assert f"--hub.hub_private_repo: '{NAME}' exists and stays private" in lines[0]
    assert hub.repository("model", NAME).private
    assert contents(hub.repository("model", NAME).folder()) == BEST


# -- a dry run


def test_a_dry_run_lists_everything_and_asks_and_writes_nothing(hub: LoopbackHub, run: Path) -> None:
    before = fingerprints(run)
    plan = describe_push(run, hub_model_id=NAME, private=True, revision="v2", include_tensorboard=True)
    assert hub.requests == []
    assert fingerprints(run) == before
    assert not (run / "best" / "README.md").exists()
    assert f"would push to {hub.url}/{NAME}/tree/v2 (if it is new: private)" in plan
    listed = [line.split()[:3] for line in plan.splitlines() if "<-" in line]
    assert listed == [
        [str(len(CARD)), "B", "README.md"],
        ["25", "B", "config.json"],
        ["7.0", "kB", "model.safetensors"],
        ["6", "B", "runs/my_run/events.out.tfevents.1.host.2.0"],
    ]
    assert "token: found" in plan
    assert hub.token not in plan


def test_a_dry_run_needs_no_token(hub: LoopbackHub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert "token: none; log in with `hf auth login`" in describe_push(run, hub_model_id=NAME)


# -- before anything is built


def test_without_a_token_nothing_is_built_and_nothing_asked(
    hub: LoopbackHub, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(publishing, "make_model_card", lambda *_, **__: pytest.fail("the card is built too early"))
    with refused("--hub.hub_model_id", value=NAME, remedy="`hf auth login`, or set HF_TOKEN"):
        push_run(run, hub_model_id=NAME)
    with refused("--hub.push_to_hub", remedy="`hf auth login`, or set HF_TOKEN"):
        check_may_push(NAME)
    assert hub.requests == []


def test_the_token_of_a_login_is_found(hub: LoopbackHub, run: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    (tmp_path / "token").write_text(hub.token + "\n")
    push_run(run, hub_model_id=NAME)
    assert contents(hub.repository("model", NAME).folder()) == BEST


@pytest.mark.parametrize("name", ["tester/a b", "tester/-a", "tester/a..b", "x/" + "a" * 100])
def test_a_name_that_the_hub_does_not_have_is_refused_at_once(hub: LoopbackHub, run: Path, name: str) -> None:
    for attempt in (lambda: push_run(run, hub_model_id=name), lambda: check_may_push(name)):
        with refused("--hub.hub_model_id", value=name, remedy="give user/name"):
            attempt()
    assert hub.requests == []


def test_before_training_the_owner_of_the_name_is_checked(hub: LoopbackHub) -> None:
    check_may_push("tester/new")
    check_may_push("Lab/new")
    with refused("--hub.hub_model_id", "tester, lab", value="openai/new", remedy="tester/new"):
        check_may_push("openai/new")
    assert not [request for request in hub.requests if request.method == "POST"]


def test_before_training_an_invalid_token_is_refused(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_not_a_valid_one")
    with refused("HF_TOKEN", "401", "`hf auth login`", remedy="train without --hub.push_to_hub") as refusal:
        check_may_push("tester/new")
    assert "hf_not_a_valid_one" not in str(refusal.value)


# -- the card


def test_a_card_that_can_not_be_written_whole_leaves_the_one_before(hub: LoopbackHub, run: Path, monkeypatch) -> None:
    (run / "best" / "README.md").write_text("the one before")
    before, planned = fingerprints(run), plan_upload(run, include_tensorboard=False)

    def full(_: int) -> None:
        half = [path.name for path in (run / "best").iterdir() if path.read_bytes() and path.name.endswith(WRITING)]
        assert half == [".README.md.writing"]  # hidden, so never published
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with refused("RUN_DIR", value=run / "best" / "README.md", remedy="make room"):
        push_run(run, hub_model_id=NAME)
    assert plan_upload(run, include_tensorboard=False) == planned
    assert (fingerprints(run), (run / "best" / "README.md").read_text()) == (before, "the one before")


# -- the command


def test_the_command_takes_the_options(
    hub: LoopbackHub, run: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_folder, run / "best", dirs_exist_ok=True)
    options = ["--hub_private_repo", "true", "--revision", "v2", "--commit_message", "hello", "--include_tensorboard"]
    assert push.main([str(run), "--hub_model_id", NAME, *options, "--dry_run"]) == 0
    assert "nothing was sent" in capsys.readouterr().out
    assert hub.requests == []
    assert push.main([str(run), "--hub_model_id", NAME, *options]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == f"{hub.url}/{NAME}/tree/v2"
    repository = hub.repository("model", NAME)
    assert repository.private
    assert repository.revisions["v2"].summary == "hello"
    assert (repository.folder("v2") / "runs" / "my_run" / "events.out.tfevents.1.host.2.0").is_file()


def test_a_model_that_does_not_fit_together_is_not_pushed(hub: LoopbackHub, run: Path) -> None:
    with refused("RUN_DIR", "can't be used", value=str(run / "best")):
        push.main([str(run), "--hub_model_id", NAME])
    assert hub.requests == []


def test_an_adapter_that_is_not_finite_is_not_pushed(hub: LoopbackHub, run: Path) -> None:
    weights = run / "best_adapter" / "adapter_model.safetensors"
    save_file({"lora": torch.tensor([float("nan")])}, weights)
    with refused(ANY, "not finite", value=weights):
        push.main([str(run), "--hub_model_id", NAME, "--push_adapter"])
    assert hub.requests == []


def test_an_adapter_that_nobody_could_merge_is_not_pushed(hub: LoopbackHub, run: Path) -> None:
    (run / "best_adapter" / "adapter_config.json").write_text('{"peft_type": "PROMPT_TUNING"}')
    with refused("RUN_DIR", "PROMPT_TUNING", value=run / "best_adapter"):
        push.main([str(run), "--hub_model_id", NAME, "--push_adapter"])
    assert hub.requests == []


def test_alignment_heads_that_the_decoder_lacks_are_not_pushed(
    hub: LoopbackHub, run: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = shutil.copytree(tiny_folder, run / "best", dirs_exist_ok=True)
    settings = json.loads((best / "generation_config.json").read_text())
    before = json.dumps(settings | {"alignment_heads": [[1, 0], [7, 0]]})
    (best / "generation_config.json").write_text(before)
    push.main([str(run), "--hub_model_id", NAME, "--dry_run"])
    assert "[7, 0]" in capsys.readouterr().err
    assert (best / "generation_config.json").read_text() == before
    push.main([str(run), "--hub_model_id", NAME])
    assert "[7, 0]" in capsys.readouterr().err
    pushed = json.loads((hub.repository("model", NAME).folder() / "generation_config.json").read_text())
    assert pushed == settings | {"alignment_heads": [[1, 0]]}
