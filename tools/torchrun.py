"""PyTorch's launcher, `python tools/torchrun.py TORCHRUN_OPTIONS COMMAND...`, with an end that scripts can read.

It restarts a job whose process died, as often as `--max-restarts` says, but not one that ended because of its input,
its guard or a signal (see fallen_trees.resume.launched). Its exit code is that of the job.
"""

import os
import signal
import sys
import tempfile
from pathlib import Path

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as launch

SIGNALS = ('SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGUSR1', 'SIGHUP')
SHUTDOWN_S = 120  # to finish a step and save; PyTorch's 30 s end a large model in the middle of its checkpoint


def options() -> list[str]:
    """What we ask of PyTorch's launcher besides; a signal that is ignored (`nohup`) stays so."""
    heard = [name for name in SIGNALS if signal.getsignal(getattr(signal, name)) != signal.SIG_IGN]
    return [f'--signals-to-handle={",".join(heard)}', f'--shutdown-timeout={SHUTDOWN_S}']


def main(argv: list[str]) -> int:
    """Launch and wait; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix='launch-') as folder:
        os.environ.update(LAUNCHER_PID=str(os.getpid()), LAUNCHER_FOLDER=folder)
        # A place to meet for each start; in a shared one they would find the addresses of processes that died.
        os.environ['TORCH_DISABLE_SHARE_RDZV_TCP_STORE'] = '1'
        code = 0
        try:
            launch(options() + argv)
        except SignalException as stop:
            code = 128 + stop.sigval
        except ChildFailedError as error:
            code = first_failure(error)
        end = Path(folder, 'end')
        return int(end.read_text()) if end.exists() else code


def first_failure(error: ChildFailedError) -> int:
    """Say which process failed first, on stderr; returns the exit code a shell would see."""
    rank, failure = error.get_first_failure()
    how = f'signal {-failure.exitcode}' if failure.exitcode < 0 else f'exit code {failure.exitcode}'
    print(f'error: process {rank} of the job ended with {how}, and no restart is left.', file=sys.stderr)
    return failure.exitcode if failure.exitcode >= 0 else 128 - failure.exitcode


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
