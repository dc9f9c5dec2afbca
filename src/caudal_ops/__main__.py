"""`python -m caudal_ops`: writes what is generated, or says that it is not what it would write."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from caudal_ops.files import ROOT, files
from caudal_ops.rules import Scale


def main() -> int:
    """Exit code 1 where `--check` finds a file that differs."""
    parser = argparse.ArgumentParser(prog="python -m caudal_ops", description=__doc__)
    parser.add_argument(
        "--scale", type=int, default=1, help="how much faster time passes than in production: 60 in tests"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=ROOT,
        help="where to: DIR/ops and DIR/docs; this checkout unless said",
    )
    parser.add_argument(
        "--runbooks",
        metavar="URL",
        help="where people find docs/runbooks: alerts get a runbook_url, this and NAME.md; none unless said",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; name what differs")
    asked = parser.parse_args()
    if asked.scale < 1:
        parser.error("--scale is 1 or more")
    if asked.runbooks is not None and not asked.runbooks.startswith(("http://", "https://")):
        parser.error("--runbooks is an address: https://…")
    if (asked.scale != 1 or asked.runbooks is not None) and asked.out.resolve() == ROOT.resolve():
        parser.error("--runbooks and --scale make other files than this checkout holds: say where to, --out DIR")
    wanted = {asked.out / path: text for path, text in files(Scale(asked.scale), asked.runbooks).items()}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if not asked.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
        print(f"{'differs' if asked.check else 'wrote'}: {path}")
    return 1 if asked.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
