"""Evidence that published streams come from a table: manifests, commitments, proofs, and their verification.

`fixed_point` turns a Q-table into integers, `merkle` commits to them and opens single states, `zk` proves that
actions are greedy without showing any value; `reference` has the formats of the reference, `manifest` and `published`
the published folder, `provers` the kinds of proof, `verify` all checks, `workflow` every step from a config on.
The cryptography is textbook, written for this package: not audited, and not constant time, so that whoever can time
the prover may learn its secrets.
"""
