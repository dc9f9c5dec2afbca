"""Reports as pages: one file each, plots as SVG, styles inside, nothing to download, light and dark."""

from caudal_load.html.capacity import capacity_page
from caudal_load.html.page import comparison_page, report_page

__all__ = ["capacity_page", "comparison_page", "report_page"]
