"""The command behind `tools/predict.py`: what goes in, where it comes out, what is said, and how it ends."""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from data_prep.__main__ import fail, sigterm_unwinds
from data_prep.errors import DataError, ExitCode, MissingPackage, Terminated, one_line
from data_prep.imagery.rasters import SUFFIXES, raster_info
from data_prep.scenes import unique_names
from tree_map.assembling import together
from tree_map.mapper import Options, TreeMapper
from tree_map.photos import check_folder, write_photos
from tree_map.predicting.group import Group, join_group, own_device
from tree_map.predicting.journal import drop, parts_folder
from tree_map.predicting.memory import MB, peak_bytes
from tree_map.predicting.scene import Wishes
from tree_map.scene_map import SceneMap
from tree_map.writing import WRITERS, check_output, write_map
from tree_map.writing.coco import write_coco

AGAIN = 'the same command goes on from here'


@dataclass(frozen=True)
class Target:
    """Where the maps go.

    Attributes:
        out: A file for one map of all scenes, or a folder for a map, or a picture, of each.
        scenes: Rasters by name.
        photos: Whether they are pictures that lie nowhere, drawn into a folder.
    """

    out: Path
    scenes: dict[str, Path]
    photos: bool

    @property
    def is_file(self) -> bool:
        """Whether all scenes go into one file."""
        return self.out.suffix.lower() in WRITERS

    def files(self) -> list[Path]:
        """All files to be, but labels of photos."""
        return [self.out] if self.is_file else [self.file_of(name) for name in self.scenes]

    def file_of(self, name: str) -> Path:
        """The map of one scene in a folder, or the picture of a photo."""
        return self.out / (f'{name}_trees.jpg' if self.photos else f'{name}.gpkg')


def find_target(scenes: Sequence[str], out: str) -> Target:
    """Find rasters, and settle where their maps go.

    Args:
        scenes: Rasters and folders of them (searched flat).
        out: A file that ends in a known format, or a folder.

    Raises:
        DataError: If one is missing or unreadable, two share a name, or scenes of several CRSs shall go into one file.
    """
    rasters = find_scenes(scenes)
    infos = [raster_info(path) for path in rasters.values()]
    nowhere = all(info.crs is None and info.transform.is_identity for info in infos)
    target = Target(Path(out), rasters, nowhere and Path(out).suffix.lower() not in WRITERS)
    if target.is_file and len({info.crs_name for info in infos}) > 1:
        first = next(info for info in infos if info.crs_name != infos[0].crs_name)
        raise DataError(
            f'scenes in one file must share a CRS; {infos[0].path} has {infos[0].crs_name}, {first.path} has '
            f'{first.crs_name}; pass a folder as --out for a map each'
        )
    if target.out.suffix and not target.is_file and not target.out.is_dir():
        raise DataError(f'--out must end in {", ".join(WRITERS)} or be a folder; got {out}')
    for path in rasters.values():
        if target.out.resolve() == path.resolve():
            raise DataError(f'--out {out} is one of the scenes; choose another name')
    return target


def find_scenes(scenes: Sequence[str]) -> dict[str, Path]:
    """Find rasters, and in folders (searched flat) all that they hold; returns them by name.

    Raises:
        DataError: If one is missing, or two share a name.
    """
    return unique_names((path.stem, path) for item in scenes for path in _rasters(Path(item)))


def _rasters(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    if not found:
        raise DataError(f'{path} holds no raster; wanted are files ending in {", ".join(SUFFIXES)}')
    return found


def prepare_output(target: Target, *, overwrite: bool) -> None:
    """Find out before the work whether its result can be written.

    Raises:
        DataError: If something is there that must not be replaced, or the name cannot be.
        OSError: If a folder cannot be made or written to.
    """
    if target.is_file:
        check_output(target.out, on_a_map=any(raster_info(path).crs is not None for path in target.scenes.values()))
    else:
        if target.out.is_file():
            raise DataError(f'--out {target.out} must be a folder, or end in {", ".join(WRITERS)}; a file is there')
        if target.photos:
            check_folder(list(target.scenes.values()), target.out)
        target.out.mkdir(parents=True, exist_ok=True)
    stopped = target.out.with_name(f'.{target.out.name}.parts').is_dir()  # its run was allowed to replace them
    there = [path for path in target.files() if path.exists()]
    if there and not overwrite and not stopped:
        raise DataError(f'--out {there[0]} exists; pass --overwrite to replace it, or choose another name')


def run(args: Namespace) -> int:
    """Map scenes as the command line says; returns the exit code."""
    began, group = time.monotonic(), join_group(args.launcher)
    say: Callable[[str], object] = _say if group.leads else lambda line: None
    target = find_target(args.scenes, args.out)
    if group.leads:
        prepare_output(target, overwrite=args.overwrite)
    mapper = TreeMapper(
        args.config,
        args.checkpoint,
        device=own_device(args.device, group),
        amp=args.amp,
        score_thr=args.score_thr,
        cfg_options=args.cfg_options,
        trust_checkpoint=args.trust_checkpoint,
        options=options_of(args),
        say=say,
    )
    with _parts(target.out, group) as parts:
        maps = []
        for name, path in target.scenes.items():
            made = mapper.map_scene(path, parts / name, group)
            if made is not None and not target.is_file and not target.photos:
                write_map(made, target.file_of(name))
            maps.append(made)
        if not group.leads:
            return ExitCode.DONE
        _write(target, maps, args)
        drop(parts)
    return report(target, maps, time.monotonic() - began, as_json=args.json)


def options_of(args: Namespace) -> Options:
    """What the command line asks for."""
    wishes = Wishes(args.gsd, args.scale, args.bands, args.stretch, args.gsd_of_scene)
    return Options(
        args.window, args.overlap, wishes, args.tta, args.batch_size, args.workers, args.max_ram, args.cell_size
    )


@contextmanager
def _parts(out: Path, group: Group) -> Iterator[Path]:
    """The folder of finished windows, held by the leading process for all."""
    if group.leads:
        with parts_folder(out) as folder:
            group.wait()
            yield folder
    else:
        group.wait()
        yield out.with_name(f'.{out.name}.parts')


def _write(target: Target, maps: Sequence[SceneMap], args: Namespace) -> None:
    """Write what is made of all scenes together; maps in a folder are written one by one before."""
    if target.photos:
        write_photos(maps, list(target.scenes.values()), target.out, args.format)
    elif target.is_file and target.out.suffix.lower() == '.json':
        write_coco(maps, target.out)
    elif target.is_file:
        write_map(together(maps), target.out)


def report(target: Target, maps: Sequence[SceneMap], seconds: float, *, as_json: bool) -> ExitCode:
    """Say what was made and what could not be read; returns how the command ends."""
    unread = [entry for item in maps for entry in item.unread]
    for entry in unread:
        print(f'not read: {entry["scene"]}, window {entry["window_xywh"]}: {entry["reason"]}', file=sys.stderr)
    trees = sum(len(item.trees) for item in maps)
    code = ExitCode.LOOK if unread else ExitCode.DONE
    if as_json:
        print(json.dumps({'out': str(target.out), 'scenes': list(target.scenes), 'trees': trees, 'unread': unread,
                          'seconds': round(seconds, 2), 'peak_mb': peak_bytes() // MB,
                          'exit_code': int(code)}))  # fmt: skip
    else:
        lost = f', {len(unread)} windows could not be read' if unread else ''
        print(f'{target.out}: {trees} trees in {len(maps)} scene{"s" * (len(maps) != 1)}, {seconds:.0f} s{lost}')
    return code


@contextmanager
def ending() -> Iterator[None]:
    """Turn what a user or a machine can cause into one line on stderr and an exit code.

    Raises:
        SystemExit: 2 for wrong input, 3 for a failing machine, 130 and 143 for signals. Our own
            mistakes keep their traceback.
    """
    code = None
    try:
        with sigterm_unwinds():
            yield
    except DataError as error:
        code = fail(ExitCode.BAD_INPUT, one_line(error))
    except MissingPackage as error:
        code = fail(ExitCode.ENVIRONMENT, one_line(error))
    except (MemoryError, torch.cuda.OutOfMemoryError) as error:
        code = fail(
            ExitCode.ENVIRONMENT, f'out of memory ({one_line(error)[:100]}); lower --batch-size or --window; {AGAIN}'
        )
    except OSError as error:
        code = fail(ExitCode.ENVIRONMENT, f'{one_line(error)}; check free space and permissions; {AGAIN}')
    except KeyboardInterrupt:
        code = fail(ExitCode.SIGINT, f'stopped by SIGINT; {AGAIN}')
    except Terminated:
        code = fail(ExitCode.SIGTERM, f'stopped by SIGTERM; {AGAIN}')
    if code is not None:
        raise SystemExit(int(code))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
