"""Evidence that published streams come from a table: manifests, commitments, proofs, and what checks them.

`fixed_point` makes whole numbers of a Q-table, `merkle` commits to them and opens single states, `zk` proves that
actions are greedy without showing any value; `reference` has the forms of the reference, `manifest` and `published` the
folder that others get, `provers` what can be shown of it, `verify` all checks, `workflow` every step from a config on.
The cryptography is textbook, written for this package: not audited, and not constant time, so that who can time the
prover may learn of its secrets.
"""
