"""Steam inventories: what is in one, as `GET /inventory/{steamid}/730/{context}` lists it page by page.

A page is `{"assets": [{"assetid", "classid", "instanceid", "amount"}], "descriptions": [{"classid", "instanceid",
"market_hash_name", "marketable"}], "more_items": 1, "last_assetid": "…", "total_inventory_count": 2, "success": 1}`;
the lists are left out where nothing is in it, the two words before the count on the last page. Of a private profile it
answers 403, or `null`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus

from app.core.outbound import OutsideFailure, OutsideServiceFailed
from app.core.retrying import is_passing
from app.prices.connectors.interface import AnswerNotUnderstood
from app.prices.connectors.values import list_of, object_of, text_of
from app.providers.client import ProviderClient, Question
from app.providers.errors import ProviderBusy

PROVIDER = "steam"
COUNTER_STRIKE = "730"
# Where things are, and where they are protected for days after a trade.
CONTEXTS = (2, 16)
PAGE_SIZE = 2000
# Far more than an inventory holds: who sends more pages sends the same ones again.
MOST_PAGES = 25
_LONGEST_ID = 20
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Asset:
    """One thing of an inventory; `name` is its market hash name."""

    id: str
    context: int
    quantity: Decimal
    name: str


class InventoryUnreadable(Exception):
    """An inventory cannot be read; the message is for its owner. What `is_passing` may go well a little later."""

    def __init__(self, message: str, *, is_passing: bool = False) -> None:
        super().__init__(message)
        self.is_passing = is_passing


@dataclass(frozen=True, slots=True)
class _Page:
    assets: Sequence[Asset]
    next_after: str | None


async def read_inventory(client: ProviderClient, steam_id: str) -> Sequence[Asset]:
    """Everything in the Counter-Strike inventory of a public profile. Raises InventoryUnreadable."""
    found: dict[str, Asset] = {}
    for context in CONTEXTS:
        # An inventory that changes while it is read shows a thing on two pages.
        found |= {asset.id: asset for asset in await _read_context(client, steam_id, context)}
    return list(found.values())


async def _read_context(client: ProviderClient, steam_id: str, context: int) -> Sequence[Asset]:
    assets: list[Asset] = []
    seen: set[str] = set()
    after: str | None = None
    for _ in range(MOST_PAGES):
        page = await _read_page(client, steam_id, context, after)
        assets += page.assets
        after = page.next_after
        if after is None:
            return assets
        if after in seen:
            break
        seen.add(after)
    raise InventoryUnreadable("Steam lists this inventory without an end; try again later.")


async def _read_page(client: ProviderClient, steam_id: str, context: int, after: str | None) -> _Page:
    params = {"l": "english", "count": str(PAGE_SIZE)}
    if after is not None:
        params["start_assetid"] = after
    question = Question(endpoint="inventory", path=f"/inventory/{steam_id}/{COUNTER_STRIKE}/{context}", params=params)
    try:
        return page_of(await client.ask_json(question), context)
    except OutsideServiceFailed as failure:
        raise _unreadable(failure) from None
    except ProviderBusy:
        raise InventoryUnreadable("Steam is being asked too much; try again later.", is_passing=True) from None
    except AnswerNotUnderstood as error:
        raise InventoryUnreadable(f"Steam answered something that is no inventory: {error}") from None


def page_of(answer: object, context: int) -> _Page:
    """A page of an inventory. Raises AnswerNotUnderstood, and InventoryUnreadable of a private profile."""
    if answer is None:
        raise InventoryUnreadable(_PRIVATE)
    page = object_of(answer, "The inventory")
    if page.get("success") not in (1, True):
        raise AnswerNotUnderstood("It does not say that it succeeded.")
    names = _names_of(list_of(page.get("descriptions", []), "`descriptions`"))
    assets = [_asset_of(one, context, names) for one in list_of(page.get("assets", []), "`assets`")]
    if not page.get("more_items"):
        return _Page(assets, None)
    return _Page(assets, _id_of(page.get("last_assetid"), "last_assetid"))


def _names_of(descriptions: Iterable[object]) -> Mapping[tuple[str, str], str]:
    """The market hash names by class and instance."""
    names: dict[tuple[str, str], str] = {}
    for one in descriptions:
        description = object_of(one, "A description")
        key = _id_of(description.get("classid"), "classid"), _id_of(description.get("instanceid"), "instanceid")
        name = text_of(description.get("market_hash_name"), "market_hash_name")
        if len(name) > _LONGEST_NAME:
            raise AnswerNotUnderstood("`market_hash_name` is longer than any name.")
        names[key] = name
    return names


def _asset_of(one: object, context: int, names: Mapping[tuple[str, str], str]) -> Asset:
    asset = object_of(one, "An asset")
    key = _id_of(asset.get("classid"), "classid"), _id_of(asset.get("instanceid"), "instanceid")
    asset_id = _id_of(asset.get("assetid"), "assetid")
    if key not in names:
        raise AnswerNotUnderstood(f"Nothing describes the asset {asset_id}.")
    amount = _id_of(asset.get("amount"), "amount")
    if not 0 < int(amount) <= 10**9:
        raise AnswerNotUnderstood(f"The asset {asset_id} is there {amount[:_LONGEST_ID]} times.")
    return Asset(asset_id, context, Decimal(amount), names[key])


def _id_of(value: object, name: str) -> str:
    """A number of digits, which Steam writes as text."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else text_of(value, name)
    if not (text.isascii() and text.isdigit()) or len(text) > _LONGEST_ID:
        raise AnswerNotUnderstood(f"`{name}` is no number.")
    return text


_PRIVATE = (
    "The inventory of this profile is private. Make it public in the privacy settings of Steam, and preview it again."
)


def _unreadable(failure: OutsideServiceFailed) -> InventoryUnreadable:
    status = None if failure.answer is None else failure.answer.status_code
    if failure.failure is OutsideFailure.REFUSED and status in (HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED):
        return InventoryUnreadable(_PRIVATE)
    if failure.failure is OutsideFailure.REFUSED and status in (HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST):
        return InventoryUnreadable("Steam knows no profile with this number; look at its address again.")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return InventoryUnreadable("Steam is being asked too much; try again later.", is_passing=True)
    return InventoryUnreadable(f"Steam could not be asked: {failure}", is_passing=is_passing(failure))
