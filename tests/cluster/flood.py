# SPDX-License-Identifier: GPL-2.0-or-later
"""A client that floods: it opens connections, sends requests as fast as they are taken, and reads what is answered.

    flood.py ADDRESS SOURCE CONNECTIONS REQUESTS

REQUESTS is a file: for each connection in turn, some of its frames, packed; they are sent again and again. An empty file
means that the connections ask once what nobody answers late, and then are silent. One line is written when all are open.
Ends with its standard input, and says how often a connection was closed by the server.
"""

import os
import resource
import selectors
import socket
import sys

import msgpack_small

CHUNK = 1 << 18


class Client:
    def __init__(self, address, source, data):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((source, 0))
        self.socket.setblocking(False)
        self.data = data
        self.sent = 0
        self.socket.connect_ex(address)

    def turn(self, mask):
        """Whether it is still there."""
        try:
            if mask & selectors.EVENT_READ and not self.socket.recv(CHUNK):
                return False
            if mask & selectors.EVENT_WRITE:
                self.sent += self.socket.send(memoryview(self.data)[self.sent % len(self.data) :])
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    source, count = sys.argv[2], int(sys.argv[3])
    with open(sys.argv[4], "rb") as file:
        data = file.read()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.nice(19)  # it would be another machine
    idle = not data
    data = data or msgpack_small.pack([0, 1, "server.info", [{}]])
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)
    opened, closed, ready = 0, 0, set()
    told = False
    while True:
        # A few at a time, so that the listener's queue does not overflow.
        while opened < count and opened - len(ready) < 500:
            client = Client((host, int(port)), source, data)
            selector.register(client.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, client)
            opened += 1
        for key, mask in selector.select():
            client = key.data
            if client is None:
                print(closed, flush=True)
                return
            if not client.turn(mask):
                selector.unregister(client.socket)
                client.socket.close()
                ready.discard(client)
                opened -= 1
                closed += 1
                continue
            if mask & selectors.EVENT_READ or client.sent:
                ready.add(client)
            if idle and client.sent >= len(data):
                selector.modify(client.socket, selectors.EVENT_READ, client)
        if len(ready) >= count and not told:
            told = True
            print("open", flush=True)


if __name__ == "__main__":
    main()
