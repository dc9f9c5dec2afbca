"""What a file is, by its bytes: PDF, PNG or JPEG. What a header or a name says of it proves nothing.

Each form is held against the outline of its own structure: PDF by its header and its end (ISO 32000-2, 7.5), PNG chunk
by chunk with their checksums (W3C, 3rd edition, 5), JPEG segment by segment up to its image data, and by its end (ITU-T
T.81, annex B). So nothing hides in front of any of them, nor behind a PNG. What a PDF holds between its ends, and a
JPEG behind the start of its image data, is not looked at: a file may be two things at once, and whoever opens it opens
what a stranger has sent. The work is bounded, whatever the bytes.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Final

_PDF_HEADER: Final = re.compile(rb"%PDF-[12]\.\d")
_PDF_END: Final = re.compile(rb"startxref\s+\d+\s+%%EOF\s*\Z")
_PDF_TAIL_BYTES: Final = 1024
_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER_BYTES: Final = 13
_SIDE_MAX: Final = 0x7FFF_FFFF
_PARTS_MAX: Final = 16_384  # chunks of a PNG, segments of a JPEG; a camera's or a scanner's have some hundred
_FILLED: Final = re.compile(rb"\xff+")
_CHUNK: Final = struct.Struct(">I4s")
_JPEG_BEGIN, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_START_OF_SCAN: Final = 0xDA
# Start of frame, all kinds of coding; C4, C8 and CC are tables and an extension.
_START_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def fault_of(content_type: str, content: bytes) -> str | None:
    """Why a file is not what its content type says; None when it is."""
    return CHECKS[content_type](content)


def _pdf(content: bytes) -> str | None:
    if _PDF_HEADER.match(content) is None:
        return "a PDF begins with %PDF- and its version"
    if _PDF_END.search(content[-_PDF_TAIL_BYTES:]) is None:
        return "a PDF ends with startxref, a number and %%EOF"
    return None


def _png(content: bytes) -> str | None:
    if not content.startswith(_PNG_SIGNATURE):
        return "a PNG begins with its signature of eight bytes"
    place, names = len(_PNG_SIGNATURE), list[bytes]()
    while place < len(content):
        if len(names) == _PARTS_MAX:
            return f"a PNG has at most {_PARTS_MAX} chunks"
        if len(content) < place + 12:
            return "a PNG consists of whole chunks"
        length, name = _CHUNK.unpack_from(content, place)
        data = content[place + 4 : place + 8 + length]
        place += 12 + length
        if place > len(content) or zlib.crc32(data) != int.from_bytes(content[place - 4 : place], "big"):
            return "a PNG consists of whole chunks with their checksums"
        if not names and not _is_header(name, data[4:]):
            return "a PNG begins with a header of thirteen bytes, and has a width and a height"
        names.append(name)
    if b"IDAT" not in names or names[-1] != b"IEND" or names.count(b"IEND") != 1:
        return "a PNG has image data and ends with IEND"
    return None


def _is_header(name: bytes, data: bytes) -> bool:
    if name != b"IHDR" or len(data) != _PNG_HEADER_BYTES:
        return False
    width, height = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
    return 0 < width <= _SIDE_MAX and 0 < height <= _SIDE_MAX


def _jpeg(content: bytes) -> str | None:
    if not content.startswith(_JPEG_BEGIN) or not content.endswith(_JPEG_END):
        return "a JPEG begins with SOI (FF D8) and ends with EOI (FF D9)"
    place, framed = 2, False
    for _ in range(_PARTS_MAX):
        filled = _FILLED.match(content, place)
        if filled is None:
            return "a JPEG consists of segments, each with its marker"
        place = filled.end() - 1  # a marker may be filled up with more of its first byte
        if place + 4 > len(content):
            return "a JPEG has image data"
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4], "big")
        if length < 2 or place + 2 + length > len(content):
            return "a JPEG consists of whole segments"
        if marker in _START_OF_FRAME:
            framed = length >= 8 and any(content[place + 7 : place + 9])
        if marker == _START_OF_SCAN:
            return None if framed else "a JPEG has a frame with a width before its image data"
        place += 2 + length
    return f"a JPEG has at most {_PARTS_MAX} segments"


CHECKS: Final[Mapping[str, Callable[[bytes], str | None]]] = {
    "application/pdf": _pdf,
    "image/png": _png,
    "image/jpeg": _jpeg,
}
