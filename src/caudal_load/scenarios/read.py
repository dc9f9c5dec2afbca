"""Reads a scenario's file, and says of every field that is wrong which one it is and what it should be."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from caudal_load.deeds import Deed
from caudal_load.flows import BOLETO, CARD, FEES, MPESA, PIX, PSE, SPEI
from caudal_load.places import said
from caudal_load.scenario import Scenario
from caudal_load.scenarios.model import Constant, Create, Diurnal, File, Phases, Ramp, Requests, Slo, Spike, Staircase
from caudal_load.shapes import Phase, Piece, constant, diurnal, ramp, read_rates, spike, staircase

FOLDER = Path(__file__).parent
_SAYS = {"card": CARD, "pix": PIX, "boleto": BOLETO, "pse": PSE, "mpesa": MPESA, "spei": SPEI}
_FAMILIES = {
    "card": "card",
    "pix": "instant_transfer",
    "spei": "instant_transfer",
    "boleto": "cash_voucher",
    "mpesa": "mobile_money",
    "pse": "bank_redirect",
}
_OURS = ("amount", "method", "reference", "country", "currency", "capture", "instrument")
_PAYS_HERSELF, _LAST_FOUR = 9401, 10_000
_MOST_TURNS = 20_000
T = TypeVar("T")


class BadScenario(ValueError):
    """A scenario's file is not as it should be; the message names the file and the field."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """A scenario with the load that its file wants, which the command line may replace."""

    scenario: Scenario
    about: str
    text: str
    """The file, as it was."""
    phases: tuple[Phase, ...]
    connections: int | None
    seconds: float | None
    merchants: int
    processes: int
    warm_up_s: float
    slo: Slo


def names() -> list[str]:
    """The scenarios of the product."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read(name: str) -> Script:
    """The scenario of this name, or in the file of this path. Raises BadScenario."""
    path = FOLDER / f"{name}.toml" if name in names() else Path(name)
    if path.suffix != ".toml" or not path.is_file():
        raise BadScenario(f"no scenario {name!r}; there is: {', '.join(names())}, and any path of a .toml file")
    try:
        text = path.read_text("utf-8")
        file = msgspec.toml.decode(text, type=File)
    except OSError as error:
        raise BadScenario(f"{path} cannot be read: {said(error)}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadScenario(f"{path.name}: {_said(error)}") from error
    try:
        return _script(file, path, text)
    except BadScenario as error:
        raise BadScenario(f"{path.name}: {error}") from error


def _said(error: Exception) -> str:
    """The library's words, the field first."""
    what, _, where = str(error).partition(" - at `$.")
    what = what.replace("`", "")
    return f"{where.rstrip('`')}: {what}" if where else what


def _script(file: File, path: Path, text: str) -> Script:
    if (file.connections is None) != (file.seconds is None):
        raise BadScenario("connections and seconds belong together: a closed loop of so many, for so long")
    if file.connections is not None and file.phases:
        raise BadScenario("connections: a closed loop has no phases; leave out one of the two")
    return Script(
        scenario=_scenario(file, path.stem),
        about=file.about,
        text=text,
        phases=tuple(_phase(phase, number, path) for number, phase in enumerate(file.phases)),
        connections=file.connections,
        seconds=sum(phase.seconds for phase in file.phases) if file.phases else file.seconds,
        merchants=file.merchants,
        processes=file.processes,
        warm_up_s=file.warm_up_s,
        slo=file.slo,
    )


def _scenario(file: File, name: str) -> Scenario:
    creates = [one for one in file.requests if isinstance(one, Create)]
    if not creates:
        raise BadScenario(
            'requests: nobody creates payins; add one with ask = "create", share = 0 if for the stock alone'
        )
    if not any(one.share for one in file.requests):
        raise BadScenario("requests: all shares are 0")
    if file.stock == 0 and not any(one.share for one in creates):
        raise BadScenario("stock: above 0 where no request creates payins")
    bodies = [_bodies(one, f"requests[{file.requests.index(one)}]", file.whole_flows) for one in creates]
    firsts = [sum(map(len, bodies[:number])) for number in range(len(bodies))]
    turns = _turns(file.requests, creates, bodies, firsts)
    with_deeds = any(isinstance(turn, Deed) for turn in turns)
    by_spei = all(one.method == "spei" for one in creates)
    cards = all(one.method == "card" and one.capture == "automatic" for one in creates)
    pairs = {_pair(one.method, body) for one, of in zip(creates, bodies, strict=True) for body in of}
    return Scenario(
        name=name,
        method="POST",
        path="/v1/payins",
        bodies=tuple(body for of in bodies for body in of),
        turns=turns,
        acknowledged=frozenset({201}),
        id_prefix="payin_",
        outcomes=None if by_spei and not with_deeds and not file.whole_flows else _outcomes(creates),
        counted=frozenset({b"paid"}) if cards and not with_deeds else None,
        through_provider=file.whole_flows or not by_spei,
        whole_flows=file.whole_flows,
        skew=file.skew,
        stock=file.stock,
        fees=(*FEES, *sorted(pairs - set(FEES))),
    )


def _outcomes(creates: Sequence[Create]) -> frozenset[bytes]:
    hoped = {b"authorized" if one.capture == "manual" else b"paid" for one in creates if one.method == "card"}
    if any(one.method != "card" for one in creates):
        hoped.add(b"pending")
    if any(one.method != "spei" for one in creates):
        hoped.add(b"submitting")
    return frozenset(hoped)


def _bodies(create: Create, field: str, whole_flows: bool) -> list[str]:
    """One body for each amount."""
    if create.capture == "manual" and create.method != "card":
        raise BadScenario(f"{field}.capture: manual is for cards")
    ours = [name for name in _OURS if name in create.body]
    if ours:
        raise BadScenario(f"{field}.body: {ours[0]} is written by the generator, or has a field of its own")
    said: dict[str, Any] = json.loads(_SAYS[create.method])
    given = {"country": create.country, "currency": create.currency}
    said |= {name: value for name, value in given.items() if value is not None} | create.body
    if create.capture == "manual":
        said["capture"] = "manual"
    amounts = create.amounts or [int(said["amount"])]
    if whole_flows and create.method not in ("card", "spei"):
        unpaid = [amount for amount in amounts if amount % _LAST_FOUR != _PAYS_HERSELF]
        if unpaid:
            raise BadScenario(f"{field}.amounts: in whole flows nobody pays {unpaid[0]}; end it in {_PAYS_HERSELF}")
    return [json.dumps(said | {"amount": amount}, ensure_ascii=False, separators=(",", ":")) for amount in amounts]


def _turns(
    requests: Sequence[Requests], creates: Sequence[Create], bodies: Sequence[list[str]], firsts: Sequence[int]
) -> tuple[int | Deed, ...]:
    """Which request is which: by their shares, each spread evenly, and each creation's amounts in turn."""
    divisor = math.gcd(*(one.share for one in requests))
    once = spread([(one, one.share // divisor) for one in requests if one.share])
    rounds = math.lcm(
        *(len(of) // math.gcd(len(of), max(1, one.share // divisor)) for one, of in zip(creates, bodies, strict=True))
    )
    if len(once) * rounds > _MOST_TURNS:
        raise BadScenario(
            f"requests: shares and amounts repeat after {len(once) * rounds:,} requests only; at most 20,000"
        )
    seen = [0] * len(creates)
    turns: list[int | Deed] = []
    for one in once * rounds:
        if isinstance(one, Create):
            place = next(number for number, create in enumerate(creates) if create is one)
            turns.append(firsts[place] + seen[place] % len(bodies[place]))
            seen[place] += 1
        else:
            turns.append(Deed(str(one.__struct_config__.tag)))
    return tuple(turns)


def spread(shares: Sequence[tuple[T, int]]) -> list[T]:
    """Each thing as often as its share says, spread as evenly as it goes."""
    places = [((turn + 0.5) / share, thing) for thing, share in shares for turn in range(share)]
    return [thing for _, thing in sorted(places, key=lambda place: place[0])]


def _pair(method: str, body: str) -> tuple[str, str]:
    return _FAMILIES[method], json.loads(body)["currency"]


def _phase(phase: Phases, number: int, path: Path) -> Phase:
    field, poisson = f"phases[{number}]", phase.arrivals == "poisson"
    name = phase.name or str(phase.__struct_config__.tag)
    made = Phase(name=name, pieces=_pieces(phase, field, path), poisson=poisson)
    if not made.peak:
        raise BadScenario(f"{field}: its rate is always 0")
    return made


def _pieces(phase: Phases, field: str, path: Path) -> tuple[Piece, ...]:
    match phase:
        case Constant():
            return constant("", phase.seconds, phase.rate).pieces
        case Ramp():
            return ramp(phase.seconds, phase.first, phase.last)
        case Staircase():
            return staircase(phase.seconds, phase.first, phase.last, phase.steps)
        case Spike():
            if phase.peak_seconds >= phase.seconds:
                raise BadScenario(f"{field}.peak_seconds: below seconds, which are those of the whole phase")
            return spike(phase.seconds, phase.rate, phase.peak, phase.peak_seconds)
        case Diurnal():
            return _recorded(phase, field, path)


def _recorded(phase: Diurnal, field: str, path: Path) -> tuple[Piece, ...]:
    try:
        points = read_rates(path.parent / phase.file)
    except (OSError, ValueError) as error:
        raise BadScenario(f"{field}.file: {error}") from error
    factor = 1.0 if phase.peak is None else phase.peak / max(rate for _, rate in points)
    return diurnal(phase.seconds, points, factor)
