r"""What is wrong with a COCO data set, before a training finds out.

layout -> structure -> columns, outlines, runs -> geometry, duplicates -> report -> table
      \-> files, headers ---------------------------------------------/
      \-> splits
"""

from data_prep.check.command import add_parser, run
from data_prep.check.dataset import check_coco
from data_prep.check.report import Report

__all__ = ['Report', 'add_parser', 'check_coco', 'run']
