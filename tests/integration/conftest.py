"""The small job of the tests with many launches."""

import pytest

from tests.integration.tones import TonesJob


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> TonesJob:
    return TonesJob(tmp_path_factory.mktemp("tones"))
