"""`python -m idi_fast` is `idi-fast`."""

from idi_fast.cli import main

main()
