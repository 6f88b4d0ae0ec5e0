"""Who asks about a world: anybody, its people by sessions and tokens, its staff, and those who claim too much."""

from random import Random
from uuid import UUID

from app.identity.models import RoleGrant, User
from app.identity.scopes import GRANTABLE, OWN, Scope
from app.identity.viewer import ANYONE, Viewer
from tests.graph.oracle.people import holds
from tests.graph.oracle.rows import World, any_key
from tests.identity.builders import PARTNER


def any_viewer(random: Random, world: World) -> Viewer:
    """Anyone, the partner, or somebody of the world by a credential that may or may not say the truth."""
    chance = random.random()
    if chance < 0.15:
        return ANYONE
    people: list[UUID] = world.column(User, "id")
    if chance < 0.3 or not people:
        return PARTNER
    user_id = any_key(random) if chance < 0.33 else random.choice(people)
    granted = granted_scopes(world, user_id)
    if chance < 0.65:
        return _with_session(random, user_id, granted)
    if chance < 0.8:
        return _with_api_token(random, user_id, granted)
    if chance < 0.9:
        return _with_session(random, _staff(random, world) or user_id, frozenset(GRANTABLE))
    # A token that was right once, or never: what it says has been taken back, or was not given.
    lost = {row["user_id"]: row for row in world.rows[RoleGrant] if not holds(row)}
    if lost and chance < 0.95:
        user_id = random.choice(sorted(lost))
        return _with_session(random, user_id, frozenset(map(Scope, lost[user_id]["permissions"])))
    return _with_session(random, user_id, frozenset(random.sample(sorted(GRANTABLE), 3)))


def granted_scopes(world: World, user_id: UUID | None) -> frozenset[Scope]:
    """What somebody's grants let them do at this moment."""
    grants = [row for row in world.rows[RoleGrant] if row["user_id"] == user_id and holds(row)]
    return frozenset(Scope(permission) for row in grants for permission in row["permissions"])


def _staff(random: Random, world: World) -> UUID | None:
    staff = sorted({row["user_id"] for row in world.rows[RoleGrant] if row["permissions"]})
    return random.choice(staff) if staff else None


def _with_session(random: Random, user_id: UUID, granted: frozenset[Scope]) -> Viewer:
    return Viewer(user_id=user_id, credential_id=any_key(random), scopes=OWN | granted, is_session=True)


def _with_api_token(random: Random, user_id: UUID, granted: frozenset[Scope]) -> Viewer:
    possible = sorted(OWN | granted)
    scopes = frozenset(random.sample(possible, random.randint(0, min(3, len(possible)))))
    return Viewer(user_id=user_id, credential_id=any_key(random), scopes=scopes)
