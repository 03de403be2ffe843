# SPDX-License-Identifier: GPL-2.0-or-later
"""What a medium may hold after a power loss, by what the kernel promises and nothing else.

The data of a file, and its length, are there after fsync, fdatasync or a write with O_DSYNC; a name after fsync of its
directory. Of everything else any part may be there: each sector has the content that any of the writes since its last
sync gave it, or that from before; a length and a name the same. A rename happens as a whole.
"""

import hashlib
import os

SECTOR = 512
PAGE = 4096
ZEROS = bytes(SECTOR)


class File:
    """Versions of each sector and of the length; the first of each is on the medium, the last is what a program reads."""

    def __init__(self):
        self.sectors = {}  # number: [(sequence, content), ...]
        self.sizes = [(0, 0)]

    def size(self):
        return self.sizes[-1][1]

    def sector(self, number):
        versions = self.sectors.get(number)
        return versions[-1][1] if versions else ZEROS

    def put(self, number, sequence, content):
        versions = self.sectors.setdefault(number, [(0, ZEROS)])
        if len(versions) > 1 or versions[0][1] != content:  # else it is there whatever becomes of this write
            versions.append((sequence, content))

    def write(self, sequence, offset, data):
        at = 0
        while at < len(data):
            number, start = divmod(offset + at, SECTOR)
            piece = data[at : at + SECTOR - start]
            if len(piece) < SECTOR:
                old = self.sector(number)
                piece = old[:start] + piece + old[start + len(piece) :]
            self.put(number, sequence, piece)
            at += SECTOR - start
        if offset + len(data) > self.size():
            self.sizes.append((sequence, offset + len(data)))

    def resize(self, sequence, size):
        if size < self.size():
            for number in self.sectors:
                if (number + 1) * SECTOR > size and self.sector(number) != ZEROS:
                    kept = max(0, size - number * SECTOR)
                    self.put(number, sequence, self.sector(number)[:kept] + bytes(SECTOR - kept))
        self.sizes.append((sequence, size))

    def settle(self, covered, limit):
        """On the medium is what was done by operations of which covered(sequence) is true, and any length set before
        `limit`."""
        for number, versions in self.sectors.items():
            if len(versions) > 1:
                self.sectors[number] = settled(versions, covered)
        self.sizes = settled(self.sizes, lambda sequence: sequence < limit)


def settled(versions, covered):
    for at in range(len(versions) - 1, 0, -1):
        if covered(versions[at][0]):
            return versions[at:]
    return versions


class Directory:
    def __init__(self):
        self.names = {}  # on the medium: name -> File or Directory
        self.changes = []  # (sequence, what, name, ...), in order

    def apply(self, names, change):
        what, name = change[1], change[2]
        if what == "link":
            names[name] = change[3]
        elif what == "unlink":
            names.pop(name, None)
        elif what == "rename":
            # Not the source, but what was renamed: the name may since be another file's.
            if names.get(name) is change[4]:
                del names[name]
                names[change[3]] = change[4]

    def now(self):
        names = dict(self.names)
        for change in self.changes:
            self.apply(names, change)
        return names

    def chosen(self, choose):
        names = dict(self.names)
        for change in choose.changes(self.changes):
            self.apply(names, change)
        return names

    def settle(self, covered, limit):
        kept = []
        for change in self.changes:
            if covered(change[0]):
                self.apply(self.names, change)
            else:
                kept.append(change)
        self.changes = kept


class Disk:
    """The files below one directory, as the events of a trace change them."""

    def __init__(self):
        self.root = Directory()
        self.inodes = {}
        self.writes = {}  # id: (file, sequence)
        self.running = set()  # (file, sequence) of writes that were submitted and are not done
        self.syncs = {}  # id: (node, sequence before which everything counts, writes that are under way)
        self.sequence = 0

    def load(self, path, directory=None):
        """Begin with what is below `path`, all of it on the medium."""
        directory = directory or self.root
        for entry in os.scandir(path):
            if entry.is_dir(follow_symlinks=False):
                node = Directory()
                self.load(entry.path, node)
            else:
                node = File()
                node.sizes = [(0, entry.stat().st_size)]
                with open(entry.path, "rb") as file:
                    number = 0
                    while content := file.read(SECTOR):
                        if content.strip(b"\0"):
                            node.sectors[number] = [(0, content.ljust(SECTOR, b"\0"))]
                        number += 1
            directory.names[entry.name] = node
            self.inodes[entry.inode()] = node

    def place(self, path):
        """The directory that holds a path, and its name there."""
        directory = self.root
        *above, name = path.split("/")
        for part in above:
            directory = directory.now()[part]
        return directory, name

    def first_write_undecided(self):
        """Whether the begin of some file may be missing: that is what a reader looks at first."""
        return any(
            isinstance(node, File) and len(node.sectors.get(0, ())) > 1
            for directory in self.directories()
            for node in directory.now().values()
        )

    def directories(self, directory=None):
        directory = directory or self.root
        yield directory
        for node in directory.now().values():
            if isinstance(node, Directory):
                yield from self.directories(node)

    def apply(self, event):
        """One event; True when it changed what may be found after a power loss."""
        self.sequence += 1
        handler = getattr(self, "on_" + event.kind, None)
        if handler is None:
            return False
        handler(event)
        return event.kind != "sync_begin"

    def on_begin(self, event):
        self.inodes[event.inode] = self.root
        self.writes.clear()
        self.running.clear()
        self.syncs.clear()

    def on_write(self, event):
        file = self.inodes[event.inode]
        file.write(self.sequence, event.a, event.data)
        self.writes[event.id] = (file, self.sequence)
        if event.b:
            self.running.add((file, self.sequence))

    def on_store(self, event):
        self.inodes[event.inode].write(self.sequence, event.a, event.data)

    def on_write_done(self, event):
        file, sequence = self.writes[event.id]
        self.running.discard((file, sequence))
        if event.a:
            # So is the length, as far as the data needs it.
            file.settle(lambda other: other == sequence, self.sequence)

    def on_sync_begin(self, event):
        node = self.inodes[event.inode]
        running = {sequence for file, sequence in self.running if file is node}
        self.syncs[event.id] = (node, self.sequence, running)

    def on_sync_end(self, event):
        node, limit, running = self.syncs.pop(event.id)
        node.settle(lambda sequence: sequence < limit and sequence not in running, limit)

    def on_size(self, event):
        self.inodes[event.inode].resize(self.sequence, event.a)

    def link(self, event, node):
        directory, name = self.place(event.name)
        directory.changes.append((self.sequence, "link", name, node))

    def on_create(self, event):
        self.inodes[event.inode] = File()
        self.link(event, self.inodes[event.inode])

    def on_temporary(self, event):
        self.inodes[event.inode] = File()

    def on_directory(self, event):
        self.inodes[event.inode] = Directory()
        self.link(event, self.inodes[event.inode])

    def on_link(self, event):
        self.link(event, self.inodes[event.inode])

    def on_unlink(self, event):
        directory, name = self.place(event.name)
        directory.changes.append((self.sequence, "unlink", name))

    def on_rename(self, event):
        directory, name = self.place(event.name)
        target, other = self.place(event.other)
        if directory is not target:
            raise ValueError("a rename from one directory to another")
        directory.changes.append((self.sequence, "rename", name, other, directory.now()[name]))


class Choice:
    """Which of the possible contents of a medium: one for each power loss."""

    def __init__(self, data, names, random=None):
        self.data, self.names, self.random = data, names, random

    def __str__(self):
        return f"{self.data}/{self.names}"

    def changes(self, changes):
        if not changes or self.names == "none":
            return []
        if self.names == "all":
            return changes
        if self.names == "prefix":  # what a journal does
            return changes[: self.random.randint(0, len(changes))]
        return [change for change in changes if self.random.random() < 0.5]

    def version(self, versions, page_choice):
        if len(versions) == 1 or self.data == "none":
            return versions[0][1]
        if self.data == "all":
            return versions[-1][1]
        if self.data == "sectors":
            return self.random.choice(versions)[1]
        # Pages: one moment for all sectors of a page.
        found = versions[0]
        for candidate in versions:
            if candidate[0] <= page_choice:
                found = candidate
        return found[1]

    def content(self, file):
        """(length, [(sector, content)]) of one file."""
        size = self.version(file.sizes, self.moment(file.sizes))
        content = []
        moments = {}
        for number in sorted(file.sectors):
            versions = file.sectors[number]
            moment = None
            if self.data == "pages" and len(versions) > 1:
                page = number * SECTOR // PAGE
                if page not in moments:
                    moments[page] = self.moment(versions)
                moment = moments[page]
            data = self.version(versions, moment)
            if number * SECTOR < size and data != ZEROS:
                content.append((number, data))
        return size, content

    def moment(self, versions):
        return self.random.choice(versions)[0] if self.data == "pages" else 0


class Image:
    """A medium after a power loss: names and contents, all of them certain."""

    def __init__(self, disk, choice):
        self.entries = []  # (path, None) or (path, (size, [(sector, content)]))
        self.walk(disk.root, choice, "")

    def walk(self, directory, choice, prefix):
        for name, node in sorted(directory.chosen(choice).items()):
            path = prefix + name
            if isinstance(node, Directory):
                self.entries.append((path, None))
                self.walk(node, choice, path + "/")
            else:
                self.entries.append((path, choice.content(node)))

    def digest(self):
        hash = hashlib.blake2b(digest_size=16)
        for path, content in self.entries:
            hash.update(repr((path, content and content[0])).encode())
            for number, data in content[1] if content else ():
                hash.update(b"%d:" % number)
                hash.update(data)
        return hash.digest()

    def make(self, directory):
        os.makedirs(directory, exist_ok=True)
        for path, content in self.entries:
            full = os.path.join(directory, path)
            if content is None:
                os.mkdir(full, 0o700)
                continue
            size, sectors = content
            fd = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.ftruncate(fd, size)
                at = 0
                while at < len(sectors):
                    end = at + 1
                    while end < len(sectors) and sectors[end][0] == sectors[end - 1][0] + 1:
                        end += 1
                    start = sectors[at][0] * SECTOR
                    data = b"".join(data for _, data in sectors[at:end])
                    os.pwrite(fd, data[: size - start], start)
                    at = end
            finally:
                os.close(fd)

    def summary(self):
        return "\n".join(
            f"  {path}/" if content is None else f"  {path}: {content[0]} bytes, {len(content[1])} sectors with data"
            for path, content in self.entries
        )
