import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope


@pytest.fixture
def demo_config(tiles):
    """The demo's config on small tiles, as the tools load it, before anything is derived."""
    from fallen_trees.derive.config import REPOSITORY

    init_default_scope('mmdet')
    cfg = Config.fromfile(REPOSITORY / 'configs' / 'm2f_trees_demo.py')
    cfg.data_root = str(tiles)
    return cfg
