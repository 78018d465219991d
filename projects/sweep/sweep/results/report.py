"""The sweep as one HTML page that needs nothing else and may load nothing else."""

import base64
import hashlib
from importlib import resources
from pathlib import Path

import optuna
import plotly
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from data_prep.atomic import atomic_write
from sweep.results.plots import plots_of
from sweep.results.rows import Row, SweepFacts, one_line
from sweep.results.table import cells_of, summary

# Runs in the page: draws each figure from the JSON beside it.
DRAW = """
for (const place of document.querySelectorAll('.plot')) {
  const figure = JSON.parse(document.getElementById(place.id + '-data').textContent);
  Plotly.newPlot(place, figure.data, figure.layout, {responsive: true, displaylogo: false, showSendToCloud: false});
}
"""


def write_report(study: optuna.Study, sweep_file: SweepFacts, rows: list[Row], path: Path) -> None:
    """Write the page, about 5 MB of which nearly all is plotly; its folder must exist.

    Its Content-Security-Policy names the hashes of its two scripts, so that nothing else runs, whatever a name holds.
    """
    text = resources.files('sweep.results').joinpath('report_page.html').read_text(encoding='utf-8')
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(text)
    scripts = [get_plotlyjs(), DRAW]
    plots = [(plot, _data(plot.figure)) for plot in plots_of(study, sweep_file, rows)]
    head, *cells = cells_of(rows, sweep_file)
    html = page.render(
        name=one_line(study.study_name),
        summary=summary(study.study_name, rows, sweep_file),
        head=head,
        lines=[(row.state, line) for row, line in zip(rows, cells, strict=True)],
        plots=plots,
        scripts=[Markup(script) for script in scripts],
        policy=_policy(scripts),
        versions=f'Optuna {optuna.__version__}, plotly {plotly.__version__}',
    )
    with atomic_write(path) as file:
        file.write(html)


def _data(figure: object) -> Markup | None:
    """A figure as JSON that cannot end the script element in which it stands."""
    return None if figure is None else Markup(figure.to_json().replace('<', '\\u003c').replace('>', '\\u003e'))


def _policy(scripts: list[str]) -> str:
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = ' '.join(f"'sha256-{value}'" for value in hashes)
    # Plotly styles its elements as it draws, and hands pictures over as data or blob.
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"
