"""`caudal top`: what a caudal does now, live on a terminal, from the same figures that Prometheus gets."""

from caudal.app.top.figures import Figures, figures
from caudal.app.top.reading import Page, parsed, read

__all__ = ["Figures", "Page", "figures", "parsed", "read"]
