"""One policy of the policies of several seeds."""

from collections.abc import Sequence

import numpy as np

from idi_fast.agents.certainty import Certainty
from idi_fast.agents.policy import Policy
from idi_fast.errors import InputError


def combine(policies: Sequence[Policy], how: str) -> Policy:
    """One policy of several of one config, whose seed is the first's.

    how: "mean": the mean of their values; "vote": the value of an action is the share of them of which it is the best,
    in each state of those that came to it. Raises InputError where a state is not the same to all of them, because they
    have other bucket edges, or for votes on the tiles of a tile coder, of which no single one is a state.
    """
    first = policies[0]
    edges = None if first.encoder is None else first.encoder.to_dict()
    for other in policies[1:]:
        if (None if other.encoder is None else other.encoder.to_dict()) != edges:
            raise InputError(
                f"the policies of seeds {first.seed} and {other.seed} have other bucket edges, fitted to the bars that "
                "each drew: a state of one is not that of the other; combine policies of one history"
            )
    if how == "vote" and first.layout.tiling is not None:
        raise InputError("the policies have a tile coder, whose tiles are no states to vote on; combine by 'mean'")
    counts = [policy.counts for policy in policies if policy.counts is not None]
    combined = _mean if how == "mean" else _votes
    return Policy(
        config=first.config,
        seed=first.seed,
        space=first.space,
        encoder=first.encoder,
        q=combined([policy.q for policy in policies], [policy.visits for policy in policies]),
        comm_q=combined([policy.comm_q for policy in policies], [policy.visits for policy in policies]),
        visits=np.sum([policy.visits for policy in policies], axis=0),
        trained_on=first.trained_on,
        counts=np.sum(counts, axis=0) if len(counts) == len(policies) else None,
        certainty=_certainty([policy.certainty for policy in policies], are_votes=how == "vote"),
    )


def _mean(tables: Sequence[np.ndarray], visits: Sequence[np.ndarray]) -> np.ndarray:
    return np.mean(tables, axis=0)


def _votes(tables: Sequence[np.ndarray], visits: Sequence[np.ndarray]) -> np.ndarray:
    votes, rows = np.zeros_like(tables[0]), np.arange(tables[0].shape[0])
    for table, seen in zip(tables, visits, strict=True):
        # The first best of equals is what the policy does.
        votes[rows, np.argmax(table, axis=1)] += seen > 0
    voters = np.sum([seen > 0 for seen in visits], axis=0)[:, np.newaxis]
    return np.divide(votes, voters, out=votes, where=voters > 0)


def _certainty(found: Sequence[Certainty | None], *, are_votes: bool) -> Certainty | None:
    """Resamples of the same bars have the same errors, shares of votes none; None for learnt policies."""
    known = [each for each in found if each is not None]
    if not known:
        return None
    agreements = [each.agreement for each in known if each.agreement is not None]
    errors = np.full_like(known[0].errors, np.inf) if are_votes else known[0].errors
    optimisms = [each.optimism for each in known if each.optimism is not None]
    return known[0]._replace(
        errors=errors,
        agreement=np.mean(agreements, axis=0) if agreements else None,
        optimism=float(np.mean(optimisms)) if optimisms else None,
    )
