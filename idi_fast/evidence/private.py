"""What must not be published: secret seeds, in a folder that nobody else may read."""

import os
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from idi_fast.config.settings import TrainingConfig
from idi_fast.errors import InputError
from idi_fast.evidence.merkle import SEED
from idi_fast.storage.exchange import rename_new
from idi_fast.storage.failures import explained, failure
from idi_fast.storage.staging import Staging
from idi_fast.storage.syncing import sync_file

SEED_BITS = 96
"""A seed of 128 random bits has fewer once in four thousand million times; that many cannot be tried."""
SALT, BLINDING = "salt.seed", "blinding.seed"
"""The secret files: the salts of a commitment's leaves, and what hides its values in zero-knowledge proofs."""


def guessable(config: TrainingConfig, seed: int) -> list[str]:
    """Why others may be able to train a hidden table again, a sentence each; none if nothing suggests it.

    A seed that only looks random, such as a date after a name, is not noticed.
    """
    reasons, bits = [], abs(seed).bit_length()
    if bits < SEED_BITS:
        reasons.append(
            f"the seed can be guessed: it has {bits} bits, and whoever tries all of them trains the same policy; "
            "train with a seed of 128 random bits (python -c 'import secrets; print(secrets.randbits(128))')"
        )
    if config.environment.kind != "history":
        reasons.append(
            f"the {config.environment.kind} environment is simulated: its data is public by construction, and a "
            "guessed seed is confirmed by the first ticks of the trace; nothing but the seed hides the table"
        )
    return reasons


def private_folder(folder: Path, published: Iterable[Path], read: Iterable[Path] = ()) -> Path:
    """The folder of secrets, created with mode 700 if it does not exist.

    published: folders for publication; read: artifacts, which may lie in it. Raises InputError if it lies in one of
    either, or a published one in it, and if others than its owner may read it.
    """
    own = Path(os.path.realpath(folder))
    for other in published:
        place = Path(os.path.realpath(other))
        if own.is_relative_to(place) or place.is_relative_to(own):
            raise InputError(f"`private` is {folder}, and {other} is published; expected folders apart from each other")
    for other in read:
        if own.is_relative_to(os.path.realpath(other)):
            raise InputError(f"`private` is {folder}, within {other}; an artifact holds nothing but its own files")
    try:
        os.makedirs(own, mode=0o700, exist_ok=True)
        mode = stat.S_IMODE(os.stat(own).st_mode)
    except OSError as error:
        raise failure(folder, error, "nothing was made") from error
    # Only on POSIX the bits mean something.
    if os.name == "posix" and mode & 0o077:
        raise InputError(f"`private` is {folder}, whose mode is {mode:o}; expected 700, so that nobody else reads it")
    return folder


def secret_seed(folder: Path, name: str, *, make: bool) -> bytes:
    """The secret seed of a private folder, SEED bytes.

    make: whether to draw it from the system if it does not exist yet, into a file of mode 600. One seed serves any
    number of tables, since everything derived from it depends on the table too. Raises InputError, OutputError.
    """
    path = folder / name
    if make and not os.path.lexists(path):
        with Staging() as staging, explained(path):
            made = staging.reserve(path)
            handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(SEED))
            sync_file(made)
            with suppress(FileExistsError):  # another process has just drawn one, which serves as well
                rename_new(made, path)
    try:
        seed = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"no secret seed at {path}: {error.strerror or error}; give the folder it was made in"
        ) from None
    if len(seed) != SEED:
        raise InputError(f"{path} has {len(seed)} bytes; expected a secret seed of {SEED}")
    return seed
