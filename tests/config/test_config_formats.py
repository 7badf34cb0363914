"""A setting that is added later changes no fingerprint of before, unless it is set."""

from dataclasses import dataclass

import pytest

from idi_fast.config.block import Block, setting
from idi_fast.config.settings import TrainingConfig

DEFAULT = "b1dace6c74dc452b6ad7a554abcdb79da2e4357821229fbf0ac1ec452deb8665"


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience(Block):
    """A block of a later format, to which a still later one has added."""

    episodes: int = setting(10, "Episodes.", since=2)
    gain: float = setting(0.5, "Gain.", since=3)


@dataclass(frozen=True, kw_only=True, slots=True)
class Learning(Block):
    """A block of the first format with later settings of every kind."""

    rate: float = setting(0.1, "Rate.")
    warmup: int = setting(3, "Warm-up.", since=2)
    names: tuple[str, ...] = setting(("a", "b"), "Names.", since=2)
    limit: int | None = setting(None, "Limit; null is ten times the warm-up.", since=3, derive=lambda b: 10 * b.warmup)
    patience: Patience = setting(Patience, "Patience.", since=2)
    other: Patience | None = setting(None, "Other.", since=2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Later(TrainingConfig):
    """Today's config and what a later version could add."""

    inner: Learning = setting(Learning, "Inner.", since=2)
    seed_offset: int = setting(0, "Offset.", since=2)


def test_a_later_setting_at_its_default_leaves_the_fingerprint():
    assert Later().fingerprint() == TrainingConfig().fingerprint()
    given = {"inner": {"rate": 0.1, "patience": {"gain": 0.5}}, "seed_offset": 0}
    assert Later.from_dict(given).fingerprint() == TrainingConfig().fingerprint()
    assert Later.from_dict(given).to_dict()["inner"]["patience"] == {"episodes": 10, "gain": 0.5}
    assert Later(episodes=7).fingerprint() == TrainingConfig(episodes=7).fingerprint()


@pytest.mark.parametrize(
    "change",
    [
        {"seed_offset": 1},
        {"inner.rate": 0.2},
        {"inner.warmup": 4},
        {"inner.names": ["b", "a"]},
        {"inner.limit": 31},
        {"inner.patience.gain": 0.25},
        {"inner.patience.episodes": 9},
        {"inner.other": {}},
    ],
)
def test_any_other_value_changes_it(change):
    later = Later.from_dict({}, change)
    assert later.fingerprint() != TrainingConfig().fingerprint()
    assert Later.from_dict(later.canonical()) == later


def test_the_canonical_form_has_the_first_format_and_what_was_set_of_later_ones():
    assert Learning().canonical() == {"rate": 0.1}
    assert Learning(warmup=4).canonical() == {"rate": 0.1, "warmup": 4}
    assert Learning(warmup=4, limit=30).canonical() == {"rate": 0.1, "warmup": 4, "limit": 30}
    assert Learning(patience=Patience(gain=1)).canonical() == {"rate": 0.1, "patience": {"gain": 1.0}}
    assert Learning(other=Patience()).canonical() == {"rate": 0.1, "other": {}}


def test_the_settings_of_today_are_of_the_first_format():
    """A setting that is added declares since which format: else every earlier artifact would fail to verify."""
    assert TrainingConfig().fingerprint() == DEFAULT
