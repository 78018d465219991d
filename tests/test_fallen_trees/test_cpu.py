import subprocess
import sys

import pytest
import torch

# Takes and frees five blocks of 40 MB, as training steps do, and counts the page faults once the heap has grown. Up to
# 32 MB glibc learns by itself to keep what is freed.
CHURN = """
import resource, sys, torch
if sys.argv[1] == 'keep':
    from fallen_trees.cpu import keep_freed_memory
    assert keep_freed_memory()
def step():
    [torch.ones(10_000_000) for _ in range(5)]
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def count_faults(arm):
    done = subprocess.run([sys.executable, '-c', CHURN, arm], check=True, capture_output=True, text=True)
    return int(done.stdout.splitlines()[-1])  # MMDetection prints a line of its own when it is imported


@pytest.mark.skipif(torch.cuda.is_available(), reason='memory is kept in CPU runs only')
def test_kept_memory_is_not_faulted_in_again(monkeypatch):
    for name in ('MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_', 'MALLOC_TOP_PAD_'):
        monkeypatch.delenv(name, raising=False)
    faults = {arm: count_faults(arm) for arm in ('stock', 'keep')}
    assert faults['keep'] < faults['stock'] / 4
