"""A resumable grid of runs: file -> plan -> units (arm x seed), each in processes of its own -> one table."""
