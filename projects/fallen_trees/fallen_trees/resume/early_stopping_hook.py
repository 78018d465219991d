"""Early stopping whose patience survives an interruption."""

from mmengine.hooks import EarlyStoppingHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

KEY = 'early_stopping'
STATE = ('wait_count', 'best_score')


@HOOKS.register_module()
class ResumableEarlyStoppingHook(EarlyStoppingHook):
    """`EarlyStoppingHook` that keeps its best score and its count of waits in the checkpoint.

    A run that it has ended ends again when it is resumed, unless the limits below were changed.

    Args:
        monitor: Figure that is watched.
        min_delta: Smallest rise that counts. MMEngine's 0.1 ends a run whose AP rises from 0.30 to 0.39 in six
            validations.
        patience: Validations without such a rise before the run ends.
        **kwargs: Of `EarlyStoppingHook`.
    """

    # Before the checkpoint hook (VERY_LOW), which saves once more after each validation.
    priority = 'LOW'

    def __init__(
        self, monitor: str = 'coco/segm_mAP', min_delta: float = 0.002, patience: int = 8, **kwargs: object
    ) -> None:
        super().__init__(monitor=monitor, min_delta=min_delta, patience=patience, **kwargs)
        self._ended = False

    @property
    def limits(self) -> list[float | None]:
        """What decides about the end of a run."""
        return [self.patience, self.min_delta, self.stopping_threshold]

    def before_train(self, runner: Runner) -> None:
        """End at once a run that was ended before."""
        if self._ended:
            runner.logger.info(f'The run was over: {self.monitor} had not risen. A larger patience goes on.')
            runner.train_loop.stop_training = True
        self._ended = False

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the state."""
        state = {name: getattr(self, name) for name in STATE}
        checkpoint[KEY] = dict(state, ended=runner.train_loop.stop_training, limits=self.limits)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take the state of the interrupted run; a fresh start from other weights begins anew."""
        state = checkpoint.get(KEY)
        if not runner._resume or not isinstance(state, dict):
            return
        for name in STATE:
            setattr(self, name, state.get(name, getattr(self, name)))
        self._ended = bool(state.get('ended')) and state.get('limits') == self.limits
