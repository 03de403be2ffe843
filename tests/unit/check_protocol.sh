#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# docs/PROTOCOL.md holds the tables that the schema prints, word for word.
set -eu
tables=$(mktemp) document=$(mktemp)
trap 'rm -f "$tables" "$document"' EXIT
"$1" >"$tables"
sed -n '/<!-- tables: begin -->/,/<!-- tables: end -->/p' "$2" | sed '1d;$d' >"$document"
[ -s "$tables" ] || { echo "the schema printed nothing"; exit 1; }
diff -u "$document" "$tables" || { echo "run ./dev docs, which puts the tables into docs/PROTOCOL.md"; exit 1; }
