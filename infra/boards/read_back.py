"""Reads boards with Grafana's own types (PyPI: grafana-foundation-sdk), and names what they lose of a file: a field that Grafana does not know.

Usage: read_back.py BOARD.json …; exit status 1 where something is lost.
"""

import json
import sys

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard


def lost(ours, theirs, path):
    """What is in the file, and not in what the types made of it."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key in theirs:
                yield from lost(value, theirs[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for at, (one, other) in enumerate(zip(ours, theirs)):
            yield from lost(one, other, f"{path}[{at}]")
    elif ours != theirs:
        yield path


def main(files):
    plugins.register_default_plugins()
    faults = 0
    for file in files:
        with open(file, encoding="utf-8") as text:
            ours = json.load(text)
        theirs = json.loads(JSONEncoder().encode(Dashboard.from_json(ours)))
        for path in lost(ours, theirs, ""):
            print(f"{file}: Grafana's types do not know {path}")
            faults += 1
    return faults > 0


sys.exit(main(sys.argv[1:]))
