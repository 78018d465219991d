"""From a scene to its map: windows, network, joining, measuring, one after another and each where it belongs.

TreeMapper(config, checkpoint).map('scene.tif')   a GeoDataFrame of trees
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

import geopandas as gpd
import numpy as np
from tqdm import tqdm

from data_prep.errors import DataError
from data_prep.imagery.rasters import open_raster
from tree_map.assembling import Looked, assemble
from tree_map.joining import JoinSettings, join
from tree_map.pieces import Pieces, Trees
from tree_map.predicting.group import Group
from tree_map.predicting.journal import Journal, begin, finished, read_pieces
from tree_map.predicting.look import Pace, predict, share_of
from tree_map.predicting.memory import fitted
from tree_map.predicting.model import load_model
from tree_map.predicting.network import Model
from tree_map.predicting.scene import Scene, Wishes, read_scene
from tree_map.predicting.windows import Plan, plan_windows, written_blocks
from tree_map.scene_map import SceneMap

OVERLAP = 0.25  # of windows, where neither user nor training says one
BATCH = {'cpu': 2, 'cuda': 8}


@dataclass(frozen=True)
class Options:
    """How a scene is mapped; None leaves it to the checkpoint.

    Attributes:
        window: Side of a window in px of the network's grid.
        overlap: Share of a window that the next one sees again.
        wishes: GSD, bands and stretch.
        tta: Look at each window from eight sides.
        batch_size: Windows at once; None takes 2 on the CPU, 8 on a GPU.
        workers: Threads that read.
        max_ram: Bytes that the process stays under; None sets no limit.
        cell_size_m: Side of the cells of the third layer.
    """

    window: int | None = None
    overlap: float | None = None
    wishes: Wishes = field(default_factory=Wishes)
    tta: bool = False
    batch_size: int | None = None
    workers: int = 2
    max_ram: int | None = None
    cell_size_m: float = 100.0


@dataclass(frozen=True)
class Seen:
    """What the network saw of a scene.

    Attributes:
        scene: As it was read.
        plan: Of its windows.
        pieces: Of trees, in pixels of the scene's grid.
        unreadable: Why a window could not be read, by its row in the plan.
    """

    scene: Scene
    plan: Plan
    pieces: Pieces
    unreadable: Mapping[int, str]


class TreeMapper:
    """A network, ready to map any number of scenes.

    Args:
        config: Config that the network was trained with.
        checkpoint: Its weights.
        device: Such as 'cuda:0'; None takes a GPU where there is one.
        amp: Run in half precision.
        score_thr: Trees that score lower are left out; None takes what validation chose.
        cfg_options: Settings of the config to override, by dotted key.
        trust_checkpoint: Read a checkpoint that holds more than weights.
        options: How scenes are mapped.
        say: Called with each line for the user.

    Raises:
        DataError: If config and checkpoint cannot be used, or do not belong together.
    """

    def __init__(
        self,
        config: str | Path,
        checkpoint: str | Path,
        *,
        device: str | None = None,
        amp: bool = False,
        score_thr: float | None = None,
        cfg_options: Mapping[str, object] | None = None,
        trust_checkpoint: bool = False,
        options: Options = Options(),  # noqa: B008
        say: Callable[[str], object] = lambda line: None,
    ) -> None:
        self.model: Model = load_model(
            config,
            checkpoint,
            device=device,
            amp=amp,
            score_thr=score_thr,
            cfg_options=cfg_options,
            trust_checkpoint=trust_checkpoint,
        )
        self.options, self.say = options, say
        self.origin = {'config': str(config), 'checkpoint': str(checkpoint)}
        for note in self.model.notes:
            say(note)
        if self.model.tiles is None:
            say(f'The checkpoint does not say how its tiles were cut: windows of {self.model.input_side} px, '
                'the scene at its own pixel size, unless --window, --gsd or --scale say otherwise.')  # fmt: skip

    def map(self, scene: str | Path) -> gpd.GeoDataFrame:
        """Map a scene; returns its trees with the columns of `columns.TREES`, in the scene's CRS."""
        return self.map_scene(scene).trees

    def map_scene(self, path: str | Path, parts: Path | None = None, group: Group = Group()) -> SceneMap | None:  # noqa: B008
        """Map a scene.

        Args:
            path: Of the raster.
            parts: Folder that finished windows are kept in, so that the next call goes on after a kill; None keeps
                nothing.
            group: Processes that share the work; all of them call this.

        Returns:
            All layers; None in processes that do not lead.

        Raises:
            DataError: If the scene cannot be read at all, or not by this network.
            OSError: If the disk is full.
        """
        seen = self.look(path, parts, group)
        return None if seen is None else self.made_of(seen, join(seen.pieces, self.joining(seen)))

    def look(self, path: str | Path, parts: Path | None = None, group: Group = Group()) -> Seen | None:  # noqa: B008
        """Have the network look at a scene, and join nothing yet; arguments and errors are those of `map_scene`."""
        scene = read_scene(path, self.options.wishes, self.model.tiles, self.model.bands)
        plan = self.plan(scene)
        with nullcontext(parts) if parts else tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            self._look(scene, plan, folder, group)
            if not group.leads:
                return None
            pieces, unreadable = read_pieces(folder, plan.windows_xywh)
        if unreadable and not len(pieces.windows_xywh):
            raise DataError(f'{path}: not one of its windows can be read: {next(iter(unreadable.values()))}')
        return Seen(scene, plan, pieces, unreadable)

    def joining(self, seen: Seen) -> JoinSettings:
        """How the pieces of a scene are joined: as the checkpoint was tuned, else by default."""
        return JoinSettings.at(seen.scene.gsd_m, self.model.tuned.joining if self.model.tuned else None)

    def made_of(self, seen: Seen, trees: Trees, **said: object) -> SceneMap:
        """The map of a scene out of joined trees; its provenance says the rest."""
        looked = Looked(seen.pieces.windows_xywh, seen.unreadable)
        made = {**self.made(self.joining(seen)), **said}
        return assemble(seen.scene, seen.plan, trees, looked, self.model.classes, made, self.options.cell_size_m)

    def plan(self, scene: Scene) -> Plan:
        """Lay windows over a scene as those of training were laid."""
        tiles = self.model.tiles or {}
        whole = self.options.window is None and not tiles and scene.is_photo
        side = self.options.window or min(tiles.get('size_px') or (self.model.input_side,))
        overlap = self.options.overlap
        overlap = (tiles.get('overlap') or OVERLAP) if overlap is None else overlap
        with open_raster(scene.path) as dataset:
            written = written_blocks(dataset, scene.bands)
        return plan_windows(scene.info.grid, None if whole else side, overlap, written)

    def _look(self, scene: Scene, plan: Plan, folder: Path, group: Group) -> None:
        """Have all windows of a scene looked at that are not finished, by all processes of the group."""
        if group.leads:
            folder.mkdir(exist_ok=True)
            why = begin(folder, self.identity(scene, plan))
            if why:
                self.say(f'{scene.path.name}: starting anew, as {why} changed since the run that was stopped.')
        done = group.hear(finished(folder) if group.leads else None)
        if done:
            self.say(f'{scene.path.name}: going on, {len(done)} of {len(plan.windows_xywh)} windows are finished.')
        for note in scene.notes:
            self.say(note)
        pace = Pace(
            self.options.batch_size or BATCH.get(self.model.device.type, 1), self.options.workers,
            2 * self.options.workers, self.options.tta,
        )  # fmt: skip
        pace, notes = fitted(self.model, scene, plan, pace, self.options.max_ram)
        for note in notes:
            self.say(note)
        blocks, journal = share_of(plan, done, group.rank, group.world), Journal(folder, group.rank)
        try:
            with progress(scene, plan, sum(map(len, blocks)), quiet=not group.leads) as tell:
                predict(self.model, scene, plan, blocks, journal, pace, tell)
        finally:
            journal.close()
        group.wait()

    def identity(self, scene: Scene, plan: Plan) -> dict[str, object]:
        """All that decides what the windows of a scene show."""
        stat, info = os.stat(scene.path), scene.info
        return {
            'the scene': [str(scene.path.resolve()), stat.st_size, stat.st_mtime_ns],
            'the checkpoint': self.model.tuned.checkpoint_sha256 if self.model.tuned else self.model.sha256,
            'the config': repr(self.model.shaping),
            'the window': [int(plan.windows_xywh[0, 2]), len(plan.windows_xywh)],
            'the overlap': plan.windows_xywh[: 1 + len(np.unique(plan.windows_xywh[:, 0])), :2].tolist(),
            'the pixel size': info.scale,
            'the bands': [list(scene.bands), scene.limits],
            'the score threshold': self.model.score_thr,
            'the precision': str(self.model.amp),
            '--tta': self.options.tta,
        }

    def made(self, settings: JoinSettings) -> dict[str, object]:
        """What a map says of the network and how it was used."""
        return {
            **self.origin,
            'checkpoint_sha256': self.model.sha256,
            'classes': list(self.model.classes),
            'score_thr': self.model.score_thr,
            'joining': str(asdict(settings)),
            'tuned': self.model.tuned.told() if self.model.tuned else 'no',
            'tta': int(self.options.tta),
            'amp': str(self.model.amp or 'off'),
        }


@contextmanager
def progress(scene: Scene, plan: Plan, windows: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar of windows with hectares per minute; silent where no terminal is."""
    xs = np.unique(plan.windows_xywh[:, 0])
    side = float(xs[1] - xs[0]) if len(xs) > 1 else float(plan.windows_xywh[0, 2])
    hectares = None if scene.gsd_m is None else (side * scene.gsd_m) ** 2 / 1e4
    with tqdm(total=windows, desc=scene.path.name, unit='window', disable=quiet or None, leave=False) as bar:

        def tell(count: int) -> None:
            bar.update(count)
            rate = bar.format_dict['rate']
            if hectares and rate:
                bar.set_postfix_str(f'{rate * 60 * hectares:.1f} ha/min', refresh=False)

        yield tell
