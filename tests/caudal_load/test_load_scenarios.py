"""Scenario files: those of the product are as they should be, and a wrong field is named."""

import json
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from caudal_load.cli import app
from caudal_load.deeds import Deed
from caudal_load.plan import Plan
from caudal_load.scenarios import BadScenario, names, read
from tests.house.tree import ROOT

READS = '[[requests]]\nask = "read"\nshare = 1\n'
WHOLE = "whole_flows = true\n"
CONSTANT = '[[phases]]\nshape = "constant"\nseconds = 1\nrate = 1\n'
SPEI = '[[requests]]\nask = "create"\nshare = 3\nmethod = "spei"\n'


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text('about = "mine"\n' + text)
    return str(path)


@pytest.mark.parametrize("name", names())
def test_a_scenario_of_the_product_can_be_run(name: str) -> None:
    script = read(name)
    load = {} if script.phases else {"rate": 100.0}
    plan = Plan.of(script, up=True, **load).checked()
    assert plan.seconds > 0 and plan.shape and script.about
    assert all(json.loads(body)["reference"] == "{token}" for body in script.scenario.bodies)


def test_a_search_says_among_how_many_it_is() -> None:
    script = read("lists")
    assert f"among {script.scenario.stock} that were created before" in script.about
    page = (ROOT / "docs" / "load.md").read_text("utf-8")
    assert f"over a stock of {script.scenario.stock} that is created first" in page


def test_shares_are_exact_and_amounts_take_turns(tmp_path: Path) -> None:
    script = read(written(tmp_path, SPEI + "amounts = [100, 200]\n" + READS))
    turns = Counter(script.scenario.turns)
    assert turns == {0: 3, 1: 3, Deed.READ: 2}
    assert [json.loads(body)["amount"] for body in script.scenario.bodies] == [100, 200]


def test_a_body_gets_what_the_file_says(tmp_path: Path) -> None:
    text = '[[requests]]\nask = "create"\nshare = 1\nmethod = "card"\ncapture = "manual"\ncountry = "MX"\n'
    text += 'currency = "MXN"\n[requests.body]\nmetadata = {shop = "12"}\n'
    scenario = read(written(tmp_path, text)).scenario
    body = json.loads(scenario.bodies[0])
    assert (body["capture"], body["country"], body["currency"]) == ("manual", "MX", "MXN")
    assert body["metadata"] == {"shop": "12"} and body["instrument"] == {"id": "{instrument}"}
    assert scenario.outcomes == frozenset({b"authorized", b"submitting"})
    assert ("card", "MXN") in scenario.fees


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("colour = 1\n" + SPEI, "unknown field colour"),
        ("", "missing required field requests"),
        (SPEI.replace("3", "-1"), r"requests\[0\].share: Expected int >= 0"),
        (SPEI.replace("spei", "cheque"), r"requests\[0\].method: Invalid enum value 'cheque'"),
        (SPEI.replace("create", "crate"), r"requests\[0\].ask: Invalid value 'crate'"),
        (SPEI + 'capture = "manual"\n', r"requests\[0\].capture: manual is for cards"),
        (SPEI + "amounts = [0]\n", r"requests\[0\].amounts\[0\]: Expected int >= 1"),
        (SPEI + 'country = "Mexico"\n', r"requests\[0\].country"),
        (SPEI + '[requests.body]\nreference = "x"\n', r"requests\[0\].body: reference is written"),
        (SPEI + READS + "method = 1\n", r"requests\[1\]: Object contains unknown field method"),
        (READS, "requests: nobody creates"),
        (SPEI.replace("3", "0"), "requests: all shares are 0"),
        (SPEI.replace("3", "0") + READS, "stock: above 0"),
        (
            "whole_flows = true\n" + SPEI.replace("spei", "pix") + "amounts = [12050]\n",
            r"requests\[0\].amounts: .* 9401",
        ),
        ("merchants = 0\n" + SPEI, "merchants: Expected int >= 1"),
        ("skew = 9\n" + SPEI, "skew: Expected float <= 3"),
        ("connections = 4\n" + SPEI, "connections and seconds"),
        (
            "connections = 4\nseconds = 3\n" + SPEI + '[[phases]]\nshape = "constant"\nseconds = 1\nrate = 1\n',
            "connections",
        ),
        (SPEI + '[[phases]]\nshape = "wave"\n', r"phases\[0\].shape: Invalid value 'wave'"),
        (SPEI + '[[phases]]\nshape = "ramp"\nseconds = 1\nfirst = 1\n', r"phases\[0\]: .*missing required field last"),
        (SPEI + '[[phases]]\nshape = "constant"\nseconds = 0\nrate = 1\n', r"phases\[0\].seconds"),
        (SPEI + '[[phases]]\nshape = "constant"\nseconds = 1\nrate = 0\n', r"phases\[0\]: its rate is always 0"),
        (
            SPEI + '[[phases]]\nshape = "spike"\nseconds = 1\nrate = 1\npeak = 2\npeak_seconds = 1\n',
            r"phases\[0\].peak_seconds",
        ),
        (SPEI + '[[phases]]\nshape = "diurnal"\nseconds = 1\nfile = "none.csv"\n', r"phases\[0\].file: .*none.csv"),
        (SPEI + "[slo]\np99_ms = 0\n", "slo.p99_ms: Expected float > 0"),
        (SPEI + "[slo]\np98_ms = 5\n", "slo: Object contains unknown field p98_ms"),
        ("[[requests", "Expected"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadScenario, match=says):
        read(written(tmp_path, text))


def test_an_own_file_is_checked_and_shown_and_a_wrong_one_is_two(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["scenarios", written(tmp_path, SPEI)])
    assert (shown.exit_code, shown.stdout) == (0, 'about = "mine"\n' + SPEI)
    refused = CliRunner().invoke(app, ["run", written(tmp_path, READS), "--up"], env={"COLUMNS": "200"})
    assert refused.exit_code == 2 and "nobody creates" in refused.stderr


def test_all_are_listed() -> None:
    listed = CliRunner().invoke(app, ["scenarios"], env={"COLUMNS": "250"})
    assert listed.exit_code == 0
    assert all(name in listed.stdout and read(name).about[:60] in listed.stdout for name in names())


def test_the_command_line_goes_before_the_file() -> None:
    spike = read("spike")
    assert Plan.of(spike, rate=5.0, seconds=2.0).phases == ()
    stretched = Plan.of(spike, seconds=6.0)
    assert sum(phase.seconds for phase in stretched.phases) == stretched.seconds == pytest.approx(6)
    assert stretched.phases[0].peak == spike.phases[0].peak
    assert Plan.of(spike).merchants == 50 and Plan.of(spike, merchants=2).merchants == 2
