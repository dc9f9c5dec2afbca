"""The ledger a second time, as plainly as it can be said: integers, lists, and the rules of docs/money.md.

Rows come as tuples in the order of `queries.sql`; ids are 16 bytes, times are microseconds since 1970. After a
difference the model goes on from what is stored, so that one changed row is reported once or twice, not for ever.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

TransferRow = Sequence[Any]
EntryRow = tuple[Any, ...]

DIRECT, PENDING, POST, VOID, EXPIRE = range(1, 6)
OPEN: Final = 0
FACT, BALANCING_DEBIT, BALANCING_CREDIT, CLOSING_DEBIT, CLOSING_CREDIT = 1, 2, 4, 8, 16
LIMITED_DEBITS, LIMITED_CREDITS, CLOSED = 1, 2, 4
LAST_LIMITED_PURPOSE: Final = 5
CURRENCY_BITS, MODE_BIT = 0xFFC0, 0x10000
SECOND_US: Final = 1_000_000

_TRANSFER: Final = struct.Struct(">qq16sBHqqq16si16sqH")
_ENTRY: Final = struct.Struct(">qqbqqqqqBH")
_BUCKETS: Final = 256
MOST: Final = 1000


class Difference(NamedTuple):
    """Something that is not as the postings say: which check, which row, what is wrong."""

    check: str
    shard: int
    subject: str
    detail: str


class Model:
    """One shard's ledger, rebuilt posting by posting."""

    def __init__(self, shard: int) -> None:
        self.shard = shard
        self.seq, self.group_seq, self.at_us = 0, 0, -(2**63)
        self.chain = bytes(32)
        # id → [version, debits pending, debits posted, credits pending, credits posted, flags]
        self.accounts: dict[int, list[int]] = {}
        # id → [version, state, debit, credit, amount, flags, subject, code, expires, posted]
        self.pendings: dict[bytes, list[Any]] = {}
        self.differences: list[Difference] = []
        self.unreported = 0
        self.history: set[tuple[Any, ...]] | None = None  # every state passed through, while somebody wants to know
        self._ids = [array("q") for _ in range(_BUCKETS)]

    def report(self, check: str, subject: str, detail: str) -> None:
        """One more difference; beyond the first thousand they are only counted."""
        if len(self.differences) >= MOST:
            self.unreported += 1
            return
        self.differences.append(Difference(check, self.shard, subject, detail))

    # ── Before a range: which entries belong to it ────────────────────────────────────────────────────────────────

    def touched(self, transfers: Iterable[TransferRow], missing: int = 0) -> list[tuple[int, int, int]]:
        """(account, first version, last version) of the entries that these transfers must have.

        `missing` transfers are not among them, though their numbers are; their entries may be there all the same.
        """
        counts: dict[int, int] = {}
        for row in transfers:
            counts[row[5]] = counts.get(row[5], 0) + 1
            counts[row[6]] = counts.get(row[6], 0) + 1
        before = {id: self.accounts[id][0] if id in self.accounts else 0 for id in counts}
        return [(id, before[id] + 1, before[id] + count + missing) for id, count in counts.items()]

    # ── A range ───────────────────────────────────────────────────────────────────────────────────────────────────

    def take(self, transfers: Iterable[TransferRow], entries: Mapping[tuple[int, int], EntryRow]) -> None:
        """Replay transfers in their order; `entries` are their rows by account and version."""
        for row in transfers:
            self._number(row)
            debit, credit = self._account(row[5]), self._account(row[6])
            if row[3] <= PENDING:
                self._move(row, debit, credit)
            else:
                self._resolve(row, debit, credit)
            debit_entry = self._compare(row, row[5], debit, 1, entries)
            credit_entry = self._compare(row, row[6], credit, -1, entries)
            self._link(row, debit_entry, credit_entry)

    def _account(self, id: int) -> list[int]:
        account = self.accounts.get(id)
        if account is None:
            limited = 1 <= id & 63 <= LAST_LIMITED_PURPOSE
            account = self.accounts[id] = [0, 0, 0, 0, 0, LIMITED_DEBITS if limited else 0]
        return account

    def _number(self, row: TransferRow) -> None:
        seq, group_seq, id, _, _, debit, credit, _, _, _, _, _, at_us, _ = row
        if seq != self.seq + 1:
            self.report("transfer_number", f"transfer {seq}", f"comes after {self.seq}")
        if group_seq != seq and group_seq != self.group_seq:
            self.report("transfer_group", f"transfer {seq}", f"group {group_seq} is neither new nor {self.group_seq}")
        if at_us < self.at_us:
            self.report("transfer_time", f"transfer {seq}", "is older than the one before it")
        if debit == credit or (debit ^ credit) & (CURRENCY_BITS | MODE_BIT):
            self.report("transfer_accounts", f"transfer {seq}", f"from {debit} to {credit}")
        self.seq, self.group_seq, self.at_us = seq, group_seq, at_us
        hashed = hash(id)
        bucket = self._ids[hashed % _BUCKETS]
        bucket.append(hashed)
        bucket.append(seq)

    def _move(self, row: TransferRow, debit: list[int], credit: list[int]) -> None:
        seq, _, id, kind, flags, _, _, amount, _, timeout_s, _, _, at_us, _ = row
        if not flags & FACT and (debit[5] | credit[5]) & CLOSED:
            self.report("closed", f"transfer {seq}", "is a request on a closed account")
        if flags & BALANCING_DEBIT and amount > max(debit[4] - debit[2] - debit[1], 0):
            self.report("balancing", f"transfer {seq}", f"moves {amount}, more than the debit account has")
        if flags & BALANCING_CREDIT and amount > max(credit[2] - credit[4] - credit[3], 0):
            self.report("balancing", f"transfer {seq}", f"moves {amount}, more than the credit account owes")
        if kind == DIRECT:
            debit[2] += amount
            credit[4] += amount
        else:
            debit[1] += amount
            credit[3] += amount
            expires_us = at_us + timeout_s * SECOND_US if timeout_s else None
            self._set_pending(id, [1, OPEN, row[5], row[6], amount, flags, row[10], row[11], expires_us, 0])
            debit[5] |= CLOSED if flags & CLOSING_DEBIT else 0
            credit[5] |= CLOSED if flags & CLOSING_CREDIT else 0
        if not flags & FACT:
            if debit[5] & LIMITED_DEBITS and debit[1] + debit[2] > debit[4]:
                self.report("limit", f"transfer {seq}", f"a request takes account {row[5]} beyond its limit")
            if credit[5] & LIMITED_CREDITS and credit[3] + credit[4] > credit[2]:
                self.report("limit", f"transfer {seq}", f"a request takes account {row[6]} beyond its limit")

    def _resolve(self, row: TransferRow, debit: list[int], credit: list[int]) -> None:
        seq, _, _, kind, flags, debit_id, credit_id, amount, pending_id, _, _, code, at_us, _ = row
        held = self.pendings.get(pending_id)
        if held is None:
            self.report("pending", f"transfer {seq}", f"resolves {_hex(pending_id)}, which was never pending")
            return
        _, state, held_debit, held_credit, held_amount, held_flags, subject, held_code, expires_us, _ = held
        if state != OPEN:
            self.report("pending", f"transfer {seq}", f"resolves {_hex(pending_id)} a second time")
            return
        if (debit_id, credit_id, code) != (held_debit, held_credit, held_code):
            self.report("pending", f"transfer {seq}", f"differs from the pending transfer {_hex(pending_id)}")
        if amount > held_amount or (kind != POST and amount != held_amount):
            self.report("pending", f"transfer {seq}", f"resolves {amount} of {held_amount}")
        over = expires_us is not None and at_us >= expires_us
        if over != (kind == EXPIRE):
            self.report("pending", f"transfer {seq}", "comes after its expiry" if over else "expires it too early")
        debit[1] -= held_amount
        credit[3] -= held_amount
        posted = amount if kind == POST else 0
        debit[2] += posted
        credit[4] += posted
        if kind == POST:
            if not flags & FACT and (debit[5] | credit[5]) & CLOSED:
                self.report("closed", f"transfer {seq}", "is a request on a closed account")
        else:
            debit[5] &= ~(CLOSED if held_flags & CLOSING_DEBIT else 0)
            credit[5] &= ~(CLOSED if held_flags & CLOSING_CREDIT else 0)
        self._set_pending(
            pending_id,
            [2, kind, held_debit, held_credit, held_amount, held_flags, subject, held_code, expires_us, posted],
        )

    def _set_pending(self, id: bytes, values: list[Any]) -> None:
        self.pendings[id] = values
        if self.history is not None:
            self.history.add(("pending", id, *values))

    def _compare(
        self,
        row: TransferRow,
        account_id: int,
        account: list[int],
        side: int,
        entries: Mapping[tuple[int, int], EntryRow],
    ) -> EntryRow:
        seq, version = row[0], account[0] + 1
        found = entries.get((account_id, version))
        while found is not None and found[2] < seq:
            self.report("entry", f"account {account_id} version {version}", f"is of transfer {found[2]}, not there")
            version += 1
            found = entries.get((account_id, version))
        expected = (account_id, version, seq, side, row[3], row[7], *account[1:5], bool(row[4] & FACT), account[5])
        if found is None or found[2] > seq:
            self.report("entry", f"account {account_id} version {version}", f"is missing; transfer {seq}")
            account[0] = version if found is None else version - 1
            return expected
        account[0] = version
        if found != expected:
            detail = f"is {_brief(found)}; transfer {seq} makes it {_brief(expected)}"
            self.report("entry", f"account {account_id} version {version}", detail)
            account[1:6] = [*found[6:10], found[11]]
        if self.history is not None:
            self.history.add(("account", account_id, *account))
        return found

    def _link(self, row: TransferRow, debit: EntryRow, credit: EntryRow) -> None:
        seq, group_seq, id, kind, flags, debit_id, credit_id, amount, pending_id, timeout_s, subject, _, at_us, _ = row
        code = row[11].encode()
        packed = _TRANSFER.pack(
            *(seq, group_seq, id, kind, flags, debit_id, credit_id, amount, pending_id or bytes(16), timeout_s),
            *(subject or bytes(16), at_us, len(code)),
        )
        # An entry's number and kind are its transfer's, packed already.
        sides = b"".join(_ENTRY.pack(*entry[:2], entry[3], *entry[5:]) for entry in (debit, credit))
        computed = sha256(self.chain + packed + code + sides).digest()
        if computed != row[13]:
            self.report("hash", f"transfer {seq}", f"{row[13].hex()} is stored, {computed.hex()} is computed")
        self.chain = row[13]

    # ── At the end ────────────────────────────────────────────────────────────────────────────────────────────────

    def repeated(self) -> list[tuple[int, int]]:
        """Pairs of transfers whose ids look the same (a 64-bit hash of them is)."""
        pairs = []
        for bucket in self._ids:
            seen: dict[int, int] = {}
            for hashed, seq in zip(bucket[::2], bucket[1::2], strict=True):
                if seen.setdefault(hashed, seq) != seq:
                    pairs.append((seen[hashed], seq))
        return pairs

    def differing_accounts(self, rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """The rows of `account` (id, version, counters, flags) that are not what the postings come to."""
        return [("account", *row) for row in rows if self.accounts.get(row[0]) != list(row[1:])]

    def differing_pendings(self, rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """The rows of `pending_transfer` that are not what the postings come to."""
        return [("pending", *row) for row in rows if self.pendings.get(row[0]) != list(row[1:])]

    def judge(self, suspects: Iterable[tuple[Any, ...]]) -> None:
        """Rows that differed when they were read: good after all, if the postings since then passed through them."""
        assert self.history is not None, "the postings since then were replayed without a memory"
        for what, id, *values in suspects:
            if (what, id, *values) in self.history:
                continue
            if what == "account":
                computed = self.accounts.get(id)
                self.report("account", f"account {id}", f"says {values}, its entries {computed or 'do not exist'}")
            else:
                held = self.pendings.get(id)
                detail = f"says {values[:2]}, its transfers {held[:2] if held else 'do not exist'}"
                if held and held[:2] == values[:2]:
                    detail = "differs from its transfer"
                self.report("pending_transfer", f"pending transfer {_hex(id)}", detail)


def _brief(entry: EntryRow) -> str:
    _, _, seq, side, kind, amount, *counters, fact, flags = entry
    return f"[{seq} {'debit' if side == 1 else 'credit'} {amount}, kind {kind}, {counters}, fact {fact}, flags {flags}]"


def _hex(id: bytes | None) -> str:
    return "nothing" if id is None else id.hex()
