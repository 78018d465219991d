"""Checks of the config: whether model, optimiser, schedule and start weights can learn from the data."""

from fallen_trees.checks.recipe.class_counts import class_counts, instances_out
from fallen_trees.checks.recipe.intervals import checkpoint_interval, validation_interval
from fallen_trees.checks.recipe.learning_rate import learning_rate
from fallen_trees.checks.recipe.loading import sampler
from fallen_trees.checks.recipe.memory import memory
from fallen_trees.checks.recipe.pipelines import empty_masks, empty_tiles, scale_of_test
from fallen_trees.checks.recipe.precision import amp
from fallen_trees.checks.recipe.schedule import lr_schedule
from fallen_trees.checks.recipe.starting import start_weights
from fallen_trees.checks.recipe.trainable import trainable_share
from fallen_trees.checks.subject import Check

RECIPE_CHECKS: tuple[Check, ...] = (
    learning_rate,
    lr_schedule,
    validation_interval,
    checkpoint_interval,
    trainable_share,
    start_weights,
    class_counts,
    instances_out,
    scale_of_test,
    empty_masks,
    empty_tiles,
    sampler,
    amp,
    memory,
)
