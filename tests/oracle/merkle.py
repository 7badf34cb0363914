"""Merkle trees as RFC 9162, section 2.1, defines them: by recursion over lists of leaf data."""

import hashlib


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def split(n: int) -> int:
    """The largest power of two below n."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def tree_hash(data: list[bytes]) -> bytes:
    """MTH of section 2.1.1."""
    if not data:
        return hashlib.sha256(b"").digest()
    if len(data) == 1:
        return leaf_hash(data[0])
    k = split(len(data))
    return node_hash(tree_hash(data[:k]), tree_hash(data[k:]))


def bound_root(root: bytes, size: int, actions: int, form: str) -> bytes:
    """What is published of a tree: its root with all that is to be known of the tree."""
    text = bytearray(b"idi-fast commitment" + 13 * b"\0")
    for number in (3, len(form), size, actions, 65536):
        text += bytes(number >> 8 * k & 255 for k in range(8))
    return hashlib.sha256(bytes(text) + form.encode("ascii") + root).digest()


def inclusion_path(m: int, data: list[bytes]) -> list[bytes]:
    """PATH of section 2.1.3.1."""
    if len(data) == 1:
        return []
    k = split(len(data))
    if m < k:
        return [*inclusion_path(m, data[:k]), tree_hash(data[k:])]
    return [*inclusion_path(m - k, data[k:]), tree_hash(data[:k])]


def root_of_path(m: int, size: int, leaf: bytes, path: list[bytes]) -> bytes | None:
    """The algorithm of section 2.1.3.2: the root that a leaf hash leads to, None where the path has another length."""
    if m >= size:
        return None
    fn, sn, r = m, size - 1, leaf
    for p in path:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    return r if sn == 0 else None


def multiproof(wanted: set[int], data: list[bytes], start: int = 0) -> list[tuple[int, int, bytes]]:
    """The largest subtrees without a wanted leaf, as (height, first leaf, hash): what no smaller set can do without.

    The height is that of the level at which a tree built from the leaves upward has the node: an odd last one goes up
    as it is, so it counts at the lowest level where it has a sibling.
    """
    inside = {m for m in wanted if start <= m < start + len(data)}
    if not inside or len(data) == 1:
        return []
    k = split(len(data))
    found = []
    for part, first in ((data[:k], start), (data[k:], start + k)):
        if not any(first <= m < first + len(part) for m in inside):
            found.append((k.bit_length() - 1, first, tree_hash(part)))
        found += multiproof(inside, part, first)
    return sorted(found)
