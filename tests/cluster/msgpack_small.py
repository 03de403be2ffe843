# SPDX-License-Identifier: GPL-2.0-or-later
"""MessagePack for tests, written from its specification and not from our codec."""

import struct


class Incomplete(Exception):
    """More bytes are needed."""


def pack(value):
    if value is None:
        return b"\xc0"
    if value is True:
        return b"\xc3"
    if value is False:
        return b"\xc2"
    if isinstance(value, int):
        return _pack_int(value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        return _head(len(data), 0xA0, 31, (0xD9, 0xDA, 0xDB)) + data
    if isinstance(value, (bytes, bytearray)):
        return _head(len(value), None, 0, (0xC4, 0xC5, 0xC6)) + bytes(value)
    if isinstance(value, (list, tuple)):
        return _head(len(value), 0x90, 15, (None, 0xDC, 0xDD)) + b"".join(pack(item) for item in value)
    if isinstance(value, dict):
        body = b"".join(pack(key) + pack(item) for key, item in value.items())
        return _head(len(value), 0x80, 15, (None, 0xDE, 0xDF)) + body
    raise TypeError(type(value))


def _head(size, fix, fix_max, codes):
    if fix is not None and size <= fix_max:
        return bytes([fix | size])
    for code, format, limit in zip(codes, (">B", ">H", ">I"), (0xFF, 0xFFFF, 0xFFFFFFFF)):
        if code is not None and size <= limit:
            return bytes([code]) + struct.pack(format, size)
    raise OverflowError(size)


def _pack_int(value):
    if 0 <= value < 128:
        return bytes([value])
    if -32 <= value < 0:
        return struct.pack(">b", value)
    if value > 0:
        codes = ((0xCC, ">B", 1 << 8), (0xCD, ">H", 1 << 16), (0xCE, ">I", 1 << 32), (0xCF, ">Q", 1 << 64))
        for code, format, limit in codes:
            if value < limit:
                return bytes([code]) + struct.pack(format, value)
        raise OverflowError(value)
    for code, format, bits in ((0xD0, ">b", 7), (0xD1, ">h", 15), (0xD2, ">i", 31), (0xD3, ">q", 63)):
        if value >= -(1 << bits):
            return bytes([code]) + struct.pack(format, value)
    raise OverflowError(value)


class _Reader:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, size):
        if self.at + size > len(self.data):
            raise Incomplete()
        piece = self.data[self.at : self.at + size]
        self.at += size
        return piece

    def number(self, format):
        return struct.unpack(format, self.take(struct.calcsize(format)))[0]

    def array(self, size):
        return [self.value() for _ in range(size)]

    def map(self, size):
        return {self.value(): self.value() for _ in range(size)}

    def value(self):
        code = self.take(1)[0]
        if code < 0x80:
            return code
        if code < 0x90:
            return self.map(code & 0x0F)
        if code < 0xA0:
            return self.array(code & 0x0F)
        if code < 0xC0:
            return self.take(code & 0x1F).decode()
        if code >= 0xE0:
            return code - 256
        simple = {0xC0: None, 0xC2: False, 0xC3: True}
        if code in simple:
            return simple[code]
        numbers = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}
        numbers.update({0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"})
        if code in numbers:
            return self.number(numbers[code])
        sizes = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
        if code in sizes:
            data = bytes(self.take(self.number(sizes[code])))
            return data if code <= 0xC6 else data.decode()
        if code in (0xDC, 0xDD):
            return self.array(self.number(">H" if code == 0xDC else ">I"))
        if code in (0xDE, 0xDF):
            return self.map(self.number(">H" if code == 0xDE else ">I"))
        raise ValueError(hex(code))


def unpack_from(data):
    """The first value of `data` and how many bytes it took; raises Incomplete."""
    reader = _Reader(data)
    value = reader.value()
    return value, reader.at
