"""The photos of the demo world: drawn here, since there is nothing to point a camera at."""

import io
from random import Random

from PIL import Image, ImageDraw, ImageFont
from sqlalchemy import insert, select

from app.catalogue.commands.photo_uploads import FOLDER, prepare_upload
from app.catalogue.models import Item, ItemPhoto
from app.catalogue.pictures import object_key
from app.core.database import Database, among
from app.core.ids import new_id
from app.core.storage import Storage
from app.demo.items import WORLD

# Of each kind some have one.
PHOTOGRAPHED = tuple(demo.item.slug for demo in WORLD[::4])
SIZE = (1280, 960)
CREDIT = "Drawn by Trove"


async def load_photos(database: Database, storage: Storage) -> int:
    """Give some items of the world a photo each, unless they have one; how many got one."""
    async with database.transaction() as transaction:
        bare = (
            await transaction.connection.execute(
                select(Item.id, Item.slug, Item.name)
                .outerjoin(ItemPhoto, ItemPhoto.item_id == Item.id)
                .where(among(Item.slug, PHOTOGRAPHED), ItemPhoto.id.is_(None))
                .order_by(Item.slug)
            )
        ).all()
    for item in bare:
        photo = await prepare_upload(draw(item.slug, item.name))
        photo_id = new_id()
        folder = f"{FOLDER}/{photo_id.hex}"
        for size, picture in photo.pictures.items():
            key = object_key(folder, size, photo.original.content_type)
            await storage.put(key, picture.content, content_type=picture.content_type)
        async with database.transaction() as transaction:
            await transaction.connection.execute(
                insert(ItemPhoto).values(
                    id=photo_id,
                    item_id=item.id,
                    position=0,
                    is_primary=True,
                    content_type=photo.original.content_type,
                    width=photo.original.width,
                    height=photo.original.height,
                    bytes=len(photo.original.content),
                    sha256=photo.digest.hex(),
                    storage_key=folder,
                    caption=item.name,
                    credit=CREDIT,
                )
            )
    return len(bare)


def draw(slug: str, name: str) -> bytes:
    """A JPEG with the name before a light of some colour; the same for everyone."""
    random = Random(slug)  # noqa: S311 - a colour that everyone sees alike, no secret
    light, dark = ([random.randrange(low, low + 80) for _ in range(3)] for low in (150, 20))
    image = Image.composite(
        Image.new("RGB", SIZE, (dark[0], dark[1], dark[2])),
        Image.new("RGB", SIZE, (light[0], light[1], light[2])),
        Image.radial_gradient("L").resize(SIZE),
    )
    middle = (SIZE[0] / 2, SIZE[1] / 2)
    ImageDraw.Draw(image).text(middle, name, fill="white", font=ImageFont.load_default(72), anchor="mm")
    written = io.BytesIO()
    image.save(written, "JPEG", quality=90)
    return written.getvalue()
