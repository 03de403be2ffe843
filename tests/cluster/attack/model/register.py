# SPDX-License-Identifier: GPL-2.0-or-later
"""What one object of the cluster is to its clients.

A model has a state before the first operation, and `step`: the states that are possible after an operation that ended as
it did, none if it cannot have happened there. An operation whose outcome is unknown steps as one that happened. States
are hashable. `idle` gives the states that the object may come to by itself.
"""


class Switch:
    """A node that is cordoned, drained, or neither, and the revision of its record: a register whose every write has a
    version of its own. The state is the position, its revision, and a bound of it while that is not known."""

    def __init__(self, position="off", revision=0):
        self.initial = (position, revision, revision)

    def idle(self, state):
        return (state,)

    def step(self, state, operation):
        position, revision, floor = state
        if operation.f == "read":
            wanted, seen = operation.result
            if wanted != position:
                return ()
            return self.bind(state, seen)
        wanted = operation.value
        if wanted == "on" and position == "drain":  # to cordon ends no drain
            wanted = position
        if operation.type == "info":
            return (state,) if wanted == position else ((wanted, None, floor),)
        if wanted == position:  # nothing to do: it tells the revision that stands
            return self.bind(state, operation.result)
        return ((wanted, operation.result, operation.result),) if operation.result > floor else ()

    @staticmethod
    def bind(state, seen):
        position, revision, floor = state
        if revision is None:
            return ((position, seen, seen),) if seen > floor else ()
        return (state,) if seen == revision else ()


class Name:
    """A volume's name: a create is a compare-and-set from nobody to a new id, a delete lets the volume leave, and some
    time after that the name is nobody's again. The state is None or (id, leaving)."""

    initial = None

    def __init__(self, known=()):
        self.known = frozenset(known)  # ids that some create was answered with: no other create made them

    def idle(self, state):
        return (state, None) if state is not None and state[1] else (state,)

    def step(self, state, operation):
        if operation.f == "create":
            if operation.type == "fail":
                return (state,) if state is not None else ()
            if state is not None:
                return ()
            return ((operation.result if operation.type == "ok" else "?", False),)
        if operation.type == "fail":  # there is none
            return (state,) if state is None else ()
        if state is None:
            return ()
        id, leaving = state
        if operation.type == "info":  # a delete
            return ((id, True),)
        seen, seen_leaving = operation.result if operation.f == "read" else (operation.result, True)
        if id == "?" and seen not in self.known:
            id = seen
        if id != seen:
            return ()
        if operation.f == "read":
            return ((id, leaving),) if seen_leaving == leaving else ()
        return ((id, True),)


class Hosts:
    """The hosts that may use a volume: a set."""

    initial = frozenset()

    def idle(self, state):
        return (state,)

    def step(self, state, operation):
        if operation.f == "read":
            return (state,) if frozenset(operation.result) == state else ()
        if operation.f == "attach":
            return (state | {operation.value},)
        return (state - {operation.value},)
