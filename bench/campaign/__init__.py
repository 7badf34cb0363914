"""The campaign behind `python -m idi_fast.bench.campaign`: what idi-fast does with damaged input, faults and signals.

A part is a function of one trial, which `runner` calls again and again: `configs`, `prices`, `artifacts` and
`specifications` hand mutated input to commands that a `worker` runs; `kills`, `disks`, `signals` and `writers` disturb
commands that write. A trial draws everything from its number and the seed, and ends with a verdict (`trial`).
"""
