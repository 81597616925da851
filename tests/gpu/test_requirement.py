"""Tests of a GPU are run when they are asked for, skipped without one, and fail where there must be one."""

from types import SimpleNamespace

import pytest
import torch

from tests.conftest import QUICK, pytest_configure
from tests.gpu.conftest import REQUIRED_VARIABLE, require_cuda


@pytest.mark.parametrize(("value", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
@pytest.mark.parametrize(("cuda", "reason"), [("13.0", "finds no CUDA device"), (None, "is built without CUDA")])
def test_without_a_gpu_its_tests_are_skipped_and_fail_where_one_is_required(
    monkeypatch: pytest.MonkeyPatch, value: str, outcome: type[BaseException], cuda: str | None, reason: str
) -> None:
    monkeypatch.setenv(REQUIRED_VARIABLE, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    with pytest.raises(outcome, match=reason):
        require_cuda()


@pytest.mark.parametrize(
    ("given", "is_path_given", "expected"),
    [
        ("", False, f"({QUICK}) and not gpu"),
        ("", True, "(not slow) and not gpu"),
        ("integration or slow", False, "(integration or slow) and not gpu"),
        ("gpu", False, "gpu"),
    ],
)
def test_they_are_left_out_unless_they_are_named(given: str, is_path_given: bool, expected: str) -> None:
    sources = pytest.Config.ArgsSource
    config = SimpleNamespace(
        option=SimpleNamespace(markexpr=given),
        args_source=sources.ARGS if is_path_given else sources.TESTPATHS,
        ArgsSource=sources,
    )
    pytest_configure(config)  # type: ignore[arg-type]
    assert config.option.markexpr == expected
