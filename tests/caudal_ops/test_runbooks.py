"""What an operator reads when an alert has fired: its runbook, and the page of figures."""

from __future__ import annotations

import re

from caudal.app.up import metrics_ports
from caudal.kernel.settings import Settings
from caudal_ops.dashboard import queries
from caudal_ops.files import ROOT, TARGETS
from caudal_ops.rules import Scale, groups, names


def test_runbooks_hold_however_many_processes_there_are() -> None:
    """With one more API process the workers' ports are others, and there are more logs."""
    for page in (ROOT / "docs" / "runbooks").glob("*.md"):
        text = page.read_text()
        assert not re.search(r"870[2-9]|log/(web|worker)\.log", text), f"{page.name} means one process's port or log"
        assert "_PROCESSES=" not in text or "`targets` in `prometheus.yml`" in text, f"{page.name}: who looks at them?"
    ports = metrics_ports(Settings())
    assert [int(target.partition(":")[2]) for target in TARGETS] == list(ports.values()), "those of `caudal up`"


def test_the_page_shows_which_shard_saturates() -> None:
    for title in ("Waiting", "Wait for a batch", "A batch takes", "Due for", "Laws of the books: rows that break them"):
        assert any("caudal_shard" in expr for panel, expr in queries() if panel == title), title


def test_alerts_say_where_their_runbook_is_and_link_to_it_where_that_has_an_address() -> None:
    def annotations(url: str | None) -> list[dict[str, str]]:
        return [rule["annotations"] for group in groups(Scale(), url) for rule in group["rules"] if "alert" in rule]

    assert {told["runbook"] for told in annotations(None)} == {f"docs/runbooks/{name}.md" for name in names()}
    assert all((ROOT / told["runbook"]).is_file() and "runbook_url" not in told for told in annotations(None))
    assert {told["runbook_url"] for told in annotations("https://wiki.example/caudal/")} == {
        f"https://wiki.example/caudal/{name}.md" for name in names()
    }
