"""That the container's files agree with each other and with what the set-up needs."""

import re
from pathlib import Path

import pytest
import yaml

DOCKER = Path(__file__).resolve().parents[2] / 'docker'
SERVICES = yaml.safe_load((DOCKER / 'compose.yaml').read_text())['services']
TARGETS = {
    re.match(r'\S+ AS (\w+)\n', part)[1]: part.splitlines()[1:]
    for part in (DOCKER / 'Dockerfile').read_text().split('\nFROM ')[1:]
}


def test_services_are_built_from_targets_that_are_there():
    assert set(TARGETS) == {'cpu', 'cuda'}
    for service in SERVICES.values():
        assert service['build']['target'] in TARGETS
        assert (DOCKER / service['build']['context'] / service['build']['dockerfile']).is_file()


def test_targets_differ_in_their_cards_alone():
    cpu, cuda = (
        [line for line in TARGETS[name] if line and not line.startswith(('ARG TORCH_CUDA', '#'))] for name in TARGETS
    )
    assert cpu == cuda and 'RUN bash tools/setup_env.sh \\' in cpu


@pytest.mark.parametrize('name', ['cpu', 'cuda', 'tensorboard'])
def test_what_is_mounted_stays_out_of_the_image(name):
    ignored = (DOCKER / 'Dockerfile.dockerignore').read_text().split()
    for volume in SERVICES[name]['volumes']:
        host, inside = volume.split(':')[:2]
        folder = Path(host).name
        assert (host, inside) == (f'../{folder}', f'/fallen-trees/{folder}')
        assert folder in ignored or f'{folder}/*' in ignored
