"""The small job of the tests with many launches."""

from collections.abc import Iterator

import pytest

from tests.integration.tones import TonesJob


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TonesJob]:
    job = TonesJob(tmp_path_factory.mktemp("tones"))
    yield job
    job.forking_process.close()
