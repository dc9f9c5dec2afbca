"""The architecture as a failing test: layers, front doors, and the file names of a service."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import PRODUCT, ROOT, imports, module_tree

SERVICES = ("webhooks", "payins", "settlement", "vault", "routing", "merchants", "ledger", "connectors", "catalogue")

# `app` puts the pieces together, so it alone sees a service's ways in and what they are made of.
WAYS_IN = {
    "http": "the routes, mounted by app/web",
    "jobs": "the timed work, run by app/worker",
    "reactions": "the subscriptions, run by app/worker",
    "rows": "the row types, which the write path of a process must know before its first batch",
    "states": "the state table, which the generated pages draw",
}

# ARCHITECTURE.md §3: the file list is the money flow.
SERVICE_FILES = {
    "__init__.py",
    "http.py",
    "reactions.py",
    "jobs.py",
    "commands.py",
    "calls.py",
    "decide.py",
    "states.py",
    "postings.py",
    "model.py",
    "store.py",
    "rows.py",  # row types with their insert or fold (§4), for services whose model is not already that
    "queries.sql",
}
CONNECTOR_FILES = {"__init__.py", "client.py", "translate.py", "inbound.py"}

# Every other name, with the reason why none of the above is its place. Entries that nobody needs fail.
MORE_FILES: dict[str, str] = {
    "catalogue/banks.csv": "facts of the field, as data",
    "catalogue/brands.csv": "facts of the field, as data",
    "catalogue/countries.csv": "facts of the field, as data",
    "catalogue/methods.csv": "facts of the field, as data",
    "catalogue/banks.py": "the catalogue answers questions and has no verbs: its files are its nouns",
    "catalogue/cards.py": "the catalogue answers questions and has no verbs: its files are its nouns",
    "catalogue/documents.py": "the catalogue answers questions and has no verbs: its files are its nouns",
    "catalogue/methods.py": "the catalogue answers questions and has no verbs: its files are its nouns",
    "catalogue/phones.py": "the catalogue answers questions and has no verbs: its files are its nouns",
    "connectors/around.py": "what stands around every provider: neither wire nor translation, and the same for all",
    "connectors/breaker.py": "when to stop asking and how often to ask again, pure; around.py has the clock",
    "connectors/doors.py": "the doors before providers: how many wait for each in this process",
    "connectors/links.py": "one process's way to each provider: what stands around it and its connections, shared",
    "connectors/providers.py": "which providers there are: the configuration, read and judged",
    "connectors/registry.py": "the methods and their connectors: a dict of dotted paths, read by the front door",
    "connectors/signed.py": "how callbacks are signed is the same for the bank and the providers",
    "connectors/spei/clabe.py": "the account number's check digit is neither wire nor translation",
    "ledger/chain.py": "the hash chain is what makes tampering show; the check reads it apart from any decision",
    "ledger/chart.py": "the chart of accounts: the ledger's one table of data, as states.py is for others",
    "webhooks/asked.py": "what may be asked for, field by field: neither HTTP nor a decision on what is",
    "webhooks/counts.py": "plain numbers of what was sent, read by the meter: no part of sending",
    "webhooks/deliverer.py": "the loop that sends: it is neither asked, nor told, nor waited for at a time of its own",
    "webhooks/guard.py": "which addresses are somebody's own network: the one place that has to be right",
    "webhooks/lane.py": "one endpoint's deliveries in order, pure, apart from the sockets and the clock",
    "webhooks/round.py": "the deliverer's one transaction, apart from what it sends",
    "webhooks/sender.py": "the wire to endpoints, the only one that a stranger chooses the other end of",
    "webhooks/turns.py": "who may send next: fairness between endpoints, pure, apart from any one of them",
    "webhooks/signing.py": "the signature of a published standard",
    "payins/asked.py": "what may be asked for, field by field: neither HTTP nor a decision on what is",
    "connectors/sandbox_protocol/payer.py": "plays a test payer: no part of what a provider offers us",
    "payins/gathered.py": "single payins that many ask for at once are one look: the process's memory of who waits",
    "payins/evidence.py": "what a file is, by its bytes: three formats of the field, pure, and no judgement on money",
    "payins/simulation.py": "what rules would have done with payins that there are: it reads alone, and judges none",
    "payins/clock.py": "the sandbox's clock: a verb of several commands, too long to stand inside commands.py",
    "routing/asked.py": "what may be asked for, field by field: neither HTTP nor a decision on what is",
    "routing/declines.csv": "facts of the field, as data",
    "routing/declines.py": "which declines are soft: a table of data, as states.py is for others",
    "routing/offers.py": "what there is to choose from in this process now: neither stored, nor called, nor decided",
    "routing/rates.py": "how providers have done lately: memory of a process, pure but for its own counts",
    "vault/asked.py": "what may be asked for, field by field: neither HTTP nor a decision on what is",
    "vault/envelope.py": "how a card is sealed: the only place with keys, so that it can be read at one sitting",
    "settlement/statement.py": "the statement's other form, CSV: a format of its own beside the JSON of http.py",
    "ledger/ladder.py": "the refusals in their documented order, too long to stand inside decide.py",
}


def test_the_import_contracts_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_service_is_imported_through_its_front_door_only() -> None:
    wrong = []
    for found in imports("src"):
        service, _, inside = found.module.removeprefix("caudal.").partition(".")
        if not found.module.startswith("caudal.") or service not in SERVICES or _package(found.importer) == service:
            continue
        if _package(found.importer) == "caudal_simulation":  # stands in for what is inside, and is shipped to nobody
            continue
        by_app = _package(found.importer) == "app" and (inside or found.name) in WAYS_IN
        at_door = not inside and found.name is not None and found.name in _front_door(service)
        if not (by_app or at_door):
            wrong.append(f"{found.importer}:{found.line} imports {found.name or ''} from {found.module}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("service", SERVICES)
def test_a_front_door_opens_on_names_that_exist_and_that_others_use(service: str) -> None:
    offered, bound = set(_front_door(service)), _bound_names(service)
    assert offered <= bound, f"{service}.__all__ names what is not there: {sorted(offered - bound)}"
    used = {found.name for found in imports("src", "tests") if _is_use(found.importer, found.module, service)}
    assert offered <= used, f"nobody outside of {service} imports {sorted(offered - used)}"


def test_a_front_door_offers_nothing_twice() -> None:
    doors = {service: _front_door(service) for service in SERVICES}
    assert {service: names for service, names in doors.items() if len(names) != len(set(names))} == {}


def test_service_folders_hold_the_files_of_the_architecture_and_no_others() -> None:
    unlisted = {name for name in _service_files() if not _is_listed(name)}
    assert unlisted == set(MORE_FILES), (
        f"argue for these in MORE_FILES: {sorted(unlisted - set(MORE_FILES))}; "
        f"no longer needed there: {sorted(set(MORE_FILES) - unlisted)}"
    )


def _is_use(importer: str, module: str, service: str) -> bool:
    return module == f"caudal.{service}" and _package(importer) != service


def _package(module: str) -> str:
    """`caudal.payins.http` → `payins`; a module outside of caudal is its own package."""
    parts = module.split(".")
    return parts[1] if parts[0] == "caudal" and len(parts) > 1 else parts[0]


def _front_door(service: str) -> list[str]:
    for node in _init(service).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "__all__":
            assert isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
            return list(ast.literal_eval(node.value))
    return []


def _bound_names(service: str) -> set[str]:
    bound: set[str] = set()
    for node in _init(service).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            bound |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            bound.add(node.target.id)
    return bound


def _init(service: str) -> ast.Module:
    return module_tree(Path("src/caudal") / service / "__init__.py")


def _service_files() -> list[str]:
    """Files of the services and the connectors, relative to src/caudal; a folder stands for the file it outgrew."""
    found = []
    for service in SERVICES:
        for path in (PRODUCT / service).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                found.append(path.relative_to(PRODUCT).as_posix())
    return found


def _is_listed(name: str) -> bool:
    service, *inside = name.split("/")
    if service == "connectors" and len(inside) == 2:
        return inside[1] in CONNECTOR_FILES
    first = inside[0] if len(inside) == 1 else inside[0] + Path(name).suffix
    return first in SERVICE_FILES
