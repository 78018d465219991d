"""The guard: watches a training run, says why it will come to nothing, and ends a dead one."""
