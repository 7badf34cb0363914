"""`idi-fast lab`: the library in a browser, on this machine; needs Dash, of the extra `lab`."""

from idi_fast.errors import InputError

try:
    import dash  # noqa: F401
except ImportError:
    raise InputError("the lab needs Dash; install it with: pip install 'idi-fast[lab]'") from None
