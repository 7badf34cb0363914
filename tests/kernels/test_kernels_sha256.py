"""SHA-256 sixteen at a time against OpenSSL's."""

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from idi_fast.kernels import sha256 as kernels
from oracle import sha256 as oracle


def hashes(messages: list[bytes]) -> list[bytes]:
    rows = np.frombuffer(b"".join(messages), np.uint8).reshape(len(messages), len(messages[0])).copy()
    out = np.full((len(messages), 32), 7, np.uint8)
    kernels.sha256_rows(rows, out)
    return [row.tobytes() for row in out]


# Around the lengths at which the padding asks for one block more, and numbers of rows that sixteen lanes leave over.
@settings(max_examples=examples(40))
@given(st.integers(1, 40), st.sampled_from([0, 1, 31, 55, 56, 63, 64, 65, 119, 120, 128, 200]), st.data())
def test_sha256_rows(n, length, data):
    messages = data.draw(st.lists(st.binary(min_size=length, max_size=length), min_size=n, max_size=n))
    assert hashes(messages) == oracle.sha256_rows(messages)


def test_the_example_of_the_standard():
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4's example
    assert [digest.hex() for digest in hashes([b"abc"] * 17)] == [abc] * 17


@pytest.mark.parametrize("rows", [1, 16, 33])
def test_rows_beyond_the_last_are_left_alone(rows):
    out = np.full((rows + 4, 32), 9, np.uint8)
    kernels.sha256_rows(np.zeros((rows, 3), np.uint8), out[:rows])
    assert (out[rows:] == 9).all()


def test_one_signature():
    if not hasattr(kernels.sha256_rows, "signatures"):
        return
    hashes([b"", b""])
    hashes([b"x" * 300])
    assert len(kernels.sha256_rows.signatures) == 1
