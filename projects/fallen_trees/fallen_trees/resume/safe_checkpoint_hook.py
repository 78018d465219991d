"""MMEngine's checkpoint hook, made safe: no moment at which a kill leaves less than the newest good checkpoint."""

import time
from functools import partial
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from fallen_trees.errors import ConfigError, EnvironmentFailure
from fallen_trees.resume.checkpoint_file import commit, manifest_path, point_to, prune, put_away, sweep
from fallen_trees.resume.plain_state import from_plain, to_plain

RETRY_S = 60  # after a save that failed


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """`CheckpointHook` that commits: written aside, verified, renamed, then older ones removed.

    It also saves
    - by the clock, every `every_minutes`, for machines that vanish without a signal;
    - before each validation, and once more after it, so that neither the steps before a long validation nor its result
      (best score, threshold, state of early stopping) can be lost. A checkpoint from before its validation says so
      (`meta.validation_pending`) and a resumed run validates first;
    - only after steps that update the weights: gradients that are being accumulated are not saved.

    A save that fails (disk full, folder gone) is reported, and tried again after a minute; the run goes on with the
    older checkpoint. Only the last save of a run, and that of an interrupted one, must succeed.

    At the start what killed saves left behind is removed, and checkpoints of a later step than that the run begins at,
    which are another run's, are moved to a folder `earlier`.

    Args:
        every_minutes: Longest time between two saves; None saves by steps alone.
        **kwargs: Of `CheckpointHook`. `max_keep_ckpts` counts checkpoints of single steps; the best is kept besides.
    """

    def __init__(self, *args: object, every_minutes: float | None = 15, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.every_minutes = every_minutes
        self.settings: dict[str, str] | None = None  # of the run, for the manifests
        self.last_saved: int | None = None  # iteration
        self._due = self._validation_pending = False
        self._saved_at = time.monotonic()  # does not jump with the clock
        self._not_before = -float('inf')

    @property
    def folder(self) -> Path:
        """Where the checkpoints go."""
        return Path(self.out_dir)

    def before_train(self, runner: Runner) -> None:
        """Find the folder and the best checkpoint so far; run the validation that a resumed run still owes."""
        super().before_train(runner)
        self._saved_at = time.monotonic()
        if is_main_process():
            # Here alone: a folder that vanishes later is a drive that went away, and must not be made anew under it.
            self.folder.mkdir(parents=True, exist_ok=True)
            self._tidy(runner)
        if runner._resume and runner._load_from is not None:
            self.last_saved, self.last_ckpt = runner.iter, str(self.folder / Path(runner._load_from).name)
        if self._validation_pending and runner.val_loop is not None:
            runner.logger.info(f'Validating iteration {runner.iter} first: the run ended before that was done.')
            runner.val_loop.run()
        self._validation_pending = False

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Save when it is time, after the next step that updates the weights."""
        self._due = self._due or self._is_due(runner)
        last = self.save_last and self.is_last_train_iter(runner) and not self.by_epoch
        due = self._due and time.monotonic() >= self._not_before
        if (due and updates_weights(runner)) or last:
            self.save(runner, must_succeed=last)

    def after_train_epoch(self, runner: Runner) -> None:
        """Save at the end of an epoch, when that is what is counted."""
        last = self.save_last and self.is_last_train_epoch(runner)
        pending = epoch_is_validated(runner)
        due = pending or self.every_n_epochs(runner, self.interval, self.save_begin)
        if self.by_epoch and due and not last and runner.iter % accumulated_steps(runner):
            self._due = True  # the epoch ends among steps that accumulate: saved after the next that updates
        elif self.by_epoch and (due or last):
            meta = dict(epoch=runner.epoch + 1, iter=runner.iter, validation_pending=pending)
            self._save(runner, self.filename_tmpl.format(runner.epoch + 1), meta, must_succeed=last)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the best, then save the step once more, with the outcome of its validation."""
        if self.out_dir is None:  # a validation without a training run
            return
        if metrics and self.save_best:
            self._keep_best(runner, metrics)
        if self.last_saved == runner.iter:
            meta = dict(epoch=runner.epoch, iter=runner.iter, validation_pending=False)
            over = runner.iter >= runner.max_iters or runner.train_loop.stop_training
            self._save(runner, Path(self.last_ckpt).name, meta, must_succeed=over)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Leave nothing in a checkpoint that only a pickle could hold."""
        checkpoint.update(to_plain(checkpoint))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Make MMEngine's objects again, and drop the config text, which MMEngine would execute."""
        meta = checkpoint.get('meta', {})
        meta.pop('config', None)
        self._validation_pending = runner._resume and meta.get('validation_pending', False)
        if 'message_hub' in checkpoint:
            checkpoint['message_hub'] = from_plain(checkpoint['message_hub'])

    def save(self, runner: Runner, must_succeed: bool = True) -> None:
        """Save after the step that was just made, unless it is saved already.

        Raises:
            EnvironmentFailure: If it must succeed and does not.
        """
        done = runner.iter + 1
        if self.last_saved != done:
            meta = dict(epoch=runner.epoch, iter=done, validation_pending=iteration_is_validated(runner))
            self._save(runner, f'iter_{done}.pth', meta, must_succeed)

    def _is_due(self, runner: Runner) -> bool:
        minutes = (time.monotonic() - self._saved_at) / 60
        return (
            (not self.by_epoch and self.every_n_train_iters(runner, self.interval, self.save_begin))
            or iteration_is_validated(runner)
            or (self.every_minutes is not None and minutes >= self.every_minutes)
        )

    def _save(self, runner: Runner, name: str, meta: dict, must_succeed: bool = False) -> None:
        runner.logger.info(f'Saving {name}.')
        self.last_ckpt = str(self.folder / name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        self._saved_at = time.monotonic()
        if not is_main_process() or self._commit(runner, name, meta, must_succeed):
            self.last_saved, self._due = meta['iter'], False
        else:
            self._not_before = time.monotonic() + RETRY_S

    def _tidy(self, runner: Runner) -> None:
        for path in sweep(self.folder):
            runner.logger.info(f'Removed {path.name}, left behind by a save that was cut off.')
        moved = put_away(self.folder, runner.iter)
        if moved is not None:
            runner.logger.warning(f'Checkpoints after iteration {runner.iter} were of another run: moved to {moved}.')

    def _commit(self, runner: Runner, name: str, meta: dict, must_succeed: bool = False, whole: bool = True) -> bool:
        """Write one file and remove what it makes superfluous; True when it is there."""
        path = self.folder / name
        try:
            commit(path, partial(self._write, runner, meta, whole), facts=dict(meta, settings=self.settings))
        except (OSError, EnvironmentFailure) as error:
            cause = error if path.parent.is_dir() else f'the folder vanished: {error}'
            message = f'the checkpoint {path} could not be saved ({cause})'
            if must_succeed:
                raise EnvironmentFailure(f'{message}; free space or repair the folder, then use --resume.') from error
            runner.logger.error(f'{message[0].upper()}{message[1:]}. The run goes on; older checkpoints are untouched.')
            return False
        if whole:
            self._point_and_prune(runner, path)
        return True

    def _point_and_prune(self, runner: Runner, path: Path) -> None:
        """What comes after a checkpoint; it is saved whether or not this succeeds."""
        try:
            point_to(path)
            if self.max_keep_ckpts > 0:
                prune(self.folder, self.max_keep_ckpts)
        except OSError as error:
            runner.logger.warning(f'{path.name} is saved, but tidying {self.folder} up failed: {error}.')

    def _write(self, runner: Runner, meta: dict, whole: bool, path: Path) -> None:
        runner.save_checkpoint(
            str(path.parent),
            path.name,
            save_optimizer=whole and self.save_optimizer,
            save_param_scheduler=whole and self.save_param_scheduler,
            meta=dict(meta),
            by_epoch=False,
            **self.args,
        )

    def _keep_best(self, runner: Runner, metrics: dict[str, float]) -> None:
        if 'auto' in self.key_indicators:
            self._init_rule(self.rules, [next(iter(metrics))])
        many = len(self.key_indicators) > 1
        for key, rule in zip(self.key_indicators, self.rules, strict=True):
            if key not in metrics:
                raise ConfigError(f'save_best={key!r} is no figure of the validation; it has {", ".join(metrics)}.')
            suffix = f'_{key}' if many else ''
            hub, score = runner.message_hub, metrics[key]
            known = hub.get_info(f'best_score{suffix}') if f'best_score{suffix}' in hub.runtime_info else None
            if score is None or not self.is_better_than[key](
                score, self.init_value_map[rule] if known is None else known
            ):
                continue
            before = hub.get_info(f'best_ckpt{suffix}') if f'best_ckpt{suffix}' in hub.runtime_info else None
            self._replace_best(runner, key, score, suffix, known, before)

    def _replace_best(
        self, runner: Runner, key: str, score: float, suffix: str, known: float | None, before: str | None
    ) -> None:
        unit, number = ('epoch', runner.epoch) if self.by_epoch else ('iter', runner.iter)
        name = f'best_{key}_{unit}_{number}.pth'.replace('/', '_')
        hub = runner.message_hub
        hub.update_info(f'best_score{suffix}', score)
        hub.update_info(f'best_ckpt{suffix}', str(self.folder / name))
        if suffix:
            self.best_ckpt_path_dict[key] = str(self.folder / name)
        else:
            self.best_ckpt_path = str(self.folder / name)
        meta = dict(epoch=runner.epoch, iter=runner.iter, validation_pending=False, **{key: float(score)})
        if not is_main_process():
            return
        if not self._commit(runner, name, meta, whole=False):  # the older one stays the best that there is
            for info, value in ((f'best_score{suffix}', known), (f'best_ckpt{suffix}', before)):
                hub.pop_info(info) if value is None else hub.update_info(info, value)
            return
        runner.logger.info(f'Best so far: {key} {score:.4f}, saved as {name}.')
        if before is not None and Path(before).name != name:
            old = self.folder / Path(before).name  # by name: the folder may have been moved
            old.unlink(missing_ok=True)
            manifest_path(old).unlink(missing_ok=True)


def updates_weights(runner: Runner) -> bool:
    """Whether the step just made was the last of its accumulation."""
    return (runner.iter + 1) % accumulated_steps(runner) == 0


def accumulated_steps(runner: Runner) -> int:
    """Steps whose gradients make up one update of the weights."""
    return getattr(runner.optim_wrapper, '_accumulative_counts', 1)


def iteration_is_validated(runner: Runner) -> bool:
    """Whether an iteration-based loop validates after the step just made."""
    loop, done = runner.train_loop, runner.iter + 1
    if runner.val_loop is None or hasattr(loop, 'run_epoch') or done < loop.val_begin:
        return False
    return done % loop.val_interval == 0 or done == loop.max_iters


def epoch_is_validated(runner: Runner) -> bool:
    """Whether an epoch-based loop validates after the epoch just made."""
    loop, done = runner.train_loop, runner.epoch + 1
    if runner.val_loop is None or not hasattr(loop, 'run_epoch') or done < loop.val_begin:
        return False
    return done % loop.val_interval == 0 or done == loop.max_epochs
