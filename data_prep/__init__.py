"""Room 1: large aerial rasters and drawn polygons in, tiles and COCO files out.

Needs numpy, rasterio, shapely and pycocotools; never a deep-learning stack. The commands run as
``python -m data_prep COMMAND``; the folder's README holds the file formats.
"""
