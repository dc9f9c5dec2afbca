"""`python -m caudal_simulation`: histories from seeds. A seed is the same history in every process."""

from __future__ import annotations

import os
import sys

if os.environ.get("PYTHONHASHSEED") != "0":
    os.environ["PYTHONHASHSEED"] = "0"
    os.execv(sys.executable, [sys.executable, "-m", "caudal_simulation", *sys.argv[1:]])

from caudal_simulation.cli import main

sys.exit(main(sys.argv[1:]))
