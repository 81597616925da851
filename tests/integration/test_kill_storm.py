"""Twenty kills in a row, at moments drawn at random: on 1 and 2 processes with every technique on, on 4 with none.

Minutes: marked slow.
"""

import random
import signal

import pytest

from tests.integration.forked_training import random_kill
from tests.integration.tones import NO_SPEECH_CLIPS, RESUME, STEPS_PER_EPOCH, TOPOLOGIES, TRAIN_CLIPS, TonesJob

pytestmark = pytest.mark.slow
KILLS = 20
EPOCHS = 30  # more steps than twenty launches can come to
LONG = ("--training.num_train_epochs", str(EPOCHS))


@pytest.mark.parametrize("processes", TOPOLOGIES)
def test_twenty_kills_in_a_row_change_nothing(tones: TonesJob, processes: int) -> None:
    topology, rng = TOPOLOGIES[processes], random.Random(processes)
    settings = [*LONG, *(tones.every_technique if processes < 4 else [])]
    whole, storm = f"long{processes}", f"storm{processes}"
    plan = [tones.launch(whole, topology, *settings, deadline_s=600)]
    plan += [tones.launch(storm, topology, *settings, *RESUME, ends=random_kill(rng, processes)) for _ in range(KILLS)]
    plan += [tones.launch(storm, topology, *settings, *RESUME, deadline_s=600)]
    codes = tones.run_plan(plan)
    assert codes[0] == codes[-1] == [0] * processes
    assert all(-signal.SIGKILL in ranks for ranks in codes[1:-1]), codes  # each of them did kill

    tones.assert_equal_weights(storm, whole)
    assert tones.metrics(storm) == tones.metrics(whole)
    ledger = tones.ledger(storm)
    assert ledger == tones.ledger(whole)
    for epoch in range(EPOCHS):
        steps = range(epoch * STEPS_PER_EPOCH + 1, (epoch + 1) * STEPS_PER_EPOCH + 1)
        ids = [utterance for (step, _), lists in ledger.items() if step in steps for ids in lists for utterance in ids]
        assert len(ids) == len(set(ids)) == TRAIN_CLIPS + (NO_SPEECH_CLIPS if processes < 4 else 0)
