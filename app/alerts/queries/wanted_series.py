"""SQL of which series meet wants, and which wants are met already by what their owners hold."""

from sqlalchemy import column, select, table
from sqlalchemy.dialects import postgresql

from app.portfolios.queries.wants import IS_FULFILLED, WORDS
from app.portfolios.wish_models import Want

_CONSIDERED = table("considered", column("want_id"))
# Those of the wants in `considered` that are fulfilled.
FULFILLED_WANTS = str(
    select(Want.id)
    .where(Want.id.in_(select(_CONSIDERED.c.want_id)), IS_FULFILLED)
    .compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})  # type: ignore[no-untyped-call]
)
_RANKS = ", ".join(f"('{words}', {rank})" for rank, known in enumerate(WORDS.values()) for words in known)


def _rank(told: str) -> str:
    return f"""
        (
            SELECT known.rank FROM (VALUES {_RANKS}) AS known (words, rank)
            WHERE known.words = trim(regexp_replace(lower({told}), '[^a-z]+', ' ', 'g'))
        )
    """  # noqa: S608  # our own words


# Whether a `variant` meets a `want` of some condition: its key or its name may tell one; one that tells none does.
IS_GOOD_ENOUGH = f"""
    (
        want.minimum_condition IS NULL
        OR coalesce({_rank("variant.key")}, {_rank("variant.name")}, 0) <= {_rank("want.minimum_condition")}
    )
"""
# The variants that meet each want in `wanted`, whatever its condition.
MATCHED_VARIANTS = """
    SELECT wanted.want_id, wanted.variant_id FROM wanted
    UNION
    SELECT wanted.want_id, variant.id
    FROM wanted
    JOIN catalogue.item_variants AS own ON own.id = wanted.variant_id
    JOIN catalogue.item_variants AS variant ON variant.item_id = own.item_id
    WHERE wanted.accepts_any_print
    UNION
    SELECT wanted.want_id, variant.id
    FROM wanted
    JOIN catalogue.item_variants AS own ON own.id = wanted.variant_id
    JOIN catalogue.cards AS card ON card.item_id = own.item_id
    JOIN catalogue.cards AS print ON print.oracle_id = card.oracle_id AND print.game = card.game
    JOIN catalogue.item_variants AS variant ON variant.item_id = print.item_id
    WHERE wanted.accepts_any_print
"""
