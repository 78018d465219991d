"""Whether a run can work: the doctor before it, the smoke test in miniature, the guard during it."""
