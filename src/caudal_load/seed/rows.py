"""The rows that a moment leaves behind, table by table, as lines of COPY's text format: the one place that knows the
columns (db/schema).

Texts and JSON are made here and hold no tab, line break or backslash, so nothing needs escaping; JSON goes into `bytea`
as it is.
"""

from collections import defaultdict
from datetime import date, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Final
from uuid import UUID

from caudal_load.seed.clabe import clabe_of
from caudal_load.seed.postings import MXN, Entry, Ledger, Posting, uuid8
from caudal_load.seed.seal import Seal
from caudal_load.seed.story import Moment, Payin

SHARD: Final = 0
FEE_PLAN: Final = 1
SETTLES_AFTER: Final = timedelta(days=1)
KEYS_ARE_KEPT: Final = timedelta(days=30)
BATCHES_ARE_KEPT: Final = timedelta(days=1)
COLUMNS: Final = {
    "payin": "shard, id, book, version, status, reason, method, country, currency, amount_minor, received_minor,"
    " fee_minor, fee_plan, deposit_number, reference, detail, created_at, expires_at, paid_at, available_on",
    "payin_change": "shard, payin, number, status, reason, event, received_minor, at",
    "deposit_account": "shard, number, payin, book",
    "payer": "shard, payin, book, sealed",
    "payin_search": "shard, book, term, payin",
    "deposit": "shard, id, book, version, provider, tracking_key, account, currency, amount_minor, applied_minor,"
    " unapplied_minor, returning_minor, returned_minor, payin, reason, sealed, created_at",
    "transfer": "shard, seq, group_seq, id, kind, flags, debit_account, credit_account, amount_minor, pending_id,"
    " timeout_s, subject, code, at, hash",
    "entry": "shard, account_id, version, seq, side, kind, amount_minor, debits_pending, debits_posted,"
    " credits_pending, credits_posted, fact, flags",
    "balance_transaction": "shard, id, book, created_at, kind, currency, gross_minor, fee_minor, net_minor, subject,"
    " subject_kind, payin, available_on",
    "release": "shard, id, book, currency, day, version, amount_minor, released_minor, due_at",
    "key": "shard, book, digest, created_at, version, fingerprint, subject, status, answer, deadline",
    "event": "shard, seq, at, book, subject, type, data",
    "due": "shard, at, kind, subject, book, attempt",
    "batch": "shard, id, commands, first_event_seq, last_event_seq, first_posting_seq, last_posting_seq, at",
    "account": "shard, id, version, debits_pending, debits_posted, credits_pending, credits_posted, flags",
}
_NULL: Final = r"\N"
_HAPPENING: Final = {"paid": "all_received", "cancelled": "cancelled", "expired": "time_passed"}
_REASON: Final = {"cancelled": "requested_by_merchant"}


class Rows:
    """Writes moments down, numbering events and postings from where the shard stands."""

    def __init__(self, *, event_seq: int, ends_at: datetime, seal: Seal | None) -> None:
        self.event_seq = event_seq
        self.ledger = Ledger()
        self._seal = seal
        self._keys_from = ends_at - KEYS_ARE_KEPT
        self._batches_from = ends_at - BATCHES_ARE_KEPT
        self._lines: defaultdict[str, list[str]] = defaultdict(list)
        self._waiting: defaultdict[tuple[date, int], list[int]] = defaultdict(lambda: [0, 0])  # payments, their sum

    def take(self) -> dict[str, bytes]:
        """What was written since the last time, by table."""
        lines, self._lines = self._lines, defaultdict(list)
        for table in ("key", "payin_search"):
            lines[table].sort()  # what is random in the index costs less in its order
        return {table: ("\n".join(of) + "\n").encode() for table, of in lines.items() if of}

    def write(self, moment: Moment) -> None:
        """One batch: what the day releases, creations, then what became of older payins."""
        first_event, first_posting = self.event_seq + 1, self.ledger.seq + 1
        at = instant(moment.at)
        released = self._release(moment.at, at)
        for payin in moment.created:
            self._create(payin, at, has_key=moment.at >= self._keys_from)
        for payin in moment.settled:
            self._settle(payin, at)
        if moment.at >= self._batches_from:
            self._batch(moment, at, first_event, first_posting, released)

    def _batch(self, moment: Moment, at: str, first_event: int, first_posting: int, released: int) -> None:
        id = int(moment.at.timestamp() * 1000) << 80 | 0x7 << 76 | 0b10 << 62 | first_event
        commands = released + len(moment.created) + len(moment.settled)
        numbers = f"{first_event}\t{self.event_seq}\t{first_posting}\t{self.ledger.seq}"
        self._lines["batch"].append(f"{SHARD}\t{id:032x}\t{commands}\t{numbers}\t{at}")

    def _release(self, now: datetime, at: str) -> int:
        """The days that have begun: what was earned for them becomes available; how many they are."""
        begun = sorted(place for place in self._waiting if place[0] <= now.date())
        for day, book in begun:
            count, amount_minor = self._waiting.pop((day, book))
            id = release_id(book, day)
            self._lines["release"].append(
                f"{SHARD}\t{id.hex()}\t{book}\tMXN\t{day}\t{count + 1}\t0\t{amount_minor}\t{_NULL}"
            )
            self._posting(self.ledger.released(book, id, count, amount_minor, microseconds(now)), id.hex(), at)
        return len(begun)

    def write_releases(self) -> None:
        """The days that have not begun at the end of the story, and the work that is due when they do."""
        for (day, book), (count, amount_minor) in sorted(self._waiting.items()):
            id, due_at = release_id(book, day).hex(), f"{day}T00:00:00Z"
            self._lines["release"].append(f"{SHARD}\t{id}\t{book}\tMXN\t{day}\t{count}\t{amount_minor}\t0\t{due_at}")
            self._lines["due"].append(f"{SHARD}\t{due_at}\tfunds.release\t{id}\t{book}\t0")

    def write_accounts(self) -> None:
        """The balances at the end of the story: copies of each account's last entry."""
        self._lines["account"] += (
            f"{SHARD}\t{a.id}\t{a.version}\t0\t{a.debits_minor}\t0\t{a.credits_minor}\t{a.flags}"
            for a in self.ledger.accounts.values()
        )

    def _create(self, payin: Payin, at: str, *, has_key: bool) -> None:
        id, book, clabe = f"{payin.id:032x}", payin.slot * 2, clabe_of(payin.number)
        expires_at = instant(payin.expires_at)
        paid_at = available_on = _NULL
        if payin.status == "paid" and payin.settled_at is not None:
            paid_at, available_on = instant(payin.settled_at), str(payin.settled_at.date() + SETTLES_AFTER)
        version = 1 if payin.settled_at is None else 2
        received_minor = payin.amount_minor if payin.status == "paid" else 0
        reason = _REASON.get(payin.status, _NULL)
        self._lines["payin"].append(
            f"{SHARD}\t{id}\t{book}\t{version}\t{payin.status}\t{reason}\tspei\tMX\tMXN\t{payin.amount_minor}"
            f"\t{received_minor}\t{payin.fee_minor}\t{FEE_PLAN}\t{payin.number}\t{reference_of(payin)}"
            f"\t{_detail(payin, clabe)}\t{at}\t{expires_at}\t{paid_at}\t{available_on}"
        )
        self._lines["deposit_account"].append(f"{SHARD}\t{payin.number}\t{id}\t{book}")
        body = body_of(payin, "pending", at, expires_at, clabe)
        self._event(id, book, "payin.created", body, at)
        if has_key:
            digest = blake2b(reference_of(payin).encode(), digest_size=16, person=b"api").hexdigest()
            self._lines["key"].append(
                f"{SHARD}\t{book}\t{_hex(digest)}\t{at}\t1\t{_hex(digest[::-1])}\t{id}\t201\t{body}\t{_NULL}"
            )
        if payin.settled_at is None:
            self._lines["due"].append(f"{SHARD}\t{expires_at}\tpayin.expire\t{id}\t{book}\t0")
        if self._seal is not None:
            self._person(payin, id, book, self._seal)

    def _person(self, payin: Payin, id: str, book: int, seal: Seal) -> None:
        email = f"payer{payin.number}@example.com"
        sealed = seal.seal(f'{{"name":"Ana Pérez","email":"{email}"}}'.encode(), bytes.fromhex(id))
        self._lines["payer"].append(f"{SHARD}\t{id}\t{book}\t{_hex(sealed.hex())}")
        for field, value in (("reference", reference_of(payin)), ("email", email)):
            term = seal.search_term(book, field, value).hex()
            self._lines["payin_search"].append(f"{SHARD}\t{book}\t{_hex(term)}\t{id}")

    def _settle(self, payin: Payin, at: str) -> None:
        id, book, clabe = f"{payin.id:032x}", payin.slot * 2, clabe_of(payin.number)
        received_minor = payin.amount_minor if payin.status == "paid" else 0
        self._lines["payin_change"].append(
            f"{SHARD}\t{id}\t2\t{payin.status}\t{_REASON.get(payin.status, _NULL)}\t{_HAPPENING[payin.status]}"
            f"\t{received_minor}\t{at}"
        )
        body = body_of(payin, payin.status, instant(payin.created_at), instant(payin.expires_at), clabe)
        self._event(id, book, f"payin.{payin.status}", body, at)
        if payin.status == "paid":
            self._deposit(payin, id, book, clabe, at)

    def _deposit(self, payin: Payin, payin_id: str, book: int, clabe: str, at: str) -> None:
        tracking_key = tracking_key_of(payin)
        id = deposit_id(tracking_key)
        sealed = b"" if self._seal is None else self._seal.seal(b'{"name":"Ana Perez","bank":"40012"}', id)
        amount_minor = payin.amount_minor
        self._lines["deposit"].append(
            f"{SHARD}\t{id.hex()}\t{book}\t1\tspei\t{tracking_key}\t{clabe}\tMXN\t{amount_minor}\t{amount_minor}"
            f"\t0\t0\t0\t{payin_id}\t{_NULL}\t{_hex(sealed.hex())}\t{at}"
        )
        assert payin.settled_at is not None
        at_us = microseconds(payin.settled_at)
        for posting in self.ledger.paid(book, id, amount_minor, payin.fee_minor, at_us):
            self._posting(posting, id.hex(), at)
        self._earned(payin, payin_id, book, payin.settled_at.date() + SETTLES_AFTER, at)

    def _earned(self, payin: Payin, id: str, book: int, day: date, at: str) -> None:
        """What its day is going to release, and the statement's line, which has the payin's own UUID."""
        net_minor = payin.amount_minor - payin.fee_minor
        waiting = self._waiting[day, book]
        waiting[0] += 1
        waiting[1] += net_minor
        self._lines["balance_transaction"].append(
            f"{SHARD}\t{id}\t{book}\t{at}\tpayment\tMXN\t{payin.amount_minor}\t{payin.fee_minor}\t{net_minor}"
            f"\t{id}\tpayin\t{id}\t{day}"
        )

    def _posting(self, posting: Posting, subject: str, at: str) -> None:
        debit, credit = posting.debit, posting.credit
        self._lines["transfer"].append(
            f"{SHARD}\t{posting.seq}\t{posting.group_seq}\t{posting.id.hex()}\t1\t1\t{debit.account}\t{credit.account}"
            f"\t{posting.amount_minor}\t{_NULL}\t0\t{subject}\t{posting.code}\t{at}\t{_hex(posting.hash.hex())}"
        )
        self._lines["entry"] += (_entry(posting, debit), _entry(posting, credit))

    def _event(self, subject: str, book: int, type: str, body: str, at: str) -> None:
        self.event_seq += 1
        self._lines["event"].append(f"{SHARD}\t{self.event_seq}\t{at}\t{book}\t{subject}\t{type}\t{body}")


def _entry(posting: Posting, entry: Entry) -> str:
    return (
        f"{SHARD}\t{entry.account}\t{entry.version}\t{posting.seq}\t{entry.side}\t1\t{posting.amount_minor}"
        f"\t0\t{entry.debits_minor}\t0\t{entry.credits_minor}\tt\t{entry.flags}"
    )


def body_of(payin: Payin, status: str, created_at: str, expires_at: str, clabe: str) -> str:
    """The payin as events and answers show it (published/), while it was `status`."""
    paid = status == "paid"
    reason = f'"{_REASON[status]}"' if status in _REASON else "null"
    paid_at = available_on = "null"
    if paid and payin.settled_at is not None:
        paid_at, available_on = f'"{instant(payin.settled_at)}"', f'"{payin.settled_at.date() + SETTLES_AFTER}"'
    action = "null"
    if status == "pending":
        action = (
            f'{{"type":"show_bank_details","clabe":"{clabe}","beneficiary":"caudal","amount":{payin.amount_minor},'
            f'"currency":"MXN","expires_at":"{expires_at}","payer_page":null}}'
        )
    return (
        f'{{"id":"payin_{payin.id:032x}","object":"payin","mode":"test","status":"{status}","status_reason":{reason},'
        f'"amount":{payin.amount_minor},"currency":"MXN","country":"MX","method":"spei","provider":null,"instrument":null,'
        f'"capture":"automatic","amount_authorized":0,"amount_captured":0,'
        f'"amount_received":{payin.amount_minor if paid else 0},'
        f'"amount_refunded":0,"amount_disputed":0,"fees":{payin.fee_minor if paid else 0},"fee_plan":{FEE_PLAN},'
        f'"reference":"{reference_of(payin)}","description":null,"metadata":{{}},"return_url":null,'
        f'"next_action":{action},'
        f'"dispute":null,"created_at":"{created_at}","expires_at":"{expires_at}","paid_at":{paid_at},'
        f'"available_on":{available_on}}}'
    )


def _detail(payin: Payin, clabe: str) -> str:
    """What of a payin nobody filters by: the deposits that paid it, and its CLABE."""
    if payin.status != "paid":
        return f'{{"clabe":"{clabe}"}}'
    return f'{{"deposits":["{UUID(bytes=deposit_id(tracking_key_of(payin)))}"],"clabe":"{clabe}"}}'


def tracking_key_of(payin: Payin) -> str:
    """What the payer's bank called the transfer that paid it."""
    return f"SEED{payin.number:011d}"


def reference_of(payin: Payin) -> str:
    """The merchant's reference of a payin of the story, which was its idempotency key too."""
    return f"seed-{payin.number}"


def deposit_id(tracking_key: str) -> bytes:
    """The id of a deposit in test mode: a UUIDv8 over provider, mode and tracking key."""
    text = f"spei\ntest\n{tracking_key}"
    return uuid8(blake2b(text.encode(), digest_size=16, person=b"caudal deposit").digest())


def release_id(book: int, day: date) -> bytes:
    """The id of what is released on a day: a UUIDv8 of book, currency and days since 1970."""
    return (book << 80 | 0x8 << 76 | MXN << 64 | 0b10 << 62 | (day - _EPOCH.date()).days).to_bytes(16, "big")


@lru_cache(maxsize=1 << 14)  # a moment's time is that of many payins, and days later of their ends
def instant(at: datetime) -> str:
    """RFC 3339 in UTC with microseconds, which PostgreSQL reads too."""
    return at.isoformat(timespec="microseconds")[:-6] + "Z"


def microseconds(at: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (at - _EPOCH) // _MICROSECOND


def _hex(digits: str) -> str:
    return rf"\\x{digits}"


_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_MICROSECOND: Final = timedelta(microseconds=1)
