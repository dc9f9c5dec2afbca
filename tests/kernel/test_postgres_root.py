"""Root: the server runs as a user that nobody else is, wherever caudal is started, and touches nothing else.

And whoever is not root, which root tries as nobody, so that one run has seen both.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from caudal.kernel.postgres import Cluster, ClusterError, Machine
from caudal.kernel.postgres.binaries import FOLDER, LIBRARIES, PACKAGE, find_binaries
from caudal.kernel.postgres.former import processes
from caudal.kernel.postgres.home import ELSEWHERE

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another user")
ROOT = Path(__file__).parents[2]
AS_NOBODY = "the_first_start or of_somebody_else"
SMALL = Machine(memory_bytes=1024**3, cores=2)


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder of root's that nobody else can enter, as /root is."""
    folder = Path(tempfile.mkdtemp(prefix="caudal-test-"))
    assert mode(folder) == "700"
    yield folder
    shutil.rmtree(folder)


def mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o777:o}"


def owners(cluster: Cluster) -> set[int]:
    """The users of the server's processes and files."""
    found = {Path(f"/proc/{pid}").stat().st_uid for pid in processes(cluster.data)}
    return found | {path.lstat().st_uid for path in cluster.data.rglob("*")}


def make(home: Path) -> Cluster:
    return Cluster(home, machine=SMALL, say=lambda text: None)


async def answer(cluster: Cluster, query: str) -> object:
    async with await psycopg.AsyncConnection.connect(cluster.database_url, autocommit=True) as connection:
        return await (await connection.execute(query.encode())).fetchone()


async def test_a_home_that_a_user_of_its_own_cannot_reach_becomes_a_link_to_one_that_it_can(closed: Path) -> None:
    home = closed / "var" / "postgres"
    async with make(home) as cluster:
        assert await answer(cluster, "select 1") == (1,)
        real = home.readlink()
        assert real.parent == ELSEWHERE
        (uid,) = owners(cluster)
        assert uid in range(8700, 8800)
        with pytest.raises(KeyError):
            pwd.getpwuid(uid)
        assert (mode(ELSEWHERE), mode(closed)) == ("711", "700")
    async with make(home) as cluster:
        assert home.readlink() == real
        assert cluster.data == real / "data"
    await make(home).remove()
    assert not real.exists()
    assert not home.is_symlink()
    assert not ELSEWHERE.exists() or list(ELSEWHERE.iterdir()), "it is left only where others have their data in it"


async def test_data_whose_link_was_deleted_is_never_taken_over(closed: Path) -> None:
    home = closed / "postgres"
    async with make(home):
        former = home.readlink()
    home.unlink()
    async with make(home):
        assert home.readlink() != former
    await make(home).remove()
    assert (former / "data").is_dir()
    home.symlink_to(former)
    await make(home).remove()
    assert not former.exists()


async def test_a_link_to_data_that_is_gone_is_not_a_new_beginning(closed: Path) -> None:
    home = closed / "postgres"
    home.symlink_to(ELSEWHERE / "gone")
    with pytest.raises(ClusterError, match="which is gone"):
        await make(home).start()
    await make(home).remove()
    assert not home.is_symlink()


async def test_binaries_that_this_user_cannot_reach_are_copied_once(
    closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = closed / PACKAGE / FOLDER
    shutil.copytree(find_binaries(), hidden, ignore=shutil.ignore_patterns("include", "*.a"))
    shutil.copytree(find_binaries().parents[1] / LIBRARIES, closed / LIBRARIES)
    monkeypatch.setattr("caudal.kernel.postgres.cluster.find_binaries", lambda: hidden)
    home = closed / "postgres"
    async with make(home) as cluster:
        (copy,) = home.glob("binaries-*")
        made = copy.stat().st_ino
        assert await answer(cluster, "select 'Ñ' ilike 'ñ'") == (True,)  # needs its share and lib folders
    async with make(home):
        assert copy.stat().st_ino == made
    await make(home).remove()


def test_whoever_is_not_root_runs_the_server_as_himself() -> None:
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run([*drop, "sh", "-c", '"$0" -c ""', sys.executable], capture_output=True, check=False).returncode:
        # This Python is below a folder of root's own: whoever is to run it needs to enter there.
        drop += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    ran = subprocess.run(
        [
            *drop,
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "tests/kernel/test_postgres.py",
            "-k",
            AS_NOBODY,
        ],
        cwd=ROOT,
        env={**os.environ, "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{len(AS_NOBODY.split(' or '))} tests" in ran.stdout
