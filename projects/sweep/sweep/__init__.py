"""Room 4: a training config and a search space in, a study of trials out, on one machine or many."""
