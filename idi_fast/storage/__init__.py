"""Everything that puts outputs on a disk: they appear whole or not at all, whatever happens to the process."""
