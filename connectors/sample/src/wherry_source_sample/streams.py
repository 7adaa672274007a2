"""The four tables: their columns, as functions of what happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from wherry_source_sample.client import (
    DAY,
    HOUR,
    OPENING,
    SEASON,
    Column,
    Event,
    Law,
    Shop,
    Versions,
    instant,
    money,
    pick,
)

FIRST = ["Ana", "Björn", "Chloé", "Dinh", "Émile", "Fatima", "Grace", "Hüseyin", "Ines", "José", "Κώστας", "Li Wei"]
FIRST += ["Māra", "Noor", "Ольга", "Paweł", "Quinn", "Rosa", "Søren", "Thandi", "Ümit", "Vincent", "陽子", "Zoë"]
LAST = ["Adeyemi", "Bauer", "Castro", "Dvořák", "Erikson", "Fernández", "García", "Hoang", "Ivanova", "Jansen"]
LAST += ["Kowalski", "Løvås", "Müller", "Nguyễn", "O'Brien", "Papadopoulos", "Rossi", "Šimić", "Tanaka", "Yılmaz"]
CITIES = ["Antwerp", "Besançon", "Córdoba", "Dublin", "Gdańsk", "Hà Nội", "İzmir", "Lagos", "Malmö", "München"]
CITIES += ["Nagasaki", "Porto", "Rīga", "São Paulo", "Tallinn", "Zürich"]
STREETS = ["Quay Street", "Havnegade", "Rue du Port", "Calle Mayor", "Am Deich", "Dockside", "Keizersgracht"]
CATEGORIES = ["rope", "lamps", "maps", "paint", "sails", "tools", "tea"]
NOUNS = ["Coil", "Lantern", "Chart", "Varnish", "Jib", "Marlinspike", "Lapsang"]
ADJECTIVES = ["Plain", "Fine", "Heavy", "Light", "Naïve", "Deluxe", "Old", "Crème"]
NOTES = ["leave at the door", "ring twice", "gift 🎁", "fragile: “glass”", "line one\nline two", "call first, please"]
TAGS = pa.array([[], ["new"], ["sale"], ["new", "sale"], ["eco"], ["eco", "sale"]], pa.list_(pa.string()))
STATUS = ["placed", "paid", "shipped", "delivered"]

TIME = pa.timestamp("us", "UTC")
LOYALTY = pa.struct([("tier", pa.string()), ("points", pa.int32())])
ADDRESS = pa.struct([("street", pa.string()), ("city", pa.string()), ("zip", pa.string())])

PRODUCT_EVENTS = (Event(), Event(10 * DAY, 900, 1), Event(35 * DAY, 500, 1), Event(150 * DAY, 80, 1))
CUSTOMER_EVENTS = (Event(), Event(7 * DAY + 5 * HOUR, 300, 1), Event(40 * DAY, 200, 2), Event(61 * DAY, 20, 3, True))
ORDER_EVENTS = (
    Event(),
    Event(2 * HOUR, 960, 1),
    Event(29 * HOUR, 920, 1),
    Event(4 * DAY + 7 * HOUR, 900, 1),
    Event(30 * DAY, 10, 2, True),
)
ITEM_EVENTS = (Event(), Event(9 * DAY, 40, 3), Event(30 * DAY, 10, 2, True))


@dataclass(frozen=True)
class Tables:
    """The laws of a shop of one size; columns of each table from its versions."""

    shop: Shop
    products: Law
    customers: Law
    orders: Law
    order_items: Law

    @classmethod
    def of(cls, seed: int, rows: int) -> Tables:
        """A shop with `rows` orders in a season, a fifth as many customers, a fiftieth as many products."""
        step = SEASON // rows
        return cls(
            Shop(seed),
            products=Law(1, OPENING - SEASON, SEASON // max(rows // 50, 10), PRODUCT_EVENTS),
            customers=Law(2, OPENING - SEASON // 2, SEASON // max(rows // 5, 10), CUSTOMER_EVENTS),
            orders=Law(3, OPENING, step, ORDER_EVENTS),
            order_items=Law(3, OPENING, step, ITEM_EVENTS, lines=4),
        )

    def law(self, table: str) -> Law:
        """Of the table of that name."""
        law: Law = getattr(self, table)
        return law

    def columns(self, table: str, v: Versions) -> pa.RecordBatch:
        """The rows of the table after these events."""
        return pa.RecordBatch.from_arrays(BUILD[table](self, v), schema=SCHEMAS[table])

    def product_columns(self, v: Versions) -> list[Column]:
        """Prices change twice, later a product may be discontinued."""
        shop, ids = self.shop, v.ids
        category = shop.draw(ids, 10, len(CATEGORIES))
        name = _words(
            pick(ADJECTIVES, shop.draw(ids, 11, len(ADJECTIVES))), pick(NOUNS, category), ids.cast(pa.string())
        )
        weight = pc.divide(shop.draw(ids, 12, 20_000).cast(pa.float64()), 1000.0)
        weightless = pc.less(shop.draw(ids, 13, 10), 1)
        return [
            pc.add(ids, 1),
            name,
            pick(CATEGORIES, category),
            money(self.price(ids, v.kinds), 10),
            pc.if_else(weightless, pa.scalar(None, pa.float64()), weight),
            pick(TAGS, shop.draw(ids, 14, len(TAGS))),
            pc.equal(v.kinds, 3),
            instant(shop.created(self.products, ids)),
            instant(v.times),
        ]

    def price(self, products: Column, kinds: Column) -> Column:
        """In cents, as of the product's last event."""
        base = pc.add(self.shop.draw(products, 15, 20_000), 50)
        change = pc.multiply(self.shop.draw(products, 16, 60), pick([0, 1, 2, 2], kinds))
        return pc.add(base, change)

    def customer_columns(self, v: Versions) -> list[Column]:
        """Some move, some climb a tier, a few have their account erased."""
        shop, ids = self.shop, v.ids
        number = pc.add(ids, 1).cast(pa.string())
        moved = pc.greater_equal(v.kinds, 1)
        city = pc.add(shop.draw(ids, 20, len(CITIES) // 2), pc.if_else(moved, len(CITIES) // 2, 0))
        silent = pc.less(shop.draw(ids, 21, 20), 1)
        email = pc.binary_join_element_wise("customer", number, "@example.com", "")
        birthday = pc.add(shop.draw(ids, 22, 20_000), -7_000).cast(pa.int32()).cast(pa.date32())
        points = pc.add(shop.draw(ids, 23, 500), pc.multiply(v.kinds, 500)).cast(pa.int32())
        tier = pick(["bronze", "silver", "gold", "gold"], v.kinds)
        loyal = pc.less(shop.draw(ids, 24, 3), 2)
        loyalty = pa.StructArray.from_arrays([tier, points], fields=list(LOYALTY), mask=pc.invert(loyal))
        return [
            pc.add(ids, 1),
            _words(pick(FIRST, shop.draw(ids, 25, len(FIRST))), pick(LAST, shop.draw(ids, 26, len(LAST)))),
            pc.if_else(silent, pa.scalar(None, pa.string()), email),
            pick(CITIES, city),
            pc.if_else(pc.less(shop.draw(ids, 27, 4), 1), pa.scalar(None, pa.date32()), birthday),
            loyalty,
            instant(shop.created(self.customers, ids)),
            instant(v.times),
        ]

    def order_columns(self, v: Versions) -> list[Column]:
        """placed, paid, shipped, delivered; the customer is NULL where a guest bought."""
        shop, ids = self.shop, v.ids
        created = shop.created(self.orders, ids)
        total = pc.multiply(ids, 0)
        for line in range(self.order_items.lines):
            have = pc.greater(shop.lines(self.order_items, ids), line)
            quantity, cents = self.line(ids, _same(line, ids))
            total = pc.add(total, pc.if_else(have, pc.multiply(quantity, cents), 0))
        zip_code = pc.utf8_lpad(shop.draw(ids, 30, 100_000).cast(pa.string()), 5, "0")
        street = _words(
            pick(STREETS, shop.draw(ids, 31, len(STREETS))), pc.add(shop.draw(ids, 32, 99), 1).cast(pa.string())
        )
        city = pick(CITIES, shop.draw(ids, 33, len(CITIES)))
        silent = pc.greater(shop.draw(ids, 34, 10), 1)
        note = pick(NOTES, shop.draw(ids, 35, len(NOTES)))
        shipped = pc.add(created, ORDER_EVENTS[2].lag)
        return [
            pc.add(ids, 1),
            self.customer(ids, created),
            pick(STATUS, pc.min_element_wise(v.kinds, 3)),
            money(total, 12),
            instant(created).cast(pa.timestamp("us")).cast(pa.date32(), safe=False),
            pc.if_else(silent, pa.scalar(None, pa.string()), note),
            pa.StructArray.from_arrays([street, city, zip_code], fields=list(ADDRESS)),
            instant(pc.if_else(pc.greater_equal(v.kinds, 2), shipped, pa.scalar(None, pa.int64()))),
            instant(created),
            instant(v.times),
        ]

    def customer(self, orders: Column, created: Column) -> Column:
        """Who placed each order: one who was there then and is never erased, else a guest (NULL)."""
        law = self.customers
        known = pc.divide(pc.subtract(created, law.start), law.step)
        who = self.shop.draw(orders, 36, known)
        return pc.if_else(self.shop.happens(CUSTOMER_EVENTS[3], who), pa.scalar(None, pa.int64()), pc.add(who, 1))

    def line(self, orders: Column, lines: Column) -> tuple[Column, Column]:
        """(quantity, price in cents) of a line of each order: the product's price at the time of the order."""
        product = self.product(orders, lines)
        kinds = self.shop.kind_at(self.products, product, self.shop.created(self.orders, orders))
        return pc.add(self.shop.draw(_line_id(orders, lines), 41, 4), 1), self.price(product, kinds)

    def product(self, orders: Column, lines: Column) -> Column:
        """What each line is about: a product that was there when the order was placed."""
        known = pc.divide(pc.subtract(self.shop.created(self.orders, orders), self.products.start), self.products.step)
        return self.shop.draw(_line_id(orders, lines), 40, known)

    def item_columns(self, v: Versions) -> list[Column]:
        """Lines of orders; a few are returned."""
        quantity, cents = self.line(v.ids, v.lines)
        discount = self.shop.draw(_line_id(v.ids, v.lines), 42, 40)
        percent = pc.if_else(pc.greater(discount, 5), pa.scalar(None, pa.int64()), pc.multiply(discount, 5))
        return [
            pc.add(v.ids, 1),
            pc.add(v.lines, 1).cast(pa.int16()),
            pc.add(self.product(v.ids, v.lines), 1),
            quantity.cast(pa.int32()),
            money(cents, 10),
            money(percent, 4),
            pc.equal(v.kinds, 1),
            instant(v.times),
        ]


def _line_id(orders: Column, lines: Column) -> Column:
    return pc.add(pc.multiply(orders, 8), lines)


def _same(value: int, like: Column) -> Column:
    return pa.repeat(pa.scalar(value, pa.int64()), len(like))


def _words(*parts: Column) -> Column:
    return pc.binary_join_element_wise(*parts, " ")


def _schema(**columns: pa.DataType) -> pa.Schema:
    """NULL is possible where a column's name stands in NULLABLE."""
    return pa.schema([pa.field(name, kind, nullable=name in NULLABLE) for name, kind in columns.items()])


NULLABLE = {"weight_kg", "email", "birthday", "loyalty", "customer_id", "note", "shipped_at", "discount"}
SCHEMAS = {
    "customers": _schema(
        id=pa.int64(),
        name=pa.string(),
        email=pa.string(),
        city=pa.string(),
        birthday=pa.date32(),
        loyalty=LOYALTY,
        created_at=TIME,
        updated_at=TIME,
    ),
    "products": _schema(
        id=pa.int64(),
        name=pa.string(),
        category=pa.string(),
        price=pa.decimal128(10, 2),
        weight_kg=pa.float64(),
        tags=pa.list_(pa.string()),
        discontinued=pa.bool_(),
        created_at=TIME,
        updated_at=TIME,
    ),
    "orders": _schema(
        id=pa.int64(),
        customer_id=pa.int64(),
        status=pa.string(),
        total=pa.decimal128(12, 2),
        placed_on=pa.date32(),
        note=pa.string(),
        address=ADDRESS,
        shipped_at=TIME,
        created_at=TIME,
        updated_at=TIME,
    ),
    "order_items": _schema(
        order_id=pa.int64(),
        line=pa.int16(),
        product_id=pa.int64(),
        quantity=pa.int32(),
        unit_price=pa.decimal128(10, 2),
        discount=pa.decimal128(4, 2),
        returned=pa.bool_(),
        updated_at=TIME,
    ),
}
KEYS = {"order_items": ("order_id", "line")}
DESCRIPTIONS = {
    "customers": "who buys; some move, some climb a loyalty tier, a few are erased",
    "products": "what is sold; prices change, some products are discontinued",
    "orders": "placed, paid, shipped, delivered; one in a hundred is deleted later",
    "order_items": "lines of orders; some are returned, deleted with their order",
}
PARTIAL = {
    "orders": {1: ("status",), 3: ("status",)},
    "products": {3: ("discontinued",)},
    "order_items": {1: ("returned",)},
}
"""Table -> event -> columns that its log entry carries, beside key and updated_at; other events carry the whole row."""
BUILD: dict[str, Callable[[Tables, Versions], list[Column]]] = {
    "customers": Tables.customer_columns,
    "products": Tables.product_columns,
    "orders": Tables.order_columns,
    "order_items": Tables.item_columns,
}
