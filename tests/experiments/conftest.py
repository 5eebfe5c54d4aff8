"""Experiments are scripts, not part of the package: their folder is put on the path, as running one does."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "experiments"))
