"""Label files: what each format holds, as features with a number, and those features as objects of a scene."""
