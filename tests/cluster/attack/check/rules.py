# SPDX-License-Identifier: GPL-2.0-or-later
"""What must be so in every history. Each function takes events or operations and returns the sentences that say what is
wrong; none means that all is well."""

from collections import defaultdict

from check import linear
from model.register import Hosts, Name, Switch
from traffic.history import operations

MUTATIONS = ("create", "delete", "write", "attach", "detach")


def merge(found):
    """An operation and its repetitions under the same request id are one: it began with the first, and one of them that
    came back says what became of it."""
    by_request, merged = {}, []
    for operation in found:
        first = by_request.get(operation.request) if operation.request else None
        if first is None:
            merged.append(operation)
            if operation.request:
                by_request[operation.request] = operation
        elif first.type == "info" and operation.type == "ok":
            first.type, first.result, first.end = "ok", operation.result, operation.end
    return merged


def objects(events):
    """The operations on each object, as its model wants them."""
    found = operations(events)
    # A list reads every name at once. (Before the merge: it changes operations.)
    lists = [operation for operation in found if operation.f == "list" and operation.type == "ok"]
    keyed = defaultdict(list)
    for operation in merge(found):
        kind = (operation.key or "").split(":")[0]
        if kind not in ("name", "switch", "hosts"):
            continue
        if operation.type == "info" and operation.f == "read":
            continue
        if operation.type == "fail" and operation.code is None:
            continue
        if operation.f in ("create", "delete") and operation.type == "ok":
            operation.result = operation.result[0]
        keyed[operation.key].append(operation)
    for key, list_ in keyed.items():
        if key.startswith("name:"):
            list_ += [read_of(operation, key) for operation in lists]
    return keyed


class Read:
    """What a list says of one name."""

    f = "read"
    value = request = error = None
    again = False

    def __init__(self, operation, key, type, result):
        self.process, self.begin, self.end = operation.process, operation.begin, operation.end
        self.key, self.type, self.result = key, type, result

    def __repr__(self):
        return f"{self.process}: list, {self.key} -> {self.type} {self.result} [{self.begin}, {self.end}]"


def read_of(operation, key):
    name = key.split(":", 1)[1]
    for volume in operation.result:
        if volume["name"] == name:
            return Read(operation, key, "ok", [volume["id"], volume["leaving"]])
    return Read(operation, key, "fail", None)


def linearizable(events, initial):
    """`initial`: where each switch stood before the first operation."""
    wrong = []
    for key, found in sorted(objects(events).items()):
        kind, name = key.split(":", 1)
        if kind == "name":
            model = Name(o.result for o in found if o.f == "create" and o.type == "ok")
        elif kind == "switch":
            model = Switch(*initial[name])
        else:
            model = Hosts()
        try:
            left = linear.check(model, found)
        except linear.Undecided as error:
            wrong.append(f"{key}: no verdict, {error}")
            continue
        if left is not None:
            wrong.append(f"{key} is not linearizable; no order explains:\n    " + "\n    ".join(map(repr, left)))
    return wrong


def once(events):
    """A request id acts once: whoever repeats it is told what the first was told, and never that it cannot be done."""
    wrong, first = [], {}
    for operation in sorted(
        (o for o in operations(events) if o.request and o.end is not None), key=lambda operation: operation.end
    ):
        known = first.get(operation.request)
        if operation.type == "ok":
            if known is None:
                first[operation.request] = operation
            elif known.result != operation.result:
                wrong.append(f"a request id acted twice:\n    {known!r}\n    {operation!r}")
        elif known is not None and operation.begin > known.end and "not connected" not in (operation.error or ""):
            if not operation.error.startswith(("UNAVAILABLE", "DEADLINE")):
                wrong.append(f"what was done is refused when it is repeated:\n    {known!r}\n    {operation!r}")
    return wrong


def unique(events):
    """Of one id there is one volume, with one name, and no two volumes of a list share a name, an id or an extent."""
    wrong, names, makers = [], {}, {}
    for operation in operations(events):
        if operation.type != "ok":
            continue
        if operation.f == "create":
            id = operation.result[0]
            maker = makers.setdefault(id, operation)
            if maker is not operation and (maker.request is None or maker.request != operation.request):
                wrong.append(f"{id} was made twice:\n    {maker!r}\n    {operation!r}")
        if operation.f == "list":
            wrong += list_check(operation, names)
    return wrong


def list_check(operation, names):
    wrong = []
    for what in ("id", "name", "uuid"):
        values = [volume[what] for volume in operation.result]
        for value in {value for value in values if values.count(value) > 1}:
            wrong.append(f"{what} {value} is there twice, in the list at {operation.end}")
    owners = {}
    for volume in operation.result:
        if names.setdefault(volume["id"], volume["name"]) != volume["name"]:
            wrong.append(f"{volume['id']} is called {names[volume['id']]} and {volume['name']}")
        for disk, extents in volume["extents"]:
            for extent in extents:
                owner = owners.setdefault((disk, extent), volume["id"])
                if owner != volume["id"]:
                    wrong.append(f"extent {extent} of {disk} is owned by {owner} and {volume['id']}")
    return wrong


def never_back(found, bounds, what):
    """What is seen by operations that begin later is never lower than what was seen before; nor than `bounds`, which
    need not be in order themselves."""
    wrong, highest, floors = [], None, {}
    points = [(operation.begin, 0, operation) for operation in found]
    points += [(operation.end, 1, operation) for operation in found + bounds]
    # An operation that began at the moment another ended did not begin after it.
    for _, ended, operation in sorted(points, key=lambda point: point[:2]):
        if not ended:
            floors[id(operation)] = highest
            continue
        floor = floors.get(id(operation))
        if floor is not None and seen(operation) < seen(floor):
            wrong.append(f"{what} went back:\n    {floor!r}\n    {operation!r}")
        if highest is None or seen(operation) > seen(highest):
            highest = operation
    return wrong


def seen(operation):
    return operation.result[1] if isinstance(operation.result, list) else operation.result


def revisions(events):
    """The state's revision never goes back for who asks, and is never below what a change was answered with."""
    found = [operation for operation in operations(events) if operation.type == "ok"]
    reads = [operation for operation in found if operation.f == "revision"]
    return never_back(reads, [operation for operation in found if operation.f in MUTATIONS], "the revision")


def leases(events):
    """No heartbeat that was sent after a later leader gave a lease is answered by an earlier one."""
    found = [o for o in operations(events) if o.f == "lease" and o.type == "ok"]
    return never_back(found, [], "the term of who gives leases")


def streams(events):
    """Who watches sees every event once, in order: what all its answers hold is the beginning of what the leader lists at
    the end. Before the end the answers alone must be in order."""
    wrong, seen_by, whole = [], defaultdict(list), None
    for operation in operations(events):
        if operation.type == "ok" and operation.f == "watch":
            seen_by[operation.value[0]].append(operation)
        elif operation.type == "ok" and operation.f == "events":
            whole = operation.result
    for answers in seen_by.values():
        found, last = [], None
        for answer in answers:
            for event in answer.result:
                if last is not None and event[:2] <= last[:2]:
                    wrong.append(f"an event comes again, or late, behind {last}:\n    {answer!r}")
                last = event
            found += answer.result
        if whole is None:
            continue
        # The oldest ones may have been dropped.
        found = [event for event in found if not whole or event[0] >= whole[0][0]]
        for index, event in enumerate(found):
            if index >= len(whole) or event != whole[index]:
                missed = whole[index] if index < len(whole) else None
                wrong.append(f"{answers[0].value[0]} was told of {event}; what happened then is {missed}")
                break
    return wrong


def all_rules(events, initial):
    """(rule, sentence) of everything that is wrong."""
    wrong = [("linearizable", sentence) for sentence in linearizable(events, initial)]
    for rule in (once, unique, revisions, leases, streams):
        wrong += [(rule.__name__, sentence) for sentence in rule(events)]
    return wrong
