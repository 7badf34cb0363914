"""The study of planned tables: all of it runs."""

import pytest

from idi_fast.bench import planning


@pytest.mark.parametrize("title", planning.PARTS)
def test_every_part_runs(title):
    text = planning.PARTS[title](planning.Sizes.smallest())
    assert text.startswith("| ")
    assert "nan" not in text
