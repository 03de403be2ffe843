# SPDX-License-Identifier: GPL-2.0-or-later
"""A picture of an attack: a row for each process, a bar for each operation, a band for each fault."""

import html

from traffic.history import operations

ROW = 14
LEFT = 170
WIDTH_MIN, WIDTH_MAX, PER_SECOND = 1100, 24000, 140
COLOURS = {"ok": "#3a8f4d", "fail": "#c9a227", "info": "#c0392b"}
STYLE = """
body { font: 13px sans-serif; margin: 20px; color: #222 }
pre { background: #f6f6f6; padding: 10px; overflow-x: auto }
.picture { overflow-x: auto; border: 1px solid #ccc }
text { font: 10px sans-serif }
table { border-collapse: collapse } td, th { padding: 2px 12px 2px 0; text-align: left }
"""


def faults(events, last):
    """(begin, end, name, what) of each fault."""
    found, open_ = [], {}
    for event in events:
        if event["f"] != "fault":
            continue
        if event["type"] == "invoke":
            open_[event["value"], event["process"]] = event
        else:
            begun = open_.pop((event["value"], event["process"]), None)
            if begun is not None:
                found.append((begun["time"], event["time"], event["value"], begun.get("victims", [])))
    return found + [(event["time"], last, event["value"], event.get("victims", [])) for event in open_.values()]


class Picture:
    def __init__(self, events):
        self.first = events[0]["time"] if events else 0
        self.last = max((event["time"] for event in events), default=1)
        seconds = max((self.last - self.first) / 1e9, 0.1)
        self.width = int(min(max(seconds * PER_SECOND, WIDTH_MIN), WIDTH_MAX))
        self.seconds = seconds
        self.operations = [operation for operation in operations(events) if operation.f not in ("fault", "lease")]
        self.faults = faults(events, self.last)
        self.rows = {}
        # A client is one row, as whatever process it goes on.
        for operation in self.operations:
            self.rows.setdefault(self.client(operation), len(self.rows))
        self.fault_rows = 1 + max((self.lane(number) for number in range(len(self.faults))), default=0)

    @staticmethod
    def client(operation):
        return operation.process.rsplit(".", 1)[0]

    def lane(self, number):
        """The row of a fault: the first on which no earlier one stands."""
        begin = self.faults[number][0]
        taken = {self.lane(other) for other in range(number) if self.faults[other][1] > begin and number - other < 8}
        return next(lane for lane in range(9) if lane not in taken)

    def x(self, time):
        return LEFT + (time - self.first) / 1e9 / self.seconds * (self.width - LEFT - 10)

    def svg(self):
        top = 20 + self.fault_rows * ROW
        height = top + (len(self.rows) + 1) * ROW
        lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{height}">']
        step = max(1, int(self.seconds / (self.width / 80)))
        for second in range(0, int(self.seconds) + 1, step):
            x = self.x(self.first + second * 1e9)
            lines.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="14" y2="{height}" stroke="#ddd"/>')
            lines.append(f'<text x="{x:.1f}" y="10">{second} s</text>')
        for number, (begin, end, name, victims) in enumerate(self.faults):
            x, w, y = self.x(begin), max(self.x(end) - self.x(begin), 1), 18 + self.lane(number) * ROW
            title = html.escape(f"{name}: {', '.join(victims)}")
            lines.append(
                f'<rect x="{x:.1f}" y="18" width="{w:.1f}" height="{height - 18}" fill="#8e44ad" opacity="0.07"/>'
                f'<rect x="{x:.1f}" y="{y}" width="{w:.1f}" height="{ROW - 3}" fill="#8e44ad" opacity="0.5">'
                f'<title>{title}</title></rect><text x="{x + 2:.1f}" y="{y + 9}">{html.escape(name)}</text>'
            )
        for name, row in self.rows.items():
            lines.append(f'<text x="4" y="{top + row * ROW + 10}">{html.escape(name)}</text>')
        for operation in self.operations:
            end = operation.end if operation.end is not None else self.last
            if operation.end is None:
                end = min(self.last, operation.begin + 1e9)  # nobody knows; a stump
            x, w = self.x(operation.begin), max(self.x(end) - self.x(operation.begin), 0.8)
            y = top + self.rows[self.client(operation)] * ROW
            lines.append(
                f'<rect x="{x:.1f}" y="{y}" width="{w:.1f}" height="{ROW - 3}" fill="{COLOURS[operation.type]}" '
                f'opacity="0.75"><title>{html.escape(repr(operation))}</title></rect>'
            )
        return "\n".join(lines + ["</svg>"])


def write(path, title, facts, wrong, events):
    """`facts`: [(name, value)]; `wrong`: sentences, none if all is well."""
    picture = Picture(events)
    rows = "".join(f"<tr><th>{html.escape(str(k))}</th><td>{html.escape(str(v))}</td></tr>" for k, v in facts)
    verdict = f"<pre>{html.escape(chr(10).join(wrong))}</pre>" if wrong else "<p>Nothing is wrong.</p>"
    with open(path, "w") as file:
        file.write(
            f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title><style>{STYLE}</style>"
            f"<h1>{html.escape(title)}</h1><table>{rows}</table>{verdict}"
            "<p>Violet: a fault stands. Green: done. Yellow: refused, without effect. Red: nobody knows.</p>"
            f'<div class="picture">{picture.svg()}</div>\n'
        )
