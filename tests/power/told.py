# SPDX-License-Identifier: GPL-2.0-or-later
"""What a server told others: from then on it must never be forgotten."""

import struct

import msgpack_small

APPEND_ENTRIES, APPEND_ENTRIES_RESULT, REQUEST_VOTE, REQUEST_VOTE_RESULT, INSTALL_SNAPSHOT, TIMEOUT_NOW = range(1, 7)


class Told:
    def __init__(self):
        self.revision = 0  # of the state, to clients
        self.answers = 0
        self.cluster = None  # id of the cluster that cluster.init made
        self.term = 0
        self.votes = {}  # term: server
        self.stored = 0  # Raft index that it said to have
        self.stored_changes = 0

    def __str__(self):
        return (
            f"revision {self.revision}, cluster {self.cluster}, term {self.term}, "
            f"vote {self.votes.get(self.term)}, log up to {self.stored}"
        )


class Listener:
    """Puts what was sent together again and takes out what counts."""

    def __init__(self, events, number, api_port, raft_port, before=None):
        self.told = before or Told()
        self.number = number
        self.api_port, self.raft_port = api_port, raft_port
        self.streams = {}
        self.lengths(events)

    def lengths(self, events):
        """Of each send, by its event: a program that was killed in the midst of one may have sent all of it."""
        self.went = {}
        begun = {}
        for event in events:
            if event.kind == "begin":
                begun = {}
            elif event.kind == "send_begin":
                begun[event.id] = event
                self.went[event] = len(event.data)
            elif event.kind == "send_end":
                self.went[begun[event.id]] = event.a

    def hear(self, event):
        """True when it is something that counts."""
        if event.kind != "send_begin":
            return False
        data = event.data[: self.went[event]]
        peer_port = event.b & 0xFFFF
        if event.a == self.api_port:
            return self.hear_api((event.inode, event.b), data)
        if peer_port == self.raft_port:
            return self.hear_raft((event.inode, event.a, event.b), event.b >> 16 & 0xFF, data)
        return False

    def hear_api(self, stream, data):
        data = self.streams.get(stream, b"") + data
        heard = False
        while data:
            try:
                message, used = msgpack_small.unpack_from(data)
            except msgpack_small.Incomplete:
                break
            data = data[used:]
            if message[0] == 1 and message[2] is None and isinstance(message[3].get("revision"), int):
                heard = True
                self.told.answers += 1
                self.told.revision = max(self.told.revision, message[3]["revision"])
                if self.told.cluster is None and "id" in message[3]:
                    self.told.cluster = message[3]["id"]
        self.streams[stream] = data
        return heard

    def hear_raft(self, stream, peer, data):
        first = stream not in self.streams
        data = self.streams.get(stream, b"") + data
        heard = False
        if first:  # who it is: protocol, id, address
            data = data[24 + struct.unpack_from("<Q", data, 16)[0] :]
        while len(data) >= 16:
            kind, size = data[0], struct.unpack_from("<Q", data, 8)[0]
            if len(data) < 16 + size:
                break
            body = data[16 : 16 + size]
            payload = self.payload(kind, body)
            if len(data) < 16 + size + payload:
                break
            data = data[16 + size + payload :]
            heard = self.message(kind, body, peer) or heard
        self.streams[stream] = data
        return heard

    @staticmethod
    def payload(kind, body):
        if kind == APPEND_ENTRIES:
            count = struct.unpack_from("<Q", body, 32)[0]
            return sum(struct.unpack_from("<I", body, 40 + 16 * i + 12)[0] for i in range(count))
        if kind == INSTALL_SNAPSHOT:
            return struct.unpack_from("<Q", body, len(body) - 16)[0]
        return 0

    def message(self, kind, body, peer):
        term, second = struct.unpack_from("<QQ", body)
        told = self.told
        if kind == REQUEST_VOTE:
            flags = struct.unpack_from("<Q", body, 32)[0]
            if flags & 2:  # a question before the vote: nothing is promised
                return False
            told.votes[term] = self.number
        elif kind == REQUEST_VOTE_RESULT:
            if body[16] & 1:
                return False
            if second:
                told.votes[term] = peer
        elif kind == APPEND_ENTRIES_RESULT and not second:
            told.stored = struct.unpack_from("<Q", body, 16)[0]
            told.stored_changes += 1
        told.term = max(told.term, term)
        return True
