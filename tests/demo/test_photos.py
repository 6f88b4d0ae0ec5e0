"""The photos of the demo world."""

from pathlib import Path

from sqlalchemy import select

from app.catalogue.commands.save_items import save_items
from app.catalogue.models import ItemPhoto
from app.catalogue.pictures import PhotoSize
from app.core.database import Database
from app.core.storage import FolderStorage
from app.demo.items import WORLD
from app.demo.photos import PHOTOGRAPHED, load_photos
from tests.identity.builders import SECRETS


async def test_some_items_of_each_kind_get_a_photo_once(database: Database, tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path, SECRETS, public_url=None)
    async with database.transaction() as transaction:
        await save_items(transaction, [demo.item for demo in WORLD])
    assert await load_photos(database, storage) == len(PHOTOGRAPHED) > 4
    assert await load_photos(database, storage) == 0
    async with database.transaction() as transaction:
        shown = (await transaction.connection.execute(select(ItemPhoto))).all()
    assert len(shown) == len(PHOTOGRAPHED)
    assert {(photo.width, photo.height, photo.is_primary) for photo in shown} == {(1280, 960, True)}
    assert len([file for file in tmp_path.rglob("*") if file.is_file()]) == len(shown) * len(PhotoSize)
    kinds = {demo.item.kind for demo in WORLD if demo.item.slug in PHOTOGRAPHED}
    assert len(kinds) == 4
