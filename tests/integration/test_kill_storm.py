"""Kills in a row, at moments drawn at random: on 1 and 2 processes with every technique on, on 4 with none.

Minutes: marked slow.
"""

import random
import signal

import pytest

from tests.integration.forked_training import random_kill
from tests.integration.tones import NO_SPEECH_CLIPS, RESUME, STEPS_PER_EPOCH, TOPOLOGIES, TRAIN_CLIPS, TonesJob

pytestmark = pytest.mark.slow
KILLS = {1: 12, 2: 12, 4: 20}  # by processes
EPOCHS = {1: 18, 2: 18, 4: 30}  # more steps than so many launches can come to


@pytest.mark.parametrize("processes", TOPOLOGIES)
def test_kills_in_a_row_change_nothing(tones: TonesJob, processes: int) -> None:
    topology, rng = TOPOLOGIES[processes], random.Random(processes)
    settings = ["--training.num_train_epochs", str(EPOCHS[processes])]
    settings += tones.every_technique if processes < 4 else []
    whole, storm = f"long{processes}", f"storm{processes}"
    plan = [tones.launch(whole, topology, *settings, deadline_s=600)]
    kills = [random_kill(rng, processes) for _ in range(KILLS[processes])]
    plan += [tones.launch(storm, topology, *settings, *RESUME, ends=kill) for kill in kills]
    plan += [tones.launch(storm, topology, *settings, *RESUME, deadline_s=600)]
    codes = tones.run_plan(plan)
    assert codes[0] == codes[-1] == [0] * processes
    assert all(-signal.SIGKILL in ranks for ranks in codes[1:-1]), codes  # each of them did kill

    tones.assert_equal_weights(storm, whole)
    assert tones.metrics(storm) == tones.metrics(whole)
    ledger = tones.ledger(storm)
    assert ledger == tones.ledger(whole)
    for epoch in range(EPOCHS[processes]):
        steps = range(epoch * STEPS_PER_EPOCH + 1, (epoch + 1) * STEPS_PER_EPOCH + 1)
        ids = [utterance for (step, _), lists in ledger.items() if step in steps for ids in lists for utterance in ids]
        assert len(ids) == len(set(ids)) == TRAIN_CLIPS + (NO_SPEECH_CLIPS if processes < 4 else 0)
