"""What several runs over the same bars share: computed series of features, and encoded bars."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from idi_fast.config.feature_columns import feature_sizes
from idi_fast.config.settings import TrainingConfig

SHARED_BYTES = 2**29
"""Of what is kept of the features of a history: sixteen of them over 4 million bars."""
Value = TypeVar("Value")


class Shared(Generic[Value]):
    """Values that are made once, for whoever asks for the same key; threads that ask at once wait for one of them.

    most: the total size up to which values are kept, the last used; size: of a value, by default 1 for each.
    """

    def __init__(self, most: int, size: Callable[[Value], int] = lambda value: 1):
        self._most, self._size = most, size
        self._lock = threading.Lock()
        self._turns: dict[Hashable, threading.Lock] = {}
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key, by `make` if it is not there."""
        with self._lock:
            turn = self._turns.setdefault(key, threading.Lock())
        with turn:
            with self._lock:
                if key in self._values:
                    self._values.move_to_end(key)
                    return self._values[key]
            made = make()
            with self._lock:
                self._values[key] = made
                while sum(map(self._size, self._values.values())) > self._most:
                    self._values.popitem(last=False)
            return made


def encoding_key(config: TrainingConfig) -> Hashable:
    """What encoded bars follow from besides the history: configs of equal keys see the same bars, by the same edges.

    Whole blocks, of which a part may not matter: a wrong key would be worse than one run more.
    """
    return config.environment, config.rewards, config.features, tuple(feature_sizes(config).items())
