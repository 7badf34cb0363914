"""The rows of a verdict: a claim, what it was checked against, who must be trusted, the result."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from idi_fast.errors import Cancelled, EvidenceError, InputError, printable

HOLDS, FAILS, NOT_CHECKED = "holds", "fails", "not checked"

CLAIMS = {
    "manifest": "the folder is whole: its files are those of the manifest",
    "format": "the format binds what is published together",
    "config": "the policy was trained with this config and data",
    "streams": "the streams are well formed, and those of the trace",
    "actions": "each action of the trace is the greedy one in its state",
    "signals": "the streams of states and decisions follow from those of the trace",
    "states": "states, market streams and closes are those of the bars",
    "communications": "each communication of the trace is the greedy one in its state",
    "figures": "the figures are the results of this run",
    "commitment": "the commitment is to the values of this policy, cut off to 1/65536",
    "root": "the commitment is the one that was published before",
    "digest": "the digest is that of manifest and streams",
    "replay": "training again makes these files",
    "zk": "the proof holds for this commitment, trace, config and data",
    "command": "the outside proof holds",
    "proof": "there is the proof that the manifest names",
    "spec": "the specification is the contract's, and comes from these streams",
    "others": "all that is published here is covered by a claim",
}
"""All claims, by the names that `--require` takes. A folder makes some of them."""


class Unchecked(str):
    """The explanation for a claim of which nothing was shown."""


class CannotCheck(EvidenceError):
    """A claim cannot be checked without what the reader has not given; the text names it."""


@dataclass(frozen=True)
class Claim:
    """One row of a verdict.

    name: of CLAIMS; against: what it was checked against; result: `HOLDS`, `FAILS` or `NOT_CHECKED`; found: figures, or
    the reason; trusted: what a result depends on besides the folder itself.
    """

    name: str
    against: str
    result: str
    found: str = ""
    trusted: str = ""

    def __post_init__(self):
        # Names and texts from others must not break out of their row.
        object.__setattr__(self, "found", printable(self.found))

    @property
    def claim(self) -> str:
        """In words."""
        return CLAIMS[self.name]

    @property
    def failure(self) -> str:
        """What failed, in a sentence."""
        label = f"proof ({self.name})" if self.name in PROOFS else self.name
        return self.found if self.found.startswith(label) else f"{label}: {self.found}"

    def as_dict(self) -> dict[str, str]:
        """As JSON values."""
        return {"claim": self.claim, **asdict(self)}


PROOFS = ("digest", "replay", "zk", "command")


def attempt(name: str, against: str, work: Callable[[], str], trusted: str = "") -> Claim:
    """Run a check, which returns its findings, or `Unchecked` if they show nothing, or raises InputError with what is
    wrong, CannotCheck with what is missing. Any other failure that a hostile folder causes fails the claim as well."""
    try:
        found = work()
    except CannotCheck as error:
        return Claim(name, against, NOT_CHECKED, str(error), trusted)
    except InputError as error:
        return Claim(name, against, FAILS, str(error), trusted)
    except Cancelled:
        raise
    except Exception as error:  # noqa: BLE001 -- a verdict on a hostile folder fails closed, and says so
        return Claim(name, against, FAILS, f"{BROKEN} ({type(error).__name__}: {str(error)[:200]})", trusted)
    if isinstance(found, Unchecked):
        return Claim(name, against, NOT_CHECKED, str(found), trusted)
    return Claim(name, against, HOLDS, found, trusted)


BROKEN = "what the folder holds cannot be checked"
"""Prefix of a failure that no check foresaw."""
