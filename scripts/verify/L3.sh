#!/usr/bin/env bash
# L3: scripted runs, healthy and sick, with parameters from a fresh seed: the verdict names what is the matter, and no run that the
# generator spoiled passes a gate. Control: the threshold alone, which a starved generator meets.
exec "$(dirname "$0")/truth.sh" l3
