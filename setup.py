"""Finds the packages: data_prep, and in every folder of projects/ the package of its own. The rest is in setup.cfg."""

from pathlib import Path

from setuptools import find_packages, setup

rooms = [Path('data_prep'), *(init.parent for init in Path('projects').glob('*/*/__init__.py'))]
setup(
    package_dir={room.name: str(room) for room in rooms},
    packages=[
        name for room in rooms for name in find_packages(str(room.parent), include=[room.name, f'{room.name}.*'])
    ],
)
