"""What an export needs to be installed."""

import pytest
from ctranslate2.specs.model_spec import ACCEPTED_MODEL_TYPES

from accel_asr.exporting.export_formats import PACKAGES, QUANTIZATIONS, require_packages, versions
from tests.refusals import refused


@pytest.mark.parametrize("export_format", PACKAGES)
def test_with_the_extra_nothing_is_missing(export_format: str) -> None:
    require_packages(export_format)
    assert "unknown" not in versions(export_format).values()


def test_what_is_missing_is_named_with_the_extra_that_brings_it() -> None:
    with refused("--format", "faster-whisper, which is not", value="ctranslate2", remedy="'accel-asr[export]'"):
        require_packages("ctranslate2", is_installed=lambda module: module == "ctranslate2")


def test_quantizations_are_those_of_the_converter() -> None:
    assert set(QUANTIZATIONS["ctranslate2"]) == set(ACCEPTED_MODEL_TYPES) - {"default"}
