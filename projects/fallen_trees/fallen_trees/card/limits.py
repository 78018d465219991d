"""What a network has not seen, as its data tell."""

from collections.abc import Mapping

from fallen_trees.card.split_facts import SplitFacts

FEW = 200  # objects of a class


def limits_of(facts: Mapping[str, SplitFacts]) -> list[str]:
    """Lines about what lies outside the data of training."""
    train = facts.get('train')
    if train is None:
        return ['Nothing is known about the data of training: their annotation file was not there.']
    lines = [*_look(train), *_objects(train)]
    if train.drawn:
        lines.append('All scenes of training are drawn (`data_prep synth`): the network has seen no photograph.')
    if train.scenes:
        many = f'{len(train.scenes)} scene{"s" * (len(train.scenes) != 1)}'
        where = f', all in {", ".join(train.crs[:3])}' if train.crs else ''
        lines.append(f'It learnt from {many}{where}; forests, seasons and cameras beyond these are untried.')
    unseen = [split for split in ('val', 'test') if split not in facts]
    if unseen:
        lines.append(f'There is no {" and no ".join(unseen)} split: nothing says how well it does elsewhere.')
    for split in ('val', 'test'):
        if split in facts and set(facts[split].scenes) & set(train.scenes):
            lines.append(f'Training and {split} share scenes, so that scores there flatter it.')
    return lines


def _look(train: SplitFacts) -> list[str]:
    lines = []
    if train.gsd_m is None:
        lines.append('The size of a pixel on the ground is not known; on images of another scale it may fail.')
    elif train.gsd_m[1] - train.gsd_m[0] < 0.02 * train.gsd_m[1]:
        lines.append(f'Pixels of {train.gsd_m[0]:.4g} m alone; scenes of other sizes are resampled to it, and finer '
                     'detail than a coarse scene holds does not come back.')  # fmt: skip
    else:
        lines.append(f'Pixels from {train.gsd_m[0]:.4g} to {train.gsd_m[1]:.4g} m; none beyond.')
    if train.bands:
        shown = '; '.join(','.join(map(str, bands)) for bands in train.bands[:3])
        lines.append(f'Bands {shown} of the scenes, in this order; another order or other bands are new to it.')
    return lines


def _objects(train: SplitFacts) -> list[str]:
    lines = [f'Only {count} objects of the class {name} to learn from.'
             for name, count in sorted(train.objects.items()) if count < FEW]  # fmt: skip
    if train.longest_m is not None:
        lines.append(f'The longest piece of an object in a tile measures {train.longest_m:.1f} m (diagonal of its '
                     'box); longer ones are seen in parts and joined.')  # fmt: skip
    if not train.empty:
        lines.append('Every tile of training holds an object: on empty ground expect false alarms.')
    return lines
