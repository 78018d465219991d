"""Trials in processes of their own, as sweeps run them."""

import os
import sys
import time

from fallen_trees.ablation.process import lock
from fallen_trees.trial import TrialProcess

GROWS = 'import time; block = bytearray(b"x") * 200_000_000; del block; time.sleep(0.5)'


def test_memory_is_the_peak_and_stays_when_the_process_is_over(tmp_path, monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    fd = lock(tmp_path / 'lock')
    process = TrialProcess([sys.executable, '-c', GROWS], tmp_path / 'log', fd, threads=1)
    os.close(fd)
    while process.code() is None:
        time.sleep(0.02)
    assert process.code() == 0 and 190 < process.memory_mb < 400
