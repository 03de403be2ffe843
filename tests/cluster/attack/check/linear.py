# SPDX-License-Identifier: GPL-2.0-or-later
"""Linearizability of one object: is there an order of its operations, true to real time, in which each could have ended
as it did? A depth-first search after Wing and Gong that remembers where it was, as Lowe does.

Operations need begin, end (None: nobody knows whether and when it happened), and whatever the model looks at.
"""

NODES_MAX = 2_000_000


class Undecided(Exception):
    """The search grew too large; no verdict."""


def check(model, operations):
    """None, or the operations that no order explains: what was under way where the best order ended."""
    operations = sorted(operations, key=lambda operation: operation.begin)
    ends = [operation.end if operation.end is not None else float("inf") for operation in operations]
    must = sum(1 << number for number, end in enumerate(ends) if end != float("inf"))
    seen, stack = set(), [(0, model.initial)]
    best, best_mask = -1, 0
    while stack:
        done, state = stack.pop()
        if done & must == must:
            return None
        count = (done & must).bit_count()
        if count > best:
            best, best_mask = count, done
        # First what nothing has to precede: an operation may come next if it began before all that are left ended.
        horizon = float("inf")
        candidates = []
        number = (~done & (done + 1)).bit_length() - 1
        while number < len(operations) and operations[number].begin < horizon:
            if not done >> number & 1:
                candidates.append(number)
                horizon = min(horizon, ends[number])
            number += 1
        candidates.sort(key=lambda number: -ends[number])  # the one that ended first is tried first
        for number in candidates:
            if operations[number].begin >= horizon:
                continue
            for before in model.idle(state):
                for after in model.step(before, operations[number]):
                    place = (done | 1 << number, after)
                    if place not in seen:
                        if len(seen) >= NODES_MAX:
                            raise Undecided(f"{len(operations)} operations")
                        seen.add(place)
                        stack.append(place)
    left = [operation for number, operation in enumerate(operations) if must & ~best_mask & 1 << number]
    first = min(operation.end for operation in left)
    return [operation for operation in left if operation.begin <= first]
