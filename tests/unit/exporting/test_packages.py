"""What an export needs to be installed."""

import pytest
from ctranslate2.specs.model_spec import ACCEPTED_MODEL_TYPES

from accel_asr.errors import UserError
from accel_asr.exporting.packages import PACKAGES, QUANTIZATIONS, require_packages, versions


@pytest.mark.parametrize("export_format", PACKAGES)
def test_with_the_extra_nothing_is_missing(export_format: str) -> None:
    require_packages(export_format)
    assert "unknown" not in versions(export_format).values()


def test_what_is_missing_is_named_with_the_extra_that_brings_it() -> None:
    with pytest.raises(UserError) as caught:
        require_packages("ctranslate2", is_installed=lambda module: module == "ctranslate2")
    assert "faster-whisper, which is not installed" in str(caught.value)
    assert "pip install 'accel-asr[export]'" in str(caught.value)


def test_quantizations_are_those_of_the_converter() -> None:
    assert set(QUANTIZATIONS["ctranslate2"]) == set(ACCEPTED_MODEL_TYPES) - {"default"}
