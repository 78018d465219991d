"""What a sweep has found: trials.csv, results.md, best.py, finalists.py, report.html and TensorBoard's HParams.

`write_results` takes a study and what a sweep file says, and may be called after every trial.
"""

from pathlib import Path

import optuna

from sweep.results.best_config import write_best
from sweep.results.finalists import write_finalists
from sweep.results.hparams import write_hparams
from sweep.results.report import write_report
from sweep.results.rows import SweepFacts, best_row, rows_of
from sweep.results.table import LiveTable, table_lines, write_markdown
from sweep.results.trials_csv import write_csv

__all__ = ['LiveTable', 'SweepFacts', 'table_lines', 'write_results']


def write_results(study: optuna.Study, sweep_file: SweepFacts, folder: Path) -> None:
    """Write all results of a study into its folder, which is made where it is missing.

    Args:
        study: Its trials carry `user_attrs` values, iterations, seconds, seconds_per_image, memory_mb, retries,
            infeasible, skipped, reason and best_iteration, as far as they are known.
        sweep_file: Base, space, objectives and options of the sweep.
        folder: The study's; gets trials.csv, results.md, report.html, tensorboard/, and once a trial has run to its
            end best.py and finalists.py.

    Raises:
        OSError: If something cannot be written; each file is then the old one or the new one.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = rows_of(study, sweep_file)
    write_csv(rows, sweep_file, folder / 'trials.csv')
    write_markdown(study.study_name, rows, sweep_file, folder / 'results.md')
    best = best_row(rows)
    if best is not None:
        write_best(study.study_name, best, sweep_file, folder / 'best.py')
        write_finalists(study.study_name, rows, sweep_file, folder / 'finalists.py')
    write_report(study, sweep_file, rows, folder / 'report.html')
    write_hparams(rows, sweep_file, folder / 'tensorboard')
