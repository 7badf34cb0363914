"""Zero-knowledge proofs that the actions of a stream are greedy on a committed table. Not audited, not constant time.

**Proven:** for every tick of a public stream of states and actions, the action is the first best (hold, buy, sell) of
the state's row in one table, which the commitment binds. **Public:** the commitment (root and size), states, actions,
hence also what they reveal about the table: which action is best in each published state; the context that the proof is
bound to. **Hidden:** every value, by how much an action is better, and all of the other states.

**Assumed:** discrete logarithms in G1 of BLS12-381 are hard; the generators, hashes of their names (RFC 9380), have no
known relation; SHA-256 has no collisions, and SHA-512 behaves like a random oracle (Fiat & Shamir
1986). HMAC-SHA-512 of the seed looks random, and the seed is secret: whoever learns it can read the commitments.
There is no trusted set-up. It is not proven that a row holds values of Q16.16, only that no action other than the
proven one can be shown for its state.

Sources: Bünz, Bootle, Boneh, Poelstra, Wuille & Maxwell, Bulletproofs (2018), sections 3, 4.2 and 6; Pedersen (1991);
RFC 9162, section 2.1, for the tree; RFC 9380 for hashing to the curve. The curve is py_arkworks_bls12381's, the extra
`zk`; importing this package without it raises InputError.
"""

from idi_fast.evidence.zk.proof import commit_table, prove, verify

__all__ = ["commit_table", "prove", "verify"]
