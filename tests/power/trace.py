# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads what the recorder wrote (recorder.h)."""

import struct

HEADER = struct.Struct("=4I4Q")
KINDS = (
    "begin end write write_done store sync_begin sync_end size create temporary directory link unlink rename "
    "send_begin send_end"
).split()


class Event:
    __slots__ = ("kind", "id", "inode", "a", "b", "name", "other", "data")

    def __init__(self, kind, id, inode, a, b, name, other, data):
        self.kind, self.id, self.inode, self.a, self.b = kind, id, inode, a, b
        self.name, self.other, self.data = name, other, data

    def __str__(self):
        text = f"{self.kind} id={self.id} inode={self.inode} a={self.a} b={self.b}"
        if self.name:
            text += f" {self.name}"
        if self.other:
            text += f" -> {self.other}"
        return text + (f" ({len(self.data)} bytes)" if self.data else "")


def read(path):
    """All events; what a killed recorder wrote half is not one."""
    with open(path, "rb") as file:
        content = file.read()
    events = []
    at = 0
    while at + HEADER.size <= len(content):
        kind, name_size, other_size, data_size, id, inode, a, b = HEADER.unpack_from(content, at)
        at += HEADER.size
        if at + name_size + other_size + data_size > len(content):
            break
        name = content[at : at + name_size].decode()
        at += name_size
        other = content[at : at + other_size].decode()
        at += other_size
        data = content[at : at + data_size]
        at += data_size
        events.append(Event(KINDS[kind - 1], id, inode, a, b, name, other, data))
    return events
