"""Compile C++ sources into a library of torch operators; run as a process of its own, so that it can be given up.

    python compile_library.py NAME FOLDER FLAG... SOURCE...

FOLDER gets NAME.so, which is loaded once to see that it works. What went wrong is on stdout and stderr.
"""

import sys

from torch.utils import cpp_extension


def main(name: str, folder: str, *flags_and_sources: str) -> None:
    """Compile and load."""
    flags = [word for word in flags_and_sources if word.startswith('-')]
    cpp_extension.load(
        name, [word for word in flags_and_sources if word not in flags], build_directory=folder,
        extra_cflags=flags, extra_ldflags=[flag for flag in flags if flag == '-fopenmp'], is_python_module=False,
    )  # fmt: skip


if __name__ == '__main__':
    main(*sys.argv[1:])
