"""What makes a config's training resumable to the bit, written into it before the run is built."""

import secrets

from mmengine.config import Config, ConfigDict

SAMPLERS = {'InfiniteSampler': 'SeededInfiniteSampler', 'DefaultSampler': 'SeededEpochSampler'}
LOOPS = {'EpochBasedTrainLoop': 'ResumableEpochLoop'}


def make_exact(cfg: Config) -> list[str]:
    """Seed everything from one number, and give samplers and loops a position.

    Written into the config, in place: the seed (drawn, if none was given), the training set inside a `SeededDataset`,
    and the counterparts of MMEngine's samplers and loops. What has none stays, and is said.

    Returns:
        Lines for the log.
    """
    notes = []
    if cfg.get('randomness') is None or cfg.randomness.get('seed') is None:
        cfg.randomness = {**(cfg.get('randomness') or {}), 'seed': secrets.randbelow(2**31)}
        notes.append(f'Seed {cfg.randomness.seed}, drawn as the config has none.')
    loader, seed = cfg.train_dataloader, cfg.randomness.seed
    obstacle = _obstacle(loader)
    if obstacle is not None:
        return [*notes, f'A resumed run will not equal an unbroken one to the bit: {obstacle}.']
    loader.sampler.type = SAMPLERS.get(loader.sampler.type, loader.sampler.type)
    if loader.sampler.get('seed') is None:
        loader.sampler.seed = seed
    if loader.dataset.type != 'SeededDataset':
        loader.dataset = ConfigDict(type='SeededDataset', seed=seed, dataset=loader.dataset)
    loop = cfg.train_cfg.get('type')
    if loop is None and cfg.train_cfg.get('by_epoch', True):
        loop = 'EpochBasedTrainLoop'
        cfg.train_cfg.pop('by_epoch', None)
    if loop in LOOPS:
        cfg.train_cfg.type = LOOPS[loop]
    return notes


def _obstacle(loader: ConfigDict) -> str | None:
    sampler = loader.get('sampler', {}).get('type')
    if loader.get('batch_sampler') is not None:
        return f'batch_sampler {loader.batch_sampler.type} composes batches of what it saw before; leave it None'
    if sampler not in SAMPLERS and sampler not in SAMPLERS.values():
        return f'the order of {sampler} is not a function of the position; use {" or ".join(SAMPLERS)}'
    return None
