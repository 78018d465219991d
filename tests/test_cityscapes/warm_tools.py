"""Tools of the project in processes forked from one that has imported the libraries, also where tools start tools.

    server    imports, then forks a process for each tool that is asked for
    client    a script that takes a tool's place: hands arguments, folder, environment and streams to the server, passes
              signals on, and ends as the tool ends

What runs is the real tool, in a process and session of its own, that can be stopped and killed. What is saved are the
eight seconds that importing torch, MMEngine and MMDetection takes, and beautified copies of configs.
"""

import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ('torch', 'mmdet.apis', 'mmdet.engine.hooks.utils', 'mmengine.runner', 'torch.utils.tensorboard', 'optuna',
             'matplotlib', 'yapf.yapflib.yapf_api')  # fmt: skip
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
CLIENT = 'import sys\nsys.path.insert(0, {here!r})\nimport warm_tools\nwarm_tools.client({tool!r}, {address!r})\n'


def serve(address):
    """Be the server, until the process that started it is gone."""
    for name in LIBRARIES:
        __import__(name)
    sys.modules['yapf.yapflib.yapf_api'].FormatCode = lambda text, **style: (text, True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    parent = os.getppid()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        while os.getppid() == parent:
            if not select.select([listener], [], [], 1)[0]:
                continue
            connection = listener.accept()[0]
            if os.fork() == 0:
                listener.close()
                handle(connection)
            connection.close()


def handle(connection):
    """Run one tool, and say its process id and how it ended; never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, streams, _, _ = socket.recv_fds(connection, 1 << 20, 2)
    asked = json.loads(message)
    pid = os.fork()
    if pid == 0:
        connection.close()
        tool(asked, streams)
    connection.sendall(f'{pid}\n'.encode())
    while True:
        gone, status = os.waitpid(pid, os.WNOHANG)
        if gone:
            code = os.waitstatus_to_exitcode(status)
            connection.sendall(f'{code}\n'.encode())
            os._exit(0)
        if select.select([connection], [], [], 0.02)[0]:  # the client was killed
            os.kill(pid, signal.SIGKILL)


def tool(asked, streams):
    """In the forked process: be `python TOOL ARGS`; never returns."""
    os.setsid()
    for stream, number in zip(streams, (1, 2), strict=True):
        os.dup2(stream, number)
    sys.stdout, sys.stderr = (os.fdopen(number, 'w', buffering=1, closefd=False) for number in (1, 2))
    os.environ.clear()
    os.environ.update(asked['environ'])
    os.chdir(asked['folder'])
    sys.argv = [asked['tool'], *asked['args']]
    sys.path[0] = str(Path(asked['tool']).parent)
    code = 0
    try:
        runpy.run_path(asked['tool'], run_name='__main__')
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def client(tool, address):
    """Take a tool's place; never returns."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    asked = dict(tool=tool, args=sys.argv[1:], folder=os.getcwd(), environ=dict(os.environ))
    socket.send_fds(connection, [json.dumps(asked).encode()], [1, 2])
    lines = connection.makefile()
    pid = int(lines.readline())
    for number in SIGNALS:
        signal.signal(number, lambda number, frame: os.kill(pid, number))
    if os.environ.get('WARM_PIDS'):
        with open(os.environ['WARM_PIDS'], 'a') as file:
            file.write(f'{Path(tool).name} {pid} {" ".join(sys.argv[1:])}\n')
    code = int(lines.readline())
    os._exit(code if code >= 0 else 128 - code)


class WarmTools:
    """A server, and scripts in a folder that take the place of tools.

    Args:
        folder: For the scripts and the socket.
        tools: Names of scripts in tools/.
    """

    def __init__(self, folder, tools):
        self.folder, address = folder, str(folder / 'warm')
        for name in tools:
            text = CLIENT.format(here=str(Path(__file__).parent), tool=str(ROOT / 'tools' / name), address=address)
            (folder / name).write_text(text)
        command = 'import warm_tools, sys; warm_tools.serve(sys.argv[1])'
        self.server = subprocess.Popen([sys.executable, '-c', command, address], cwd=Path(__file__).parent)
        while not Path(address).exists():
            if self.server.poll() is not None:
                raise RuntimeError('the server of warm tools did not start')
            time.sleep(0.1)

    def command(self, tool, *args):
        """The command line of a tool, to be run in any folder."""
        return [sys.executable, str(self.folder / tool), *map(str, args)]

    def close(self):
        """End the server; tools that run go on to their end."""
        self.server.terminate()
        self.server.wait()


if __name__ == '__main__':
    serve(sys.argv[1])
