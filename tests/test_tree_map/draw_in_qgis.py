"""Run by the Python that has QGIS: opens the layers of a map as QGIS does, draws them, says what it found."""

import json
import os
import sys

from qgis.core import QgsApplication, QgsMapRendererParallelJob, QgsMapSettings, QgsRectangle, QgsVectorLayer
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor


def draw(path, picture, bounds, names):
    """Draw layers of a file, the first on top, and say what they are."""
    layers = {name: QgsVectorLayer(f'{path}|layername={name}', name, 'ogr') for name in names}
    settings = QgsMapSettings()
    settings.setLayers(list(layers.values()))
    settings.setExtent(QgsRectangle(*bounds))
    settings.setOutputSize(QSize(side, side))
    settings.setBackgroundColor(QColor('white'))
    if layers[names[0]].crs().isValid():
        settings.setDestinationCrs(layers[names[0]].crs())
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(picture)
    return {name: describe(layer) for name, layer in layers.items()}


def describe(layer):
    return {
        'valid': layer.isValid(),
        'renderer': layer.renderer().type(),
        'features': layer.featureCount(),
        'index': layer.hasSpatialIndex() == layer.SpatialIndexPresent,
        'crs': layer.crs().authid(),
        'style': layer.listStylesInDatabase()[2][0],
    }


jobs, side = json.loads(sys.argv[1]), int(sys.argv[2])
application = QgsApplication([], False)
application.initQgis()
print(json.dumps([draw(*job) for job in jobs]))
sys.stdout.flush()
os._exit(0)  # QGIS falls over when Python takes it apart in the wrong order
