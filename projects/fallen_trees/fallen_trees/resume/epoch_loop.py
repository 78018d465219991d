"""Epochs that can be entered in the middle."""

from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """`EpochBasedTrainLoop` that goes on inside the epoch in which a run was interrupted.

    Needs `SeededEpochSampler`, whose order follows from the epoch.
    """

    def run_epoch(self) -> None:
        """Run what is left of the epoch."""
        done = self._iter - self._epoch * len(self.dataloader)
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        if done:
            self.dataloader.sampler.skip_once(done * self.dataloader.batch_size)
        for idx, data_batch in enumerate(self.dataloader, start=done):
            self.run_iter(idx, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
