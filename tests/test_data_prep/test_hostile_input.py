"""Files that lie, through the command line: one line on stderr, the right code, nothing left behind."""

import json
import struct

import numpy as np
import pytest
import shapely

BOX = [[4, 4], [20, 4], [20, 20], [4, 20]]
BOW_TIE = [[10, 10], [40, 40], [40, 10], [10, 40]]
CASES = {}


def case(code, *words):
    """Register a function that spoils ``s.tif`` and ``s.json``; it returns further arguments or None."""

    def register(spoil):
        CASES[spoil.__name__] = (code, words, spoil)
        return spoil

    return register


@pytest.fixture
def folder(tmp_path, write_raster, write_labelme):
    """A good scene of its own."""
    write_raster(tmp_path / 'in/s.tif')
    write_labelme(tmp_path / 'in/s.json', [('tree', BOX)])
    return tmp_path / 'in'


@pytest.fixture
def write(write_raster, write_labelme, write_vectors, to_map):
    """What the cases write with."""

    def labels(folder, *shapes, **changes):
        write_labelme(folder / 's.json', shapes, **changes)

    def gpkg(folder, *polygons, **options):
        (folder / 's.json').unlink()
        return write_vectors(folder / 's.gpkg', [('tree', polygon) for polygon in polygons], **options)

    def geojson(folder, *geometries, **members):
        (folder / 's.json').unlink()
        features = [{'type': 'Feature', 'properties': {'label': 'tree'}, 'geometry': g} for g in geometries]
        (folder / 's.geojson').write_text(json.dumps({'type': 'FeatureCollection', 'features': features, **members}))

    class Write:
        raster, place = write_raster, to_map

    for function in (labels, gpkg, geojson):
        setattr(Write, function.__name__, staticmethod(function))
    for name in ('raster', 'place'):
        setattr(Write, name, staticmethod(getattr(Write, name)))
    return Write


def header(path, width, height, *, order='<', offset=4096, count=1, size=None):
    """A TIFF directory that promises pixels, in one strip, without one of them."""
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
               (273, 4, count, offset), (277, 3, 1, 1), (278, 4, 1, height),
               (279, 4, 1, width * height if size is None else size)]  # fmt: skip
    start = b'II*\0' if order == '<' else b'MM\0*'
    content = start + struct.pack(f'{order}IH', 8, len(entries))
    for tag, kind, number, value in entries:
        short = order == '>' and kind == 3  # a short lies in the first two bytes of its field
        content += struct.pack(f'{order}HHII', tag, kind, number, value << 16 if short else value)
    path.write_bytes(content + bytes(4))


def huge_header(path):
    """A BigTIFF of 400 000 x 400 000 px in three bands, 480 GB, in 500 bytes."""
    side = 400_000
    entries = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 3, 8 | 8 << 16 | 8 << 32), (259, 3, 1, 1),
               (262, 3, 1, 2), (273, 16, 1, 400), (277, 3, 1, 3), (278, 4, 1, side), (279, 16, 1, 3 * side**2),
               (284, 3, 1, 1)]  # fmt: skip
    content = struct.pack('<2sHHHQQ', b'II', 43, 8, 0, 16, len(entries))
    path.write_bytes(content + b''.join(struct.pack('<HHQQ', *entry) for entry in entries) + bytes(100))


# Rasters


@case(2, 's.tif', 'truncated or damaged', 'before its pixels end')
def header_that_promises_480_gb(folder, write):
    huge_header(folder / 's.tif')
    write.labels(folder, ('tree', BOX), size_wh=(400_000, 400_000))


@case(2, 's.tif')
def header_that_promises_pixels_it_has_not(folder, write):
    header(folder / 's.tif', 96, 64)


@case(2, 's.tif')
def the_same_in_the_other_byte_order(folder, write):
    header(folder / 's.tif', 96, 64, order='>')


@case(2, 's.tif')
def image_without_width(folder, write):
    header(folder / 's.tif', 0, 64)


@case(2, 's.tif')
def strips_at_the_end_of_the_address_space(folder, write):
    header(folder / 's.tif', 96, 64, offset=0xFFFFFFF0)


@case(2, 's.tif')
def table_of_strips_far_too_long(folder, write):
    header(folder / 's.tif', 96, 64, count=1 << 30)


@case(2, 's.tif', 'truncated or damaged')
def tiles_cut_short(folder, write):
    path = write.raster(folder / 's.tif', (160, 128), tiled=True, blockxsize=32, blockysize=32)
    write.labels(folder, ('tree', BOX), size_wh=(160, 128))
    path.write_bytes(path.read_bytes()[:-2000])


@case(2, 's.tif', 'truncated or damaged')
def lzw_cut_short(folder, write):
    path = write.raster(folder / 's.tif', compress='lzw')
    path.write_bytes(path.read_bytes()[:-2000])


@case(2, 's.png', 'truncated or damaged')
def png_cut_short(folder, write):
    (folder / 's.tif').unlink()
    path = write.raster(folder / 's.png', driver='PNG')
    path.write_bytes(path.read_bytes()[:3000])


@case(2, 's.jpg')
def jpeg_without_a_frame(folder, write):
    (folder / 's.tif').unlink()
    (folder / 's.jpg').write_bytes(b'\xff\xd8\xff\xd9')


@case(2, 's.tif', 'must be a GeoTIFF')
def network_path_dressed_as_tif(folder, write):
    (folder / 's.tif').write_text('/vsicurl/http://127.0.0.1:1/a.tif')


@case(2, 's.tif', 'must be a GeoTIFF')
def archive_dressed_as_tif(folder, write):
    (folder / 's.tif').write_bytes(b'PK\x03\x04' + bytes(60))


@case(2, 's.tif', 'must be a GeoTIFF')
def map_service_dressed_as_tif(folder, write):
    (folder / 's.tif').write_text('<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1:1</ServerUrl></Service>')


@case(2, 'does not exist')
def archive_path(folder, write):
    return [f'/vsizip/{folder}/s.zip/s.tif']


@case(2, 'does not exist')
def inner_path_of_a_geotiff(folder, write):
    return [f'GTIFF_DIR:1:{folder}/s.tif']


@case(2, 's.tif', 'must be a GeoTIFF')
def netcdf_dressed_as_tif(folder, write):
    (folder / 's.tif').write_bytes(b'\x89HDF\r\n\x1a\n' + bytes(60))


@case(2, 's.tif', 'colour-table')
def colour_table(folder, write):
    import rasterio

    path = write.raster(folder / 's.tif', pixels=np.ones((1, 64, 96), np.uint8), photometric='palette')
    with rasterio.open(path, 'r+') as dataset:
        dataset.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 0, 255)})


@case(2, 's.tif', 'integers or floats', 'complex64')
def complex_numbers(folder, write):
    write.raster(folder / 's.tif', pixels=np.ones((3, 64, 96), np.complex64))


# Labels


@case(2, 's.json', 'must be UTF-8')
def utf_16(folder, write):
    (folder / 's.json').write_bytes((folder / 's.json').read_text().encode('utf-16'))


@case(2, 's.json', 'must be UTF-8')
def binary_named_json(folder, write):
    (folder / 's.json').write_bytes(bytes(range(256)))


@case(2, 's.json', 'larger than 1024 MiB')
def huge_json(folder, write):
    with open(folder / 's.json', 'r+b') as file:
        file.truncate((1 << 30) + 1)  # a hole: it takes no space on disk


@case(2, 's.json', 'nested too deep')
def objects_in_objects(folder, write):
    (folder / 's.json').write_text('{"shapes":' * 100_000)


@case(2, 's.json', 'a number that cannot be read')
def number_of_5000_digits(folder, write):
    (folder / 's.json').write_text('{"shapes": [], "imageWidth": ' + '9' * 5000 + '}')


@case(2, 's.json', '96 x 65 px', 'pair it')
def one_row_more_than_the_image(folder, write):
    write.labels(folder, ('tree', BOX), size_wh=(96, 65))


@case(2, 's.json', '64 x 96 px', 'pair it')
def sides_swapped(folder, write):
    write.labels(folder, ('tree', BOX), size_wh=(64, 96))


@case(2, 's.json', '-1 x 64 px', 'pair it')
def negative_width(folder, write):
    write.labels(folder, ('tree', BOX), size_wh=(-1, 64))


@case(2, 'no classes')
def infinite_coordinates_alone(folder, write):
    write.labels(folder, ('tree', [[float('inf'), 1], [5, 5], [9, 1]]))


@case(2, 'no classes')
def text_as_points(folder, write):
    write.labels(folder, ('tree', 'M 1 1 L 5 5 z'))


@case(2, 'no classes')
def no_area_at_all(folder, write):
    write.labels(folder, ('tree', [[4, 4], [20, 20], [12, 12]]))


@case(2, 's.json', 'every polygon lies outside')
def bow_tie_outside(folder, write):
    write.labels(folder, ('tree', [[x + 900, y] for x, y in BOW_TIE]))


@case(2, 's.gpkg', 'every polygon lies outside', 'check the CRS')
def axes_swapped(folder, write):
    polygon = shapely.transform(write.place(BOX), lambda xy: xy[:, ::-1])
    write.gpkg(folder, polygon)


@case(2, 's.gpkg', 'every polygon lies outside', 'check the CRS')
def degrees_that_say_metres(folder, write):
    write.gpkg(folder, shapely.box(15, 49.6, 15.001, 49.601))


@case(2, 's.geojson', 'CRS that cannot be understood')
def crs_of_text(folder, write):
    write.geojson(folder, crs={'type': 'name', 'properties': {'name': 'the usual one'}})


@case(2, 'no classes')
def empty_layer(folder, write):
    write.gpkg(folder, geometry_type='Polygon')


@case(2, 'no classes')
def empty_feature_collection(folder, write):
    write.geojson(folder)


@case(2, 'no classes')
def only_null_geometries(folder, write):
    write.geojson(folder, None, None)


@case(2, 'no classes')
def only_points_and_lines(folder, write):
    point, line = {'type': 'Point', 'coordinates': [1, 2]}, {'type': 'LineString', 'coordinates': [[1, 2], [3, 4]]}
    write.geojson(folder, point, line)


@case(2, 's.gpkg', 'cannot be read')
def gpkg_without_a_layer(folder, write):
    import sqlite3

    path = write.gpkg(folder, write.place(BOX))
    with sqlite3.connect(path) as database:
        database.execute('DELETE FROM gpkg_geometry_columns')
        database.execute('DELETE FROM gpkg_contents')
        database.execute('DROP TABLE s')
    database.close()


@case(2, 's.gpkg is not a .gpkg file')
def link_to_the_network_named_gpkg(folder, write):
    (folder / 's.json').unlink()
    (folder / 's.gpkg').write_text('/vsicurl/http://127.0.0.1:1/a.gpkg')


# Names


@case(2, 'control character')
def line_break_in_a_name(folder, write):
    write.raster(folder / 'a\nb.tif')
    (folder / 'a\nb.json').write_text((folder / 's.json').read_text())


@case(2, 'backslash')
def backslash_in_a_name(folder, write):
    write.raster(folder / '..\\b.tif')
    (folder / '..\\b.json').write_text((folder / 's.json').read_text())


@case(2, 'slash', 'give it another')
def scene_name_that_leads_out(folder, write):
    (folder / 't.csv').write_text('raster,labels,name\ns.tif,s.json,../../escaped\n')
    return ['--scenes-table', folder / 't.csv']


@case(2, 'does not exist')
def raster_of_a_table_that_leads_to_the_network(folder, write):
    (folder / 't.csv').write_text('raster,labels\n/vsicurl/http://127.0.0.1:1/a.tif,s.json\n')
    return ['--scenes-table', folder / 't.csv']


@case(2, 'all.json', 'must name s.tif once among its images')
def one_image_named_twice(folder, write):
    images = [{'id': n, 'file_name': f'{n}/s.tif', 'width': 96, 'height': 64} for n in (1, 2)]
    (folder / 'all.json').write_text(json.dumps({'images': images, 'annotations': [], 'categories': []}))
    (folder / 's.json').unlink()
    return [folder / 's.tif', '--labels', folder / 'all.json']


@case(2, "'images', entry 2 must have an id of its own")
def one_id_twice(folder, write):
    images = [{'id': 1, 'file_name': name, 'width': 96, 'height': 64} for name in ('s.tif', 't.tif')]
    (folder / 'all.json').write_text(json.dumps({'images': images, 'annotations': [], 'categories': []}))
    return [folder / 's.tif', '--labels', folder / 'all.json']


@pytest.mark.parametrize('name', CASES)
def test_hostile_input(name, folder, write, data_prep, tmp_path):
    code, words, spoil = CASES[name]
    argv = spoil(folder, write) or [folder]
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob('*'))
    got, stdout, stderr = data_prep('tile', *argv, '--out', tmp_path / 'made/trees')
    assert stderr.startswith('error: ') and stderr.count('\n') == 1, stderr
    assert all(word in stderr for word in words), stderr
    assert got == code and stdout == ''
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob('*')) == before


def test_bow_ties_and_duplicates_are_kept_and_told(folder, write, data_prep, tmp_path):
    write.labels(folder, ('tree', BOW_TIE), ('tree', BOX), ('tree', BOX), ('tree', BOX[:2]))
    options = ('--split', '1,0,0', '--tile-size', 64)
    code, _, stderr = data_prep('tile', folder, '--out', tmp_path / 'trees', *options)
    assert code == 1 and stderr.count('\n') == 1 and '1 of the labels could not be used' in stderr
    report = json.loads((tmp_path / 'trees/report.json').read_text())['scenes']['s']
    assert [note['feature'] for note in report['repaired']] == [1]
    assert [note['feature'] for note in report['dropped']] == [4]
    code, stdout, _ = data_prep('check', tmp_path / 'trees')
    assert code == 1 and 'object-duplicate' in stdout


@pytest.mark.parametrize('name', ['../../escaped.png', '/tmp/escaped.png', 'a\\..\\escaped.png'])
def test_names_in_a_coco_file_lead_nowhere(folder, data_prep, tmp_path, name):
    content = {
        'images': [{'id': 1, 'file_name': name, 'width': 96, 'height': 64}],
        'annotations': [{'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [4, 4, 16, 16], 'area': 256, 'iscrowd': 0,
                         'segmentation': [[4, 4, 20, 4, 20, 20, 4, 20]]}],
        'categories': [{'id': 1, 'name': 'tree'}],
    }  # fmt: skip
    (tmp_path / 'c.json').write_text(json.dumps(content))
    out = tmp_path / 'deep/er/out'
    code, _, stderr = data_prep('convert', tmp_path / 'c.json', '--to', 'labelme', '--out', out)
    assert code == 0, stderr
    assert [path.name for path in tmp_path.rglob('*escaped*')] == [path.name for path in out.iterdir()]
    code, stdout, _ = data_prep('check', tmp_path / 'c.json', '--images', folder)
    assert code == 2 and 'file-name-unsafe' in stdout
