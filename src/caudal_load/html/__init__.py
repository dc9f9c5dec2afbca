"""Reports as pages: one file each, plots as SVG, styles inside, nothing to download, light and dark."""

from caudal_load.html.page import comparison_page, report_page

__all__ = ["comparison_page", "report_page"]
