"""Checks of annotations and images: what the network would learn from."""

from fallen_trees.checks.data.balance import check_queries, check_tree_less_tiles, check_validation_set
from fallen_trees.checks.data.boxes import check_boxes, check_outlines
from fallen_trees.checks.data.categories import check_categories
from fallen_trees.checks.data.channels import check_channel_order
from fallen_trees.checks.data.fed_masks import check_empty_masks, check_lost_objects
from fallen_trees.checks.data.images import check_images
from fallen_trees.checks.data.label_shift import check_label_shift
from fallen_trees.checks.data.leakage import check_leakage
from fallen_trees.checks.data.mask_pitch import check_mask_pitch
from fallen_trees.checks.data.normalisation import check_normalisation
from fallen_trees.checks.subject import Check

DATA_CHECKS: tuple[Check, ...] = (
    check_images,
    check_categories,
    check_boxes,
    check_outlines,
    check_label_shift,
    check_lost_objects,
    check_empty_masks,
    check_mask_pitch,
    check_queries,
    check_tree_less_tiles,
    check_validation_set,
    check_leakage,
    check_channel_order,
    check_normalisation,
)
