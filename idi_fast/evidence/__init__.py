"""Evidence that published streams come from a table: fixed-point values, Merkle commitments, zero-knowledge proofs.

`fixed_point` makes whole numbers of a Q-table, `merkle` commits to them and opens single states, `zk` proves that
actions are greedy without showing any value. The cryptography is textbook, written for this package: not audited, and
not constant time, so that who can time the prover may learn of its secrets.
"""
