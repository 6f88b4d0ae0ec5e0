"""Photos of items through the graph: shown by links, added from uploads, put in order, deleted; and what is left."""

import asyncio
import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import pytest
from PIL import Image
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.catalogue.commands.merge_items import merge_items
from app.catalogue.commands.photo_uploads import forget_old_uploads, prepare_upload, store_upload, upload_token
from app.catalogue.commands.photos import MAXIMUM_PHOTOS, add_photo
from app.catalogue.models import DoomedPhoto, Item, ItemPhoto, PhotoUpload
from app.catalogue.personal_data import erase
from app.catalogue.pictures import PhotoSize, object_key
from app.core.clock import utc_now
from app.core.database import Database
from app.core.errors import Forbidden
from app.core.ids import PublicIdTag, new_id, public_id
from app.core.storage import FolderStorage, Storage, StorageUnavailable
from app.identity.models import RoleGrant, User
from app.identity.scopes import OWN, Scope
from app.identity.viewer import ANYONE, Viewer
from tests.graph.conftest import Graph
from tests.identity.builders import SECRETS, add_person, session_of
from tests.lock_waits import until_somebody_waits
from workers.photos import FAILURES_BORNE, tidy_photos

ERRORS = "userErrors { field code message }"
PHOTO = "id position isPrimary caption credit contentType width height item { slug }"
ADD = f"mutation ($input: AddItemPhotoInput!) {{ addItemPhoto(input: $input) {{ photo {{ {PHOTO} }} {ERRORS} }} }}"
EDIT = f"mutation ($input: EditItemPhotoInput!) {{ editItemPhoto(input: $input) {{ photo {{ {PHOTO} }} {ERRORS} }} }}"
DELETE = f"""
mutation ($id: ID!) {{
    deleteItemPhoto(input: {{id: $id}}) {{ deletedId item {{ slug primaryPhoto {{ caption }} }} {ERRORS} }}
}}
"""
PHOTOS = """
query ($slug: String!) {
    item(slug: $slug) { primaryPhoto { caption } photos { id caption position isPrimary } }
}
"""
MANY = """
query ($first: Int!) {
    items(first: $first, filter: {nameContains: "coin-"}) {
        nodes { primaryPhoto { url } photos { url(size: SMALL) } }
    }
}
"""
ITEM_ID = UUID("01a1fc00-0000-7000-8000-0000000000aa")
OTHER_ID = UUID("01a1fc00-0000-7000-8000-0000000000ab")


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    """A store of the test's own."""
    return FolderStorage(tmp_path, SECRETS, public_url="http://localhost:8000")


@pytest.fixture(autouse=True)
async def items(database: Database) -> None:
    """Two items."""
    async with database.transaction() as transaction:
        for item_id, slug, is_nsfw in ((ITEM_ID, "lantern", False), (OTHER_ID, "other", True)):
            await transaction.connection.execute(
                insert(Item).values(id=item_id, kind="coin", slug=slug, name=slug, is_nsfw=is_nsfw)
            )


async def person(database: Database, api_database: Database, *permissions: Scope) -> Viewer:
    async with database.transaction() as transaction:
        user_id = await add_person(transaction.connection, permissions=permissions)
    return await session_of(api_database, user_id)


@pytest.fixture
async def editor(database: Database, api_database: Database) -> Viewer:
    """Somebody who may change the catalogue."""
    return await person(database, api_database, Scope.CATALOGUE_WRITE)


@pytest.fixture
async def colleague(database: Database, api_database: Database) -> Viewer:
    """Somebody else who may."""
    return await person(database, api_database, Scope.CATALOGUE_WRITE)


async def upload(api_database: Database, storage: Storage, viewer: Viewer, colour: int = 0) -> UUID:
    """A photo that was sent."""
    written = io.BytesIO()
    Image.new("RGB", (20, 16), (colour, 0, 0)).save(written, "PNG")
    stored = await store_upload(api_database, storage, await prepare_upload(written.getvalue()), viewer=viewer)
    return stored.id


async def add(graph: Graph, viewer: Viewer, upload_id: UUID, item_id: UUID = ITEM_ID, **input: Any) -> dict[str, Any]:
    """The payload of addItemPhoto."""
    given = {"itemId": public_id(PublicIdTag.ITEM, item_id), "uploadId": upload_token(upload_id)} | input
    payload: dict[str, Any] = (await graph.ask(ADD, viewer, input=given))["addItemPhoto"]
    return payload


async def add_several(
    graph: Graph, api_database: Database, storage: Storage, editor: Viewer, captions: Sequence[str]
) -> dict[str, str]:
    """Photos with these captions; gives their ids."""
    added = {}
    for caption in captions:
        payload = await add(graph, editor, await upload(api_database, storage, editor), caption=caption)
        assert payload["userErrors"] == []
        added[caption] = payload["photo"]["id"]
    return added


async def order_of(graph: Graph, slug: str = "lantern") -> tuple[list[str | None], list[int], str | None]:
    """The captions of an item's photos in their order, their positions, and the primary one's caption."""
    item = (await graph.ask(PHOTOS, slug=slug))["item"]
    primary = [photo["caption"] for photo in item["photos"] if photo["isPrimary"]]
    assert primary == ([item["primaryPhoto"]["caption"]] if item["primaryPhoto"] else [])
    shown = item["photos"]
    return (
        [photo["caption"] for photo in shown],
        [photo["position"] for photo in shown],
        primary[0] if primary else None,
    )


def code_of(payload: dict[str, Any]) -> tuple[str, list[str]]:
    """The code and the field of a payload's only error; everything else of it is null."""
    (error,) = payload["userErrors"]
    assert error["message"].endswith(".")
    assert not [name for name, value in payload.items() if name != "userErrors" and value is not None]
    return error["code"], error["field"]


async def test_a_photo_is_added_and_shown_to_everybody(
    graph: Graph, api_database: Database, storage: FolderStorage, editor: Viewer
) -> None:
    upload_id = await upload(api_database, storage, editor)
    payload = await add(graph, editor, upload_id, caption="  The front ", credit="Ada")
    assert payload["userErrors"] == []
    photo = payload["photo"]
    assert photo == {
        "id": photo["id"],
        "position": 0,
        "isPrimary": True,
        "caption": "The front",
        "credit": "Ada",
        "contentType": "image/png",
        "width": 20,
        "height": 16,
        "item": {"slug": "lantern"},
    }
    query = "query ($id: ID!) { node(id: $id) { ... on Photo { caption item { primaryPhoto { id } } } } }"
    node = (await graph.ask(query, id=photo["id"]))["node"]
    assert node == {"caption": "The front", "item": {"primaryPhoto": {"id": photo["id"]}}}


async def test_the_link_of_each_size_leads_to_the_photo(
    graph: Graph, api_database: Database, storage: FolderStorage, editor: Viewer, tmp_path: Path
) -> None:
    upload_id = await upload(api_database, storage, editor)
    await add(graph, editor, upload_id)
    sizes = " ".join(f"{size.name}: url(size: {size.name})" for size in PhotoSize)
    shown = (await graph.ask(f'{{ item(slug: "lantern") {{ primaryPhoto {{ url {sizes} }} }} }}'))["item"][
        "primaryPhoto"
    ]
    assert shown["url"] == shown["LARGE"]
    for size in PhotoSize:
        address = urlsplit(shown[size.name])
        key = address.path.removeprefix("/")
        assert f"{address.scheme}://{address.netloc}" == "http://localhost:8000"
        assert key == object_key(f"photos/{upload_id.hex}", size, "image/png")
        assert storage.check(key, **dict(parse_qsl(address.query)), now=utc_now()) > timedelta(hours=6)
        assert (tmp_path / key).is_file()


async def test_the_first_photo_stands_for_the_item_until_another_is_to(
    graph: Graph, api_database: Database, storage: Storage, editor: Viewer
) -> None:
    await add_several(graph, api_database, storage, editor, ["a", "b"])
    assert await order_of(graph) == (["a", "b"], [0, 1], "a")
    await add(graph, editor, await upload(api_database, storage, editor), caption="c", isPrimary=True)
    assert await order_of(graph) == (["a", "b", "c"], [0, 1, 2], "c")


async def test_photos_are_put_in_another_order(
    graph: Graph, api_database: Database, storage: Storage, editor: Viewer
) -> None:
    ids = await add_several(graph, api_database, storage, editor, ["a", "b", "c", "d"])
    for caption, position, expected in (
        ("d", 0, ["d", "a", "b", "c"]),
        ("a", 3, ["d", "b", "c", "a"]),
        ("b", 1, ["d", "b", "c", "a"]),
        ("b", 2, ["d", "c", "b", "a"]),
    ):
        payload = (await graph.ask(EDIT, editor, input={"id": ids[caption], "position": position}))["editItemPhoto"]
        assert (payload["userErrors"], payload["photo"]["position"]) == ([], position)
        assert await order_of(graph) == (expected, [0, 1, 2, 3], "a")


async def test_what_is_said_of_a_photo_is_changed_and_what_is_left_out_stays(
    graph: Graph, api_database: Database, storage: Storage, editor: Viewer
) -> None:
    ids = await add_several(graph, api_database, storage, editor, ["a", "b"])

    async def edit(**input: Any) -> dict[str, Any]:
        payload: dict[str, Any] = (await graph.ask(EDIT, editor, input={"id": ids["b"]} | input))["editItemPhoto"]
        assert payload["userErrors"] == []
        photo: dict[str, Any] = payload["photo"]
        return photo

    assert (await edit(credit="Ada"))["caption"] == "b"
    assert (await edit(caption=None))["credit"] == "Ada"
    photo = await edit(isPrimary=True, position=0, caption="new")
    assert (photo["caption"], photo["credit"], photo["position"], photo["isPrimary"]) == ("new", "Ada", 0, True)
    assert await order_of(graph) == (["new", "a"], [0, 1], "new")


async def test_a_photo_is_deleted_and_the_next_one_stands_for_the_item(
    graph: Graph, api_database: Database, storage: Storage, editor: Viewer
) -> None:
    ids = await add_several(graph, api_database, storage, editor, ["a", "b", "c"])
    await graph.ask(EDIT, editor, input={"id": ids["b"], "isPrimary": True})
    for gone, left in (("b", (["a", "c"], [0, 1], "c")), ("c", (["a"], [0], "a")), ("a", ([], [], None))):
        payload = (await graph.ask(DELETE, editor, id=ids[gone]))["deleteItemPhoto"]
        shown = {"caption": left[2]} if left[2] else None
        assert payload == {
            "deletedId": ids[gone],
            "item": {"slug": "lantern", "primaryPhoto": shown},
            "userErrors": [],
        }
        assert await order_of(graph) == left
    for question, payload in ((DELETE, "deleteItemPhoto"), (EDIT, "editItemPhoto")):
        given: dict[str, Any] = {"id": ids["a"]} if question is DELETE else {"input": {"id": ids["a"]}}
        assert code_of((await graph.ask(question, editor, **given))[payload]) == ("NOT_FOUND", ["input", "id"])


@pytest.mark.parametrize(
    ("input", "code", "field"),
    [
        ({"caption": "x" * 501}, "INVALID_INPUT", "caption"),
        ({"credit": "a\0b"}, "INVALID_INPUT", "credit"),
        ({"idempotencyKey": ""}, "INVALID_INPUT", "idempotencyKey"),
        ({"idempotencyKey": "k" * 201}, "INVALID_INPUT", "idempotencyKey"),
        ({"uploadId": "nonsense"}, "NOT_FOUND", "uploadId"),
        ({"uploadId": ""}, "NOT_FOUND", "uploadId"),
        ({"uploadId": upload_token(new_id())}, "NOT_FOUND", "uploadId"),
        ({"itemId": public_id(PublicIdTag.ITEM, new_id())}, "NOT_FOUND", "itemId"),
        ({"itemId": public_id(PublicIdTag.ITEM_PHOTO, ITEM_ID)}, "NOT_FOUND", "itemId"),
    ],
)
async def test_a_wrong_input_is_refused_and_the_upload_can_be_used_again(
    graph: Graph, api_database: Database, storage: Storage, editor: Viewer, input: Any, code: str, field: str
) -> None:
    upload_id = await upload(api_database, storage, editor)
    assert code_of(await add(graph, editor, upload_id, **input)) == (code, ["input", field])
    assert await order_of(graph) == ([], [], None)
    assert (await add(graph, editor, upload_id))["userErrors"] == []


@pytest.mark.parametrize(
    ("input", "field"),
    [
        ({"position": 2}, "position"),
        ({"position": -1}, "position"),
        ({"isPrimary": False}, "isPrimary"),
        ({"caption": "x" * 501}, "caption"),
    ],
)
async def test_a_wrong_edit_changes_nothing(
    graph: Graph, api_database: Database, storage: Storage, editor: Viewer, input: Any, field: str
) -> None:
    ids = await add_several(graph, api_database, storage, editor, ["a", "b"])
    given = {"id": ids["a"], "credit": "Eve"} | input
    payload = (await graph.ask(EDIT, editor, input=given))["editItemPhoto"]
    assert code_of(payload) == ("INVALID_INPUT", ["input", field])
    shown = (await graph.ask('{ item(slug: "lantern") { photos { credit } } }'))["item"]["photos"]
    assert shown == [{"credit": None}, {"credit": None}]


async def test_an_upload_is_for_whoever_sent_it_and_once(
    graph: Graph, api_database: Database, storage: Storage, editor: Viewer, colleague: Viewer
) -> None:
    upload_id = await upload(api_database, storage, editor)
    assert code_of(await add(graph, colleague, upload_id)) == ("NOT_FOUND", ["input", "uploadId"])
    assert (await add(graph, editor, upload_id))["userErrors"] == []
    assert code_of(await add(graph, editor, upload_id)) == ("NOT_FOUND", ["input", "uploadId"])
    assert code_of(await add(graph, editor, upload_id, OTHER_ID)) == ("NOT_FOUND", ["input", "uploadId"])


async def test_a_repeat_with_the_same_key_gives_the_first_photo_again(
    graph: Graph, api_database: Database, storage: Storage, editor: Viewer, colleague: Viewer
) -> None:
    upload_id = await upload(api_database, storage, editor)
    answers = await asyncio.gather(*(add(graph, editor, upload_id, idempotencyKey="k") for _ in range(4)))
    assert len({answer["photo"]["id"] for answer in answers}) == 1
    assert (await order_of(graph))[1] == [0]
    again = await upload(api_database, storage, editor)
    for changed in (
        add(graph, editor, again, idempotencyKey="k"),
        add(graph, editor, upload_id, OTHER_ID, idempotencyKey="k"),
    ):
        assert code_of(await changed) == ("IDEMPOTENCY_KEY_REUSED", ["input", "idempotencyKey"])
    theirs = await upload(api_database, storage, colleague)
    assert (await add(graph, colleague, theirs, idempotencyKey="k"))["userErrors"] == []


async def test_an_item_has_fifty_photos_at_most(
    graph: Graph, api_database: Database, storage: Storage, editor: Viewer, database: Database
) -> None:
    await insert_photos(database, ITEM_ID, MAXIMUM_PHOTOS)
    upload_id = await upload(api_database, storage, editor)
    assert code_of(await add(graph, editor, upload_id)) == ("TOO_MANY", ["input", "itemId"])
    assert (await add(graph, editor, upload_id, OTHER_ID))["userErrors"] == []


async def test_changes_at_the_same_time_leave_positions_without_gaps(
    graph: Graph, api_database: Database, storage: Storage, editor: Viewer, colleague: Viewer
) -> None:
    ids = await add_several(graph, api_database, storage, editor, ["a", "b", "c"])
    uploads = [(viewer, await upload(api_database, storage, viewer)) for viewer in (editor, colleague, editor)]
    await asyncio.gather(
        *(add(graph, viewer, upload_id, isPrimary=True) for viewer, upload_id in uploads),
        graph.ask(DELETE, editor, id=ids["a"]),
        graph.ask(EDIT, colleague, input={"id": ids["c"], "position": 0}),
        graph.ask(DELETE, colleague, id=ids["b"]),
    )
    captions, positions, primary = await order_of(graph)
    # Three without a caption came, of which the last stands for the item, and one stayed.
    assert sorted(caption or "" for caption in captions) == ["", "", "", "c"]
    assert primary is None
    assert positions == [0, 1, 2, 3]


async def insert_photos(database: Database, item_id: UUID, count: int) -> None:
    """Photos as rows alone."""
    async with database.transaction() as transaction:
        for position in range(count):
            photo_id = new_id()
            await transaction.connection.execute(
                insert(ItemPhoto).values(
                    id=photo_id,
                    item_id=item_id,
                    position=position,
                    is_primary=position == 0,
                    content_type="image/png",
                    width=20,
                    height=16,
                    bytes=100,
                    sha256="00",
                    storage_key=f"photos/{photo_id.hex}",
                )
            )


async def test_links_of_many_items_cost_no_more_statements_than_those_of_one(graph: Graph, database: Database) -> None:
    async with database.transaction() as transaction:
        keys = [new_id() for _ in range(50)]
        await transaction.connection.execute(
            insert(Item), [{"id": key, "kind": "coin", "slug": f"coin-{key}", "name": f"coin-{key}"} for key in keys]
        )
    for key in keys:
        await insert_photos(database, key, 2)
    assert await graph.statements(MANY, first=1) == await graph.statements(MANY, first=50)
    response = await graph.respond(MANY, first=50)
    nodes = response["data"]["items"]["nodes"]
    assert len({photo["url"] for node in nodes for photo in node["photos"]}) == 100
    assert response["extensions"]["trove"]["path"] == "resolvers"
    without = MANY.replace("{ url }", "{ width }").replace("{ url(size: SMALL) }", "{ width }")
    plain = await graph.respond(without, first=50)
    assert (plain["extensions"]["trove"]["path"], plain["extensions"]["trove"]["statements"]) == ("compiled", 1)


async def test_photos_of_what_is_not_safe_for_work_are_seen_by_who_sees_the_item(
    graph: Graph, database: Database
) -> None:
    await insert_photos(database, OTHER_ID, 1)
    assert (await graph.ask(PHOTOS, slug="other"))["item"] is None
    async with database.transaction() as transaction:
        user_id = await add_person(transaction.connection, nsfw_visibility="shown")
    shown = await graph.ask(PHOTOS, Viewer(user_id=user_id), slug="other")
    assert len(shown["item"]["photos"]) == 1


@pytest.mark.parametrize("mutation", [ADD, EDIT, DELETE], ids=["add", "edit", "delete"])
async def test_who_may_not_change_the_catalogue_changes_no_photos(
    graph: Graph, database: Database, api_database: Database, mutation: str
) -> None:
    somebody, owner = [await person(database, api_database) for _ in range(2)]
    await insert_photos(database, ITEM_ID, 2)
    async with database.transaction() as transaction:
        key = await transaction.connection.scalar(select(ItemPhoto.id).where(ItemPhoto.is_primary))
    assert key is not None
    photo_id = public_id(PublicIdTag.ITEM_PHOTO, key)
    inputs: dict[str, dict[str, Any]] = {
        ADD: {"input": {"itemId": public_id(PublicIdTag.ITEM, ITEM_ID), "uploadId": "x"}},
        EDIT: {"input": {"id": photo_id, "caption": "mine"}},
        DELETE: {"id": photo_id},
    }
    given = inputs[mutation]
    for viewer, code in ((ANYONE, "UNAUTHENTICATED"), (somebody, "FORBIDDEN")):
        assert (await graph.refusal(mutation, viewer, **given))["extensions"]["code"] == code
    # Nor would the database let them, whatever the graph forgot.
    changes = (
        update(ItemPhoto).values(caption="mine"),
        delete(ItemPhoto),
    )
    for change in changes:
        async with api_database.transaction(viewer=somebody.in_database) as transaction:
            assert (await transaction.connection.execute(change)).rowcount == 0
    with pytest.raises(DBAPIError, match="row-level security"):
        async with api_database.transaction(viewer=somebody.in_database) as transaction:
            await transaction.connection.execute(
                text(
                    "INSERT INTO catalogue.item_photos SELECT gen_random_uuid(), item_id, 9, false, content_type, "
                    "width, height, bytes, sha256, 'other' FROM catalogue.item_photos LIMIT 1"
                )
            )
    with pytest.raises(DBAPIError, match="row-level security"):
        async with api_database.transaction(viewer=somebody.in_database) as transaction:
            await transaction.connection.execute(
                insert(PhotoUpload).values(
                    id=new_id(),
                    uploaded_by=owner.own_id,
                    content_type="image/png",
                    width=1,
                    height=1,
                    bytes=1,
                    sha256="00",
                    storage_key="photos/x",
                )
            )


async def test_a_grant_that_was_just_taken_back_changes_nothing_and_says_so(
    graph: Graph, api_database: Database, database: Database, storage: Storage, editor: Viewer
) -> None:
    ids = await add_several(graph, api_database, storage, editor, ["a", "b"])
    waiting = await upload(api_database, storage, editor)
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(RoleGrant).values(revoked_at=func.now()))
    deleted = await graph.ask(DELETE, editor, id=ids["a"])
    edited = await graph.ask(EDIT, editor, input={"id": ids["b"], "position": 0})
    added = await add(graph, editor, waiting)
    for payload in (deleted["deleteItemPhoto"], edited["editItemPhoto"], added):
        assert code_of(payload) == ("NOT_GRANTED", [])
    # Photos of their own they may send all the same, by a credential that says so.
    with pytest.raises(Forbidden):
        await upload(api_database, storage, replace(editor, scopes=editor.scopes - OWN))
    assert await upload(api_database, storage, editor)
    assert await order_of(graph) == (["a", "b"], [0, 1], "a")


def files(folder: Path) -> list[str]:
    """The objects of a store."""
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


async def doomed(database: Database) -> int:
    """How many photos wait for their objects to be deleted."""
    async with database.transaction() as transaction:
        return int((await transaction.connection.execute(select(func.count()).select_from(DoomedPhoto))).scalar_one())


async def make_old(database: Database, *upload_ids: UUID) -> None:
    """Let uploads be more than a day old."""
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            update(PhotoUpload)
            .where(PhotoUpload.id.in_(upload_ids))
            .values(created_at=func.now() - timedelta(days=1, seconds=1))
        )


async def test_objects_go_after_the_photo_and_not_before(
    graph: Graph, api_database: Database, database: Database, storage: Storage, editor: Viewer, tmp_path: Path
) -> None:
    ids = await add_several(graph, api_database, storage, editor, ["a", "b"])
    before = files(tmp_path)
    assert len(before) == 2 * len(PhotoSize)
    await graph.ask(DELETE, editor, id=ids["a"])
    assert files(tmp_path) == before
    assert await tidy_photos(database, storage) == 1
    assert len(files(tmp_path)) == len(PhotoSize)
    # Nor does the folder of the photo stay.
    assert len(list((tmp_path / "photos").iterdir())) == 1
    assert await doomed(database) == 0
    assert await tidy_photos(database, storage) == 0


async def test_objects_go_with_the_item_too(
    graph: Graph,
    api_database: Database,
    database: Database,
    storage: Storage,
    editor: Viewer,
    tmp_path: Path,
    owner: AsyncEngine,
) -> None:
    await add_several(graph, api_database, storage, editor, ["a", "b"])
    async with owner.begin() as connection:
        await connection.execute(delete(Item).where(Item.id == ITEM_ID))
    assert await tidy_photos(database, storage) == 2
    assert files(tmp_path) == []


async def test_what_nobody_added_goes_after_a_day_and_what_somebody_added_stays(
    graph: Graph, api_database: Database, database: Database, storage: Storage, editor: Viewer, tmp_path: Path
) -> None:
    added, left, fresh = [await upload(api_database, storage, editor, colour) for colour in range(3)]
    await add(graph, editor, added)
    await make_old(database, added, left)
    assert code_of(await add(graph, editor, left)) == ("NOT_FOUND", ["input", "uploadId"])
    assert await tidy_photos(database, storage) == 1
    assert {file.split("/")[1] for file in files(tmp_path)} == {added.hex, fresh.hex}
    assert (await add(graph, editor, fresh))["userErrors"] == []


async def test_what_was_stored_by_half_is_no_upload_and_is_found(
    graph: Graph, api_database: Database, database: Database, editor: Viewer, tmp_path: Path
) -> None:
    class Failing(FolderStorage):
        """Takes two objects, and no more."""

        taken = 0

        async def put(self, key: str, content: bytes, *, content_type: str) -> None:
            self.taken += 1
            if self.taken > 2:
                raise StorageUnavailable("The store is away.")
            await super().put(key, content, content_type=content_type)

    storage = Failing(tmp_path, SECRETS, public_url=None)
    with pytest.raises(StorageUnavailable):
        await upload(api_database, storage, editor)
    assert len(files(tmp_path)) == 2
    async with database.transaction() as transaction:
        upload_id = (await transaction.connection.execute(select(PhotoUpload.id))).scalar_one()
    assert code_of(await add(graph, editor, upload_id)) == ("NOT_FOUND", ["input", "uploadId"])
    await make_old(database, upload_id)
    assert await tidy_photos(database, storage) == 1
    assert files(tmp_path) == []


async def test_a_store_that_is_away_is_asked_again_and_holds_nothing_else_up(
    graph: Graph, api_database: Database, database: Database, storage: Storage, editor: Viewer, tmp_path: Path
) -> None:
    class Away(FolderStorage):
        """Deletes nothing."""

        asked = 0

        async def delete(self, keys: Sequence[str]) -> None:
            self.asked += 1
            raise StorageUnavailable("The store is away.")

    count = FAILURES_BORNE + 2
    await add_several(graph, api_database, storage, editor, [str(number) for number in range(count)])
    async with database.transaction() as transaction:
        await transaction.connection.execute(delete(ItemPhoto))
    away = Away(tmp_path, SECRETS, public_url=None)
    assert await tidy_photos(database, away) == 0
    assert away.asked == FAILURES_BORNE
    assert await doomed(database) == count
    # Those that failed wait behind the others.
    async with database.transaction() as transaction:
        waiting = await transaction.connection.execute(select(DoomedPhoto).order_by(DoomedPhoto.attempted_at))
        attempted = [row.attempted_at > row.doomed_at for row in waiting]
    assert attempted == [False] * 2 + [True] * FAILURES_BORNE
    assert await tidy_photos(database, storage) == count
    assert files(tmp_path) == []


async def test_an_upload_that_is_being_added_is_not_taken_away(
    api_database: Database, database: Database, storage: Storage, editor: Viewer, tmp_path: Path
) -> None:
    upload_id = await upload(api_database, storage, editor)
    async with api_database.transaction(viewer=editor.in_database) as adding:
        await add_photo(adding, viewer=editor, item_id=ITEM_ID, upload_id=upload_id)

        async def forget() -> None:
            async with database.transaction() as transaction:
                await transaction.connection.execute(text("SET LOCAL lock_timeout = '20s'"))
                await transaction.connection.execute(delete(PhotoUpload).where(PhotoUpload.id == upload_id))

        forgetting = asyncio.create_task(forget())
        await until_somebody_waits(database)
    await forgetting
    assert await doomed(database) == 0
    assert await tidy_photos(database, storage) == 0
    assert len(files(tmp_path)) == len(PhotoSize)


async def test_what_an_erased_person_sent_goes_with_them(
    api_database: Database, database: Database, storage: Storage, editor: Viewer, tmp_path: Path, owner: AsyncEngine
) -> None:
    await upload(api_database, storage, editor)
    async with owner.begin() as connection:
        await connection.execute(delete(User).where(User.id == editor.own_id))
    assert await tidy_photos(database, storage) == 1
    assert files(tmp_path) == []


async def test_forgetting_counts_what_it_forgot(
    database: Database, api_database: Database, storage: Storage, editor: Viewer
) -> None:
    await make_old(database, await upload(api_database, storage, editor))
    await upload(api_database, storage, editor)
    async with database.transaction() as transaction:
        assert await forget_old_uploads(transaction) == 1


async def test_a_repeat_within_a_day_gives_the_same_photo_however_long_the_upload_had_waited(
    graph: Graph, api_database: Database, database: Database, storage: Storage, editor: Viewer
) -> None:
    upload_id = await upload(api_database, storage, editor)
    first = await add(graph, editor, upload_id, idempotencyKey="k")
    await make_old(database, upload_id)
    assert await tidy_photos(database, storage) == 0
    assert await add(graph, editor, upload_id, idempotencyKey="k") == first


async def test_a_key_can_be_used_again_a_day_later_though_nobody_tidied_up(
    graph: Graph, api_database: Database, database: Database, storage: Storage, editor: Viewer
) -> None:
    first, second = [await upload(api_database, storage, editor) for _ in range(2)]
    await add(graph, editor, first, idempotencyKey="k")
    async with database.transaction() as transaction:
        a_day_ago = func.now() - timedelta(days=1, seconds=1)
        await transaction.connection.execute(
            update(PhotoUpload).where(PhotoUpload.id == first).values(created_at=a_day_ago, claimed_at=a_day_ago)
        )
    assert (await add(graph, editor, second, idempotencyKey="k"))["userErrors"] == []
    await tidy_photos(database, storage)
    assert (await order_of(graph))[1] == [0, 1]


async def test_a_repeat_does_not_bring_back_a_photo_that_was_deleted(
    graph: Graph, api_database: Database, storage: Storage, editor: Viewer
) -> None:
    upload_id = await upload(api_database, storage, editor)
    added = await add(graph, editor, upload_id, idempotencyKey="k")
    await graph.ask(DELETE, editor, id=added["photo"]["id"])
    repeated = await add(graph, editor, upload_id, idempotencyKey="k")
    assert code_of(repeated) == ("NOT_FOUND", ["input", "uploadId"])


async def test_what_is_sent_while_its_sender_is_erased_leaves_nothing_behind(
    api_database: Database, database: Database, editor: Viewer, tmp_path: Path
) -> None:
    class Slow(FolderStorage):
        """Takes its objects while the sender is erased, and those that came so far are deleted."""

        async def put(self, key: str, content: bytes, *, content_type: str) -> None:
            await super().put(key, content, content_type=content_type)
            async with database.transaction() as transaction:
                await erase(transaction, editor.own_id)
            await tidy_photos(database, self)

    with pytest.raises(Forbidden):
        await upload(api_database, Slow(tmp_path, SECRETS, public_url=None), editor)
    assert files(tmp_path) == []


async def test_a_photo_is_edited_where_a_merge_just_took_it(
    graph: Graph, api_database: Database, database: Database, storage: Storage, editor: Viewer
) -> None:
    ids = await add_several(graph, api_database, storage, editor, ["a", "b"])
    async with database.transaction() as merging:
        await merge_items(merging, winner_id=OTHER_ID, loser_id=ITEM_ID, editor_id=None, followers=())
        editing = asyncio.create_task(graph.ask(EDIT, editor, input={"id": ids["b"], "position": 0, "caption": "c"}))
        await until_somebody_waits(database)
    payload = (await editing)["editItemPhoto"]
    assert (payload["userErrors"], payload["photo"]["position"], payload["photo"]["caption"]) == ([], 0, "c")


async def test_a_photo_that_is_added_during_a_merge_comes_behind_those_of_both(
    graph: Graph, api_database: Database, database: Database, storage: Storage, editor: Viewer
) -> None:
    await add_several(graph, api_database, storage, editor, ["a", "b"])
    upload_id = await upload(api_database, storage, editor)
    async with database.transaction() as merging:
        await merge_items(merging, winner_id=OTHER_ID, loser_id=ITEM_ID, editor_id=None, followers=())
        adding = asyncio.create_task(add(graph, editor, upload_id, OTHER_ID))
        await until_somebody_waits(database)
    payload = await adding
    assert (payload["userErrors"], payload["photo"]["position"]) == ([], 2)
