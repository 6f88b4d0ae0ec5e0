"""Photos of holdings and turntables through the graph: of one's own uploads alone, and shared where chosen."""

import asyncio
import io
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from PIL import Image
from sqlalchemy import func, insert, select, text, update

from app.catalogue.commands import photo_uploads
from app.catalogue.commands.photo_uploads import forget_old_uploads, prepare_upload, store_upload, upload_token
from app.catalogue.errors import TooManyUploads
from app.catalogue.models import PhotoUpload
from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, parse_public_id, public_id
from app.core.storage import FolderStorage
from app.identity.scopes import Scope
from app.identity.viewer import ANYONE
from app.portfolios.commands.holding_photos import MOST_FRAMES, MOST_PHOTOS
from app.portfolios.models import HoldingPhoto, TradeKind
from app.portfolios.personal_data import erase
from tests.graph.conftest import Graph
from tests.graph.possessions import Collector, collector, traded, variants
from tests.identity.builders import SECRETS, add_person, session_of
from workers.photos import tidy_photos

SHOWN = {
    "addHoldingPhoto": "photo { id position contentType width height holding { id } }",
    "editHoldingPhoto": "photo { id position }",
    "deleteHoldingPhoto": "deletedId holding { photos { id position } }",
    "setHoldingTurntable": "holding { turntable { frames { position } } }",
    "removeHoldingTurntable": "holding { turntable { createdAt } }",
}
HOLDING = """
query ($id: ID!) { node(id: $id) { ... on Holding {
  cover { id } photos { id position } turntable { frames { position width contentType url(size: SMALL) } }
} } }
"""
SHARED = """
query ($id: ID!) { sharedPortfolio(id: $id) { holdings { nodes {
  photos { position width height contentType url(size: LARGE) }
} } } }
"""
ITEM_PHOTO = """
mutation ($input: AddItemPhotoInput!) { addItemPhoto(input: $input) { photo { id } userErrors { field code message } } }
"""
OBJECTS_OF_A_PHOTO = 4


class Owner:
    """Somebody with a portfolio, who sends photos of what is in it."""

    def __init__(self, asking: Collector, api_database: Database, storage: FolderStorage) -> None:
        self.asking, self.viewer = asking, asking.viewer
        self._api_database, self._storage = api_database, storage
        self.portfolio_id = self.holding_id = ""

    async def begin(self, database: Database, variant_id: str) -> None:
        """Have a portfolio with one holding."""
        self.portfolio_id = (await self.asking.done("createPortfolio", name="Shelf"))["id"]
        held = await self.asking.done("addHolding", portfolioId=self.portfolio_id, variantId=variant_id)
        self.holding_id = held["id"]
        await traded(database, self.viewer, key_of(self.holding_id), TradeKind.BUY, "1", "10")

    async def upload(self, width: int = 20) -> str:
        """Send a photo; gives what names it."""
        written = io.BytesIO()
        Image.new("RGB", (width, 16), (200, 0, 0)).save(written, "PNG")
        prepared = await prepare_upload(written.getvalue())
        return upload_token((await store_upload(self._api_database, self._storage, prepared, viewer=self.viewer)).id)

    async def change(self, mutation: str, **input: Any) -> dict[str, Any]:
        """The payload of a mutation."""
        query = (
            f"mutation ($input: {mutation[0].upper()}{mutation[1:]}Input!) "
            f"{{ {mutation}(input: $input) {{ {SHOWN[mutation]} userErrors {{ field code message }} }} }}"
        )
        payload: dict[str, Any] = (await self.asking.graph.ask(query, self.viewer, input=input))[mutation]
        return payload

    async def done(self, mutation: str, **input: Any) -> Any:
        """What a mutation gives that is not refused."""
        payload = await self.change(mutation, **input)
        assert payload["userErrors"] == []
        return next(iter(payload.values()))

    async def refusal(self, mutation: str, **input: Any) -> tuple[str, list[str]]:
        """The code and the field of the one error of a mutation that gives nothing."""
        payload = await self.change(mutation, **input)
        (error,) = payload.pop("userErrors")
        assert set(payload.values()) == {None}
        return error["code"], error["field"]

    async def add(self, **input: Any) -> str:
        """Add a new photo to the holding; gives its id."""
        added = await self.done("addHoldingPhoto", holdingId=self.holding_id, uploadId=await self.upload(), **input)
        return str(added["id"])

    async def turn(self, frames: int = 3) -> list[str]:
        """Set a turntable of new photos; gives what names them."""
        uploads = [await self.upload() for _ in range(frames)]
        await self.done("setHoldingTurntable", holdingId=self.holding_id, uploadIds=uploads)
        return uploads

    async def holding(self) -> Any:
        """The holding with its photos."""
        return (await self.asking.ask(HOLDING, id=self.holding_id))["node"]

    async def order(self) -> list[str]:
        """The ids of the photos, of which the first is the cover."""
        held = await self.holding()
        assert [photo["position"] for photo in held["photos"]] == list(range(len(held["photos"])))
        order = [photo["id"] for photo in held["photos"]]
        assert (held["cover"] or {"id": None})["id"] == (order[0] if order else None)
        return order


def key_of(id: str) -> UUID:
    """The key behind an id."""
    parsed = parse_public_id(id)
    assert parsed is not None
    assert isinstance(parsed[1], UUID)
    return parsed[1]


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    """A store of the test's own."""
    return FolderStorage(tmp_path, SECRETS, public_url="http://localhost:8000")


@pytest.fixture
async def people(
    graph: Graph, database: Database, api_database: Database, storage: FolderStorage
) -> tuple[Owner, Owner]:
    """Ada and Bob, each with a holding of the same variant."""
    variant_id, _ = await variants(database)
    people = []
    for name in ("ada", "bob"):
        person = Owner(await collector(graph, database, api_database, name), api_database, storage)
        await person.begin(database, variant_id)
        people.append(person)
    return people[0], people[1]


@pytest.fixture
def ada(people: tuple[Owner, Owner]) -> Owner:
    """Who these tests are about."""
    return people[0]


@pytest.fixture
def bob(people: tuple[Owner, Owner]) -> Owner:
    """Somebody else."""
    return people[1]


def files(folder: Path) -> int:
    """How many objects there are in the store."""
    return len([file for file in folder.rglob("*") if file.is_file()])


async def test_photos_are_added_moved_and_deleted_and_the_first_is_the_cover(ada: Owner) -> None:
    assert await ada.order() == []
    added = await ada.done("addHoldingPhoto", holdingId=ada.holding_id, uploadId=await ada.upload())
    first = added["id"]
    assert added == {
        "id": first,
        "position": 0,
        "contentType": "image/png",
        "width": 20,
        "height": 16,
        "holding": {"id": ada.holding_id},
    }
    last, front, middle = await ada.add(), await ada.add(position=0), await ada.add(position=2)
    assert await ada.order() == [front, first, middle, last]
    assert (await ada.done("editHoldingPhoto", id=front, position=3))["position"] == 3
    assert await ada.order() == [first, middle, last, front]
    await ada.done("editHoldingPhoto", id=front)
    assert await ada.done("deleteHoldingPhoto", id=first) == first
    assert await ada.order() == [middle, last, front]


async def test_a_repeat_with_the_same_upload_gives_the_same_photo_where_it_is_now(ada: Owner) -> None:
    upload_id = await ada.upload()
    sent = [await ada.done("addHoldingPhoto", holdingId=ada.holding_id, uploadId=upload_id) for _ in range(2)]
    assert sent[0] == sent[1]
    await ada.done("deleteHoldingPhoto", id=sent[0]["id"])
    repeat = await ada.refusal("addHoldingPhoto", holdingId=ada.holding_id, uploadId=upload_id)
    assert repeat == ("NOT_FOUND", ["input", "uploadId"])


async def test_an_upload_is_its_senders_alone(
    ada: Owner, bob: Owner, graph: Graph, database: Database, api_database: Database
) -> None:
    upload_id = await bob.upload()
    wrong = ("NOT_FOUND", ["input", "uploadId"])
    for named in (upload_id, "x", upload_token(new_id())):
        assert await ada.refusal("addHoldingPhoto", holdingId=ada.holding_id, uploadId=named) == wrong
    frames = [await ada.upload(), upload_id]
    refusal = await ada.refusal("setHoldingTurntable", holdingId=ada.holding_id, uploadIds=frames)
    assert refusal == ("NOT_FOUND", ["input", "uploadIds", "1"])
    # What was refused took nothing.
    await ada.done("addHoldingPhoto", holdingId=ada.holding_id, uploadId=frames[0])
    await bob.done("addHoldingPhoto", holdingId=bob.holding_id, uploadId=upload_id)
    async with api_database.transaction(viewer=ada.viewer.in_database) as transaction:
        seen = (await transaction.connection.execute(select(PhotoUpload.uploaded_by))).scalars().all()
    assert seen == [ada.viewer.own_id]


async def test_an_upload_becomes_a_photo_of_an_item_only_for_who_may_write_the_catalogue(
    ada: Owner, graph: Graph, database: Database, api_database: Database
) -> None:
    async with database.transaction() as transaction:
        editor_id = await add_person(transaction.connection, permissions=[Scope.CATALOGUE_WRITE])
        item_id = await transaction.connection.scalar(text("SELECT id FROM catalogue.items LIMIT 1"))
    editor = await session_of(api_database, editor_id)
    given = {"itemId": public_id(PublicIdTag.ITEM, item_id), "uploadId": await ada.upload()}
    assert (await graph.refusal(ITEM_PHOTO, ada.viewer, input=given))["extensions"]["code"] == "FORBIDDEN"
    for_editor = (await graph.ask(ITEM_PHOTO, editor, input=given))["addItemPhoto"]
    assert [error["code"] for error in for_editor["userErrors"]] == ["NOT_FOUND"]
    await ada.done("addHoldingPhoto", holdingId=ada.holding_id, uploadId=given["uploadId"])


async def test_what_is_anothers_is_not_there(ada: Owner, bob: Owner) -> None:
    photo_id = await ada.add()
    await ada.turn()
    before = await ada.holding()
    upload_id = await bob.upload()
    uploads = [upload_id, await bob.upload()]
    of_holding = ("NOT_FOUND", ["input", "holdingId"])
    assert await bob.refusal("addHoldingPhoto", holdingId=ada.holding_id, uploadId=upload_id) == of_holding
    assert await bob.refusal("setHoldingTurntable", holdingId=ada.holding_id, uploadIds=uploads) == of_holding
    assert await bob.refusal("removeHoldingTurntable", holdingId=ada.holding_id) == of_holding
    for mutation, change in (("editHoldingPhoto", {"position": 0}), ("deleteHoldingPhoto", {})):
        for named in (photo_id, ada.holding_id, "x"):
            assert await bob.refusal(mutation, id=named, **change) == ("NOT_FOUND", ["input", "id"])
    for viewer, code in ((bob.viewer, None), (ANYONE, "UNAUTHENTICATED")):
        response = await ada.asking.graph.respond(HOLDING, viewer, id=ada.holding_id)
        assert response["data"]["node"] is None
        assert [error["extensions"]["code"] for error in response.get("errors", [])] == ([code] if code else [])
        node = await ada.asking.graph.respond("query ($id: ID!) { node(id: $id) { id } }", viewer, id=photo_id)
        assert node["data"]["node"] is None
    assert await ada.holding() == before


@pytest.mark.parametrize("position", [-1, 3, 2**31 - 1])
async def test_a_place_that_there_is_not_is_refused(ada: Owner, position: int) -> None:
    ids = [await ada.add(), await ada.add()]
    wrong = ("INVALID_INPUT", ["input", "position"])
    upload_id = await ada.upload()
    added = await ada.refusal("addHoldingPhoto", holdingId=ada.holding_id, uploadId=upload_id, position=position)
    assert (added, await ada.refusal("editHoldingPhoto", id=ids[0], position=position)) == (wrong, wrong)
    assert await ada.refusal("editHoldingPhoto", id=ids[0], position=2) == wrong
    assert await ada.order() == ids


async def test_a_holding_has_fifty_photos_and_no_more(ada: Owner, database: Database) -> None:
    first = await ada.add()
    async with database.transaction() as transaction:
        kept = (await transaction.connection.execute(select(*HoldingPhoto.__table__.columns))).one()._mapping
        for position in range(1, MOST_PHOTOS):
            other = {"id": new_id(), "position": position, "storage_key": f"photos/{position}"}
            await transaction.connection.execute(insert(HoldingPhoto).values({**kept, **other}))
    upload_id = await ada.upload()
    refusal = await ada.refusal("addHoldingPhoto", holdingId=ada.holding_id, uploadId=upload_id)
    assert refusal == ("TOO_MANY", ["input", "holdingId"])
    await ada.done("deleteHoldingPhoto", id=first)
    await ada.done("addHoldingPhoto", holdingId=ada.holding_id, uploadId=upload_id)
    assert len(await ada.order()) == MOST_PHOTOS


async def test_photos_that_are_added_at_once_have_places_without_gaps(ada: Owner) -> None:
    ids = await asyncio.gather(*[ada.add(position=0) for _ in range(4)])
    assert sorted(await ada.order()) == sorted(ids)


async def test_a_turntable_shows_its_frames_in_the_order_that_was_given(ada: Owner, storage: FolderStorage) -> None:
    uploads = [await ada.upload(width) for width in (30, 20, 40)]
    await ada.done("setHoldingTurntable", holdingId=ada.holding_id, uploadIds=uploads)
    frames = (await ada.holding())["turntable"]["frames"]
    assert [(frame["position"], frame["width"]) for frame in frames] == [(0, 30), (1, 20), (2, 40)]
    for frame in frames:
        found = await storage.get(urlsplit(frame["url"]).path.removeprefix("/"))
        assert found.size > 0
    # A repeat, as after an answer that was lost, changes nothing.
    await ada.done("setHoldingTurntable", holdingId=ada.holding_id, uploadIds=uploads)
    assert (await ada.holding())["turntable"]["frames"] == frames


async def test_a_turntable_takes_the_place_of_the_one_before_and_goes_with_its_objects(
    ada: Owner, database: Database, storage: FolderStorage, tmp_path: Path
) -> None:
    await ada.turn(3)
    await ada.turn(2)
    assert len((await ada.holding())["turntable"]["frames"]) == 2
    assert await tidy_photos(database, storage) == 3
    assert files(tmp_path) == 2 * OBJECTS_OF_A_PHOTO
    assert await ada.done("removeHoldingTurntable", holdingId=ada.holding_id) == {"turntable": None}
    missing = await ada.refusal("removeHoldingTurntable", holdingId=ada.holding_id)
    assert missing == ("NOT_FOUND", ["input", "holdingId"])
    assert await tidy_photos(database, storage) == 2
    assert files(tmp_path) == 0


async def test_a_turntable_of_too_few_too_many_or_the_same_frames_is_refused(ada: Owner) -> None:
    one = await ada.upload()
    many = [upload_token(new_id()) for _ in range(MOST_FRAMES + 1)]
    for uploads, field in (([], []), ([one], []), (many, []), ([one, one], ["1"])):
        refusal = await ada.refusal("setHoldingTurntable", holdingId=ada.holding_id, uploadIds=uploads)
        assert refusal == ("INVALID_INPUT", ["input", "uploadIds", *field])
    assert (await ada.holding())["turntable"] is None


async def test_objects_go_with_a_photo_a_holding_a_portfolio_and_a_person(
    ada: Owner, database: Database, storage: FolderStorage, tmp_path: Path
) -> None:
    photo_id = await ada.add()
    await ada.done("deleteHoldingPhoto", id=photo_id)
    assert await tidy_photos(database, storage) == 1
    await ada.add()
    await ada.turn(2)
    await ada.asking.done("deleteHolding", id=ada.holding_id, deletesTrades=True)
    assert await tidy_photos(database, storage) == 3
    for ending in ("portfolio", "person"):
        (variant_id, *_) = await variants_again(database)
        await ada.begin(database, variant_id)
        await ada.add()
        await ada.turn(2)
        if ending == "portfolio":
            await ada.asking.done("deletePortfolio", id=ada.portfolio_id, deletesTrades=True)
        else:
            async with database.transaction() as transaction:
                await erase(transaction, ada.viewer.own_id)
        assert await tidy_photos(database, storage) == 3
        assert files(tmp_path) == 0


async def variants_again(database: Database) -> list[str]:
    """The variants that there are."""
    async with database.transaction() as transaction:
        rows = await transaction.connection.scalars(text("SELECT id FROM catalogue.item_variants ORDER BY id"))
        return [public_id(PublicIdTag.ITEM_VARIANT, key) for key in rows]


async def test_an_upload_that_was_added_stays_when_its_row_goes(
    ada: Owner, database: Database, storage: FolderStorage, tmp_path: Path
) -> None:
    await ada.add()
    await ada.upload()
    async with database.transaction() as transaction:
        long_ago = func.now() - text("interval '25 hours'")
        await transaction.connection.execute(update(PhotoUpload).values(created_at=long_ago))
        await transaction.connection.execute(
            update(PhotoUpload).where(PhotoUpload.claimed_at.is_not(None)).values(claimed_at=long_ago)
        )
        assert await forget_old_uploads(transaction) == 2
    assert await tidy_photos(database, storage) == 1
    assert files(tmp_path) == OBJECTS_OF_A_PHOTO


async def test_so_many_uploads_may_wait_and_no_more(ada: Owner, bob: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo_uploads, "MOST_WAITING", 2)
    waiting = [await ada.upload(), await ada.upload()]
    with pytest.raises(TooManyUploads, match="wait to be added"):
        await ada.upload()
    await bob.upload()
    await ada.done("addHoldingPhoto", holdingId=ada.holding_id, uploadId=waiting[0])
    await ada.upload()


async def test_others_see_the_photos_that_are_shared_and_no_turntable(
    ada: Owner, bob: Owner, graph: Graph, storage: FolderStorage
) -> None:
    photo_id = await ada.add()
    await ada.turn()
    for viewer in (ANYONE, bob.viewer):
        for parts in (["PHOTOS"], [], ["QUANTITIES", "DETAILS", "VALUES"]):
            await ada.asking.done("editPortfolio", id=ada.portfolio_id, visibility="PUBLIC", sharedParts=parts)
            (held,) = (await graph.ask(SHARED, viewer, id=ada.portfolio_id))["sharedPortfolio"]["holdings"]["nodes"]
            if "PHOTOS" not in parts:
                assert held == {"photos": []}
                continue
            (photo,) = held["photos"]
            found = await storage.get(urlsplit(photo.pop("url")).path.removeprefix("/"))
            assert found.size > 0
            assert photo == {"position": 0, "width": 20, "height": 16, "contentType": "image/png"}
            assert (await graph.ask("query ($id: ID!) { node(id: $id) { id } }", bob.viewer, id=photo_id))[
                "node"
            ] is None


async def test_photos_of_what_is_archived_or_private_are_not_in_the_view(
    ada: Owner, graph: Graph, api_database: Database
) -> None:
    await ada.add()
    shared = {"id": ada.portfolio_id, "sharedParts": ["PHOTOS"]}
    for visibility, is_archived, seen in (
        ("PUBLIC", False, 1),
        ("LINK", False, 1),
        ("PRIVATE", False, 0),
        ("PUBLIC", True, 0),
    ):
        await ada.asking.done("editPortfolio", visibility=visibility, **shared)
        await ada.asking.done("editHolding", id=ada.holding_id, isArchived=is_archived)
        async with api_database.transaction() as transaction:
            rows = await transaction.connection.scalar(text("SELECT count(*) FROM portfolios.shared_holding_photos"))
        assert rows == seen, (visibility, is_archived)


async def test_photos_of_many_holdings_cost_the_same_as_of_one(ada: Owner, graph: Graph, database: Database) -> None:
    await ada.asking.done("editPortfolio", id=ada.portfolio_id, visibility="PUBLIC", sharedParts=["PHOTOS"])
    query = 'query { user(username: "ada") { sharedPortfolios { nodes { holdings { nodes { photos { url } } } } } } }'
    await ada.add()
    one = await graph.statements(query)
    (variant_id, *_) = await variants_again(database)
    held = await ada.asking.done("addHolding", portfolioId=ada.portfolio_id, variantId=variant_id)
    await traded(database, ada.viewer, key_of(held["id"]), TradeKind.BUY, "1", "10")
    await ada.done("addHoldingPhoto", holdingId=held["id"], uploadId=await ada.upload())
    assert await graph.statements(query) == one
