"""Tau specifications: their text, their clauses as data, and what the interpreter makes of them.

`formula` has the terms, `parsing` reads them, `spec` has whole specifications, `simulate` runs them.
"""
