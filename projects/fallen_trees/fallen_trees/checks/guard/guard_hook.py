"""Watch a training run: warn in its log with cause and cure, and end it when nothing can come of it any more."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict

import torch
from mmengine.dist import all_reduce, is_distributed
from mmengine.hooks import Hook, LoggerHook
from mmengine.model import BaseModel, is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from fallen_trees.checks.guard.look import GradientNorm, Look, WeightSample, is_warm, matched_queries, query_figures
from fallen_trees.checks.guard.nonfinite_batch import write_batch
from fallen_trees.checks.guard.rules import Patience, Remark, Validation, remarks, validation_remarks
from fallen_trees.checks.guard.schedule import resumed_schedule
from fallen_trees.checks.guard.validation_loss import ValidationLoss
from fallen_trees.errors import DeadRun

NOT_FINITE_IN_A_ROW = 3


@HOOKS.register_module()
class GuardHook(Hook):
    """Look at a run every so many iterations and say what is wrong with it.

    What it sees goes to the visualizer's back ends as `guard/...`, the validation loss as `val/loss` and to the log.
    Between looks it counts objects and does nothing else. Queries are looked at in any model with a MaskFormer head in
    `panoptic_head`; for other models that part is left out. A resumed run is not judged by how far it has moved.

    Args:
        interval: Iterations between two looks; None takes the logger's.
        finite_interval: Iterations between two looks at whether loss and weights are numbers.
        patience: Fields of `Patience` that differ from its defaults.
        val_batches: Batches of the validation set on which the loss is computed; 0 leaves it out.

    Attributes:
        looks: All looks so far.
        validations: All validations so far.
    """

    # Before the logger (BELOW_NORMAL), so that it writes what is found here, before the checkpoint hook (VERY_LOW), so
    # that a broken state is not saved, and before EMA (NORMAL) takes its weights back after a validation.
    priority = 'ABOVE_NORMAL'

    def __init__(
        self,
        interval: int | None = None,
        finite_interval: int = 10,
        patience: dict[str, int] | None = None,
        val_batches: int = 16,
    ) -> None:
        self.interval, self.finite_interval, self.val_batches = interval, finite_interval, val_batches
        self.patience = Patience(**(patience or {}))
        self.looks: list[Look] = []
        self.validations: list[Validation] = []
        self._said: set[str] = set()
        self._not_finite = 0
        self._weights: WeightSample | None = None
        self._validation_loss: ValidationLoss | None = None
        self._clear()

    def _clear(self) -> None:
        self._samples = self._objects = self._most_objects = 0
        self._handle, self._gradient, self._outputs = None, None, None

    def before_train(self, runner: Runner) -> None:
        """Take stock of the model and of what was resumed, and end at once a run that has nothing to train."""
        self._weights = WeightSample(_bare(runner.model))
        self._resumed = runner.iter > 0
        self._validated_at = runner.iter
        if self.interval is None:
            self.interval = next((h.interval for h in runner.hooks if isinstance(h, LoggerHook)), 50)
        self.patience = _with_whole_rounds(self.patience, runner)
        if self._resumed:
            self._say(runner, resumed_schedule(runner))
        if not self._weights.parameters:
            self._say(runner, [Remark('nothing-moves', 'every layer is frozen: there is nothing to train.', stop=True)])

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Count objects; before a look, ask to see the queries and the gradients."""
        self._count(data_batch)
        if not self._looks_at(runner):
            return
        head = getattr(_bare(runner.model), 'panoptic_head', None)
        if head is not None:
            self._handle = head.register_forward_hook(self._keep)
        if self._gradient is None and not getattr(runner.optim_wrapper, 'clip_grad_kwargs', None):
            self._gradient = GradientNorm(runner.optim_wrapper)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Look, and say what there is to say."""
        if self.every_n_train_iters(runner, self.finite_interval):
            self._say(runner, self._broken(runner, data_batch, outputs))
        if not self._looks_at(runner):
            return
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
        self.looks.append(self._look(runner))
        self._outputs = None
        self._samples = self._objects = self._most_objects = 0
        runner.visualizer.add_scalars(_scalars(self.looks[-1]), step=runner.iter + 1)
        self._say(runner, remarks(self.looks, self.patience))

    def _looks_at(self, runner: Runner) -> bool:
        return runner.iter == 0 or self.every_n_train_iters(runner, self.interval)

    def _keep(self, module: torch.nn.Module, args: tuple, outputs: tuple) -> None:
        """Keep the last decoder layer's predictions of a MaskFormer head; other heads' outputs are not understood."""
        if isinstance(outputs, tuple) and len(outputs) == 2 and all(len(o) and o[-1].ndim >= 3 for o in outputs):
            self._outputs = outputs[0][-1].detach(), outputs[1][-1].detach()

    def _count(self, data_batch: dict | None) -> None:
        samples = data_batch.get('data_samples', ()) if isinstance(data_batch, dict) else ()
        counts = [len(sample.gt_instances) for sample in samples if 'gt_instances' in sample]
        self._samples += len(counts)
        self._objects += sum(counts)
        self._most_objects = max([self._most_objects, *counts])

    def _look(self, runner: Runner) -> Look:
        iteration = runner.iter + 1
        since = iteration - (self.looks[-1].iteration if self.looks else 0)
        warm = is_warm(runner.optim_wrapper) and not self._resumed
        moved = self._weights.moved()
        if warm and moved is None:
            self._weights.drop_anchor()
            moved = 0.0
        updates = iteration // getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        loss = _mean(runner, 'train/loss', min(since, iteration))
        figures = self._figures(runner)
        return Look(iteration, updates, loss, self._samples, self._objects, self._most_objects, warm, moved, figures)

    def _figures(self, runner: Runner) -> dict[str, float]:
        figures = query_figures(*self._outputs) if self._outputs else {}
        if self._gradient is not None and self._gradient.value is not None:
            figures['grad_norm'], self._gradient = self._gradient.value, None
        elif 'train/grad_norm' in runner.message_hub.log_scalars:
            figures['grad_norm'] = float(runner.message_hub.get_scalar('train/grad_norm').current())
        assigner = getattr(getattr(_bare(runner.model), 'panoptic_head', None), 'assigner', None)
        if hasattr(assigner, 'matched'):
            figures['matched_queries'] = matched_queries(torch.as_tensor(assigner.matched))
            assigner.reset()
        if hasattr(assigner, 'non_finite'):
            figures['replaced_costs'] = float(assigner.non_finite)
        return figures

    def _broken(self, runner: Runner, data_batch: dict | None, outputs: dict | None) -> list[Remark]:
        """What is not a number: weights for good, a loss perhaps for one step."""
        loss = (outputs or {}).get('loss')
        loss_is_finite = loss is None or bool(torch.isfinite(torch.as_tensor(loss)).all())
        self._not_finite = 0 if loss_is_finite else self._not_finite + 1
        if not loss_is_finite:
            done = write_batch(runner, data_batch, outputs)
            runner.logger.warning(f'guard: the loss of iteration {runner.iter + 1} is not a number; {done}.')
        cure = (
            'Usual causes: a learning rate too high (AdamW 1e-4 is usual), no clip_grad, or half precision; go on from '
            'the last checkpoint with a lower one.'
        )
        if not self._weights.finite():
            return [Remark('weights-not-finite', f'the weights are no longer numbers. {cure}', stop=True)]
        if loss_is_finite:
            return []
        stop = self._not_finite >= NOT_FINITE_IN_A_ROW
        times = f', {self._not_finite} looks in a row' if stop else ''
        return [Remark('loss-not-finite', f'the loss is not a number{times}. {cure}', stop=stop)]

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence | None = None
    ) -> None:
        """Count detections."""
        if batch_idx == 0:
            self._detections, self._best_score = 0, 0.0
        if any('pred_instances' not in sample for sample in outputs or ()):
            self._detections = None  # a model of maps
            return
        for sample in outputs or ():
            scores = sample.pred_instances.scores
            if len(scores):
                self._detections += int((scores > 0.05).sum())
                self._best_score = max(self._best_score, float(scores.max()))

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Put the validation loss beside AP, and judge both."""
        if self._weights is None:  # no training, no judgement
            return
        iteration = runner.iter
        loss = self._loss_on_validation(runner)
        train_loss = _mean(runner, 'train/loss', iteration - self._validated_at)
        self._validated_at = iteration
        if loss is not None:
            # Not through the message hub: the logger would write it under the tag of the training loss.
            runner.visualizer.add_scalar('val/loss', loss, step=iteration)
            runner.logger.info(f'guard: val/loss {loss:.3f}; train loss since the last validation {train_loss:.3f}')
        seen = (self._detections, self._best_score)
        self.validations.append(Validation(iteration, train_loss, loss, _ap50(metrics or {}), *seen))
        self._say(runner, validation_remarks(self.validations))

    def _loss_on_validation(self, runner: Runner) -> float | None:
        if not self.val_batches:
            return None
        model = _bare(runner.model)
        if self._validation_loss is None:
            self._validation_loss = ValidationLoss(runner.cfg.val_dataloader, self.val_batches)
        loss = self._validation_loss.measure(model)
        assigner = getattr(getattr(model, 'panoptic_head', None), 'assigner', None)
        if hasattr(assigner, 'matched'):
            assigner.reset()  # what was matched here is no training
        return loss

    def _say(self, runner: Runner, found: Iterable[Remark]) -> None:
        """Write each remark to the log, once; raise for one that ends the run, on all processes together."""
        fatal = None
        for remark in found:
            line = f'guard: {remark.rule}: {remark.message}'
            if remark.stop:
                fatal = line
            elif remark.rule not in self._said:
                runner.logger.warning(line)
            self._said.add(remark.rule)
        if _any_process(fatal is not None):
            fatal = fatal or 'guard: another process found that this run cannot go on; its line says why.'
            runner.logger.error(fatal)
            raise DeadRun(fatal)


def _bare(model: torch.nn.Module) -> BaseModel:
    return model.module if is_model_wrapper(model) else model


def _mean(runner: Runner, name: str, window: int) -> float:
    history = runner.message_hub.log_scalars.get(name)
    return float(history.mean(max(1, window))) if history is not None else float('nan')


def _ap50(metrics: dict[str, float]) -> float | None:
    """Of masks where they are scored, else of boxes."""
    found = [metrics[key] for kind in ('segm', 'bbox') for key in metrics if key.endswith(f'{kind}_mAP_50')]
    return next(iter(found), None)


def _any_process(flag: bool) -> bool:
    if not is_distributed():
        return flag
    number = torch.tensor(int(flag))
    all_reduce(number, 'max')
    return bool(number)


def _with_whole_rounds(patience: Patience, runner: Runner) -> Patience:
    """Call data empty only after two whole rounds of them."""
    rounds = 2 * len(runner.train_dataloader.dataset)
    return Patience(**{**asdict(patience), 'samples': max(patience.samples, rounds)})


def _scalars(look: Look) -> dict[str, float]:
    named = dict(objects_per_tile=look.objects / max(1, look.samples), moved=look.moved, **look.figures)
    return {f'guard/{name}': value for name, value in named.items() if value is not None}
