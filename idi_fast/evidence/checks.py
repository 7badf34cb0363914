"""What a verification says of each thing: what it was checked against, how it came out, what had to be trusted."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from idi_fast.errors import InputError

OK, FAILED, NOT_CHECKED = "ok", "failed", "not checked"


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    what, against: in a few words; outcome: "ok", "failed" or "not checked"; found: figures, or the reason; trusted:
    what the outcome rests on besides the folder itself.
    """

    what: str
    against: str
    outcome: str
    found: str = ""
    trusted: str = ""

    def as_dict(self) -> dict[str, str]:
        """As JSON values."""
        return asdict(self)


def attempt(what: str, against: str, work: Callable[[], str], trusted: str = "") -> Check:
    """Do some checking, which says what it found or raises InputError with what is wrong."""
    try:
        return Check(what, against, OK, work(), trusted)
    except InputError as error:
        return Check(what, against, FAILED, str(error), trusted)
