"""Every way of writing that Django has: functions of a database alias and three numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from asgiref.sync import async_to_sync
from django.core import serializers
from django.db import connections, models
from django.db.models import F, Value
from django.db.models.functions import Concat

from tests.django.catalog.models import (
    Category,
    Cheap,
    Detail,
    Label,
    Maker,
    Note,
    Product,
    Review,
    Special,
    Supplier,
    Supply,
)
from tests.django.catalog.population import FRESH, SUPPLIERS

Write = Callable[[str, int, int, int], object]

WRITES: Final[dict[str, Write]] = {}


def writing(write: Write) -> Write:
    WRITES[write.__name__] = write
    return write


def some(model: type[models.Model], using: str, n: int) -> Any:
    """One of the rows, or none if there is none."""
    found = list(model._default_manager.using(using).order_by("pk"))
    return found[n % len(found)] if found else None


def supplier_key(n: int) -> Any:
    return SUPPLIERS[n % len(SUPPLIERS)]


@writing
def create(using: str, a: int, b: int, c: int) -> object:
    return Product.objects.using(using).create(
        name=f"p{a}", price=b * 10, category=some(Category, using, c), maker=some(Maker, using, a)
    )


@writing
def create_with_key(using: str, a: int, b: int, c: int) -> object:
    if Product.objects.using(using).filter(pk=a).exists():
        return None
    maker = Maker.objects.using(using).first()
    return Product(pk=a, name=f"p{b}", price=c, maker=maker).save(using=using, force_insert=True)


@writing
def save(using: str, a: int, b: int, c: int) -> object:
    if product := some(Product, using, a):
        product.name, product.price, product.category = f"p{b}", c * 10, some(Category, using, b)
        product.save()
    return product


@writing
def save_field(using: str, a: int, b: int, c: int) -> object:
    if product := some(Product, using, a):
        product.price = b * 10
        product.save(update_fields=["price"])
    return product


@writing
def save_expression(using: str, a: int, b: int, c: int) -> object:
    if product := some(Product, using, a):
        product.price = F("price") + b
        product.save()
    return product


@writing
def asave(using: str, a: int, b: int, c: int) -> object:
    if product := some(Product, using, a):
        product.price = b * 10
        async_to_sync(product.asave)()
    return product


@writing
def save_maker(using: str, a: int, b: int, c: int) -> object:
    return Maker(code=f"m{a}", name=f"m{b}").save(using=using)


@writing
def save_supplier(using: str, a: int, b: int, c: int) -> object:
    Supplier.objects.using(using).filter(pk=supplier_key(a)).delete()
    return Supplier(pk=supplier_key(a), name=f"s{b}").save(using=using)


@writing
def save_category(using: str, a: int, b: int, c: int) -> object:
    if category := some(Category, using, a):
        category.name, category.parent = f"c{b}", None
        category.save()
    return category


@writing
def save_label(using: str, a: int, b: int, c: int) -> object:
    if label := some(Label, using, a):
        label.name = f"l{b}"
        label.save()
    return label


@writing
def get_or_create(using: str, a: int, b: int, c: int) -> object:
    return Category.objects.using(using).get_or_create(pk=a + 1, defaults={"name": f"c{b}"})


@writing
def update_or_create(using: str, a: int, b: int, c: int) -> object:
    if product := some(Product, using, a):
        Detail.objects.using(using).update_or_create(product=product, defaults={"text": f"d{b}"})
    return product


@writing
def bulk_create(using: str, a: int, b: int, c: int) -> object:
    if product := some(Product, using, a):
        Review.objects.using(using).bulk_create(
            Review(product=product, stars=n) for n in range(b % 3)
        )
    return product


@writing
def bulk_create_ignoring_conflicts(using: str, a: int, b: int, c: int) -> object:
    found = [Maker(code=f"m{n}", name=f"new {c}") for n in (a, b)]
    return Maker.objects.using(using).bulk_create(found, ignore_conflicts=True)


@writing
def bulk_create_updating(using: str, a: int, b: int, c: int) -> object:
    if product := some(Product, using, a):
        # The conflict is not about the primary key, so another row is changed than was given.
        supply = Supply(product=product, supplier_id=supplier_key(b), days=c)
        if Supplier.objects.using(using).filter(pk=supply.supplier_id).exists():
            Supply.objects.using(using).bulk_create(
                [supply],
                update_conflicts=True,
                update_fields=["days"],
                unique_fields=["product", "supplier"],
            )
    return product


@writing
def bulk_update(using: str, a: int, b: int, c: int) -> object:
    found = list(Product.objects.using(using).filter(price__lte=a * 10))
    for product in found:
        product.price = b * 10
    return Product.objects.using(using).bulk_update(found, ["price"])


@writing
def update_by_key(using: str, a: int, b: int, c: int) -> object:
    return Product.objects.using(using).filter(pk=a).update(name=f"p{b}")


@writing
def update_some(using: str, a: int, b: int, c: int) -> object:
    return Product.objects.using(using).filter(price__lt=a * 10).update(price=F("price") + b)


@writing
def update_over_join(using: str, a: int, b: int, c: int) -> object:
    found = Product.objects.using(using).filter(category__name=f"c{a}")
    return found.update(price=b * 10)


@writing
def update_over_many_to_many(using: str, a: int, b: int, c: int) -> object:
    found = Product.objects.using(using).filter(pk=b, labels__name=f"l{a}")
    return found.update(name=Concat("name", Value("!")))


@writing
def update_key(using: str, a: int, b: int, c: int) -> object:
    free = not Label.objects.using(using).filter(pk=FRESH + b).exists()
    used = Product.labels.through.objects.using(using).filter(label_id=a).exists()
    return free and not used and Label.objects.using(using).filter(pk=a).update(id=FRESH + b)


@writing
def update_parents_column(using: str, a: int, b: int, c: int) -> object:
    return Special.objects.using(using).filter(discount__gte=a).update(price=b * 10, discount=c)


@writing
def update_none(using: str, a: int, b: int, c: int) -> object:
    return Product.objects.using(using).filter(pk=999).update(price=a)


@writing
def delete(using: str, a: int, b: int, c: int) -> object:
    product = some(Product, using, a)
    return product and product.delete()


@writing
def delete_by_key(using: str, a: int, b: int, c: int) -> object:
    return Review.objects.using(using).filter(pk=a).delete()


@writing
def delete_some(using: str, a: int, b: int, c: int) -> object:
    return Product.objects.using(using).filter(price__gt=a * 10).delete()


@writing
def delete_fast(using: str, a: int, b: int, c: int) -> object:
    return Review.objects.using(using).filter(stars=a).delete()


@writing
def delete_unasked(using: str, a: int, b: int, c: int) -> object:
    found = Review.objects.using(using).filter(product__name=f"p{a}")
    return found._raw_delete(using)


@writing
def delete_and_set_null(using: str, a: int, b: int, c: int) -> object:
    category = some(Category, using, a)
    return category and category.delete()


@writing
def delete_and_set_default(using: str, a: int, b: int, c: int) -> object:
    return Maker.objects.using(using).filter(pk=f"m{a}").delete()


@writing
def delete_supplier(using: str, a: int, b: int, c: int) -> object:
    supplier = some(Supplier, using, a)
    return supplier and supplier.delete()


@writing
def add_labels(using: str, a: int, b: int, c: int) -> object:
    product, label = some(Product, using, a), some(Label, using, b)
    return product and label and product.labels.add(label)


@writing
def remove_label(using: str, a: int, b: int, c: int) -> object:
    product, label = some(Product, using, a), some(Label, using, b)
    return product and label and label.products.remove(product)


@writing
def set_labels(using: str, a: int, b: int, c: int) -> object:
    product = some(Product, using, a)
    return product and product.labels.set(Label.objects.using(using).filter(pk__gte=b))


@writing
def clear_labels(using: str, a: int, b: int, c: int) -> object:
    product = some(Product, using, a)
    return product and product.labels.clear()


@writing
def clear_products_of_label(using: str, a: int, b: int, c: int) -> object:
    label = some(Label, using, a)
    return label and label.products.clear()


@writing
def create_label_of_product(using: str, a: int, b: int, c: int) -> object:
    product = some(Product, using, a)
    return product and product.labels.create(name=f"l{b}")


@writing
def add_supplier(using: str, a: int, b: int, c: int) -> object:
    product, supplier = some(Product, using, a), some(Supplier, using, b)
    return product and supplier and product.suppliers.add(supplier, through_defaults={"days": c})


@writing
def set_products_of_category(using: str, a: int, b: int, c: int) -> object:
    category = some(Category, using, a)
    return category and category.products.set(Product.objects.using(using).filter(pk__gte=b))


@writing
def add_products_to_category(using: str, a: int, b: int, c: int) -> object:
    category, product = some(Category, using, a), some(Product, using, b)
    return category and product and category.products.add(product)


@writing
def remove_products_of_category(using: str, a: int, b: int, c: int) -> object:
    category = some(Category, using, a)
    return category and category.products.clear()


@writing
def add_note(using: str, a: int, b: int, c: int) -> object:
    product = some(Product, using, a)
    return product and product.notes.create(text=f"n{b}")


@writing
def move_note(using: str, a: int, b: int, c: int) -> object:
    note, product = some(Note, using, a), some(Product, using, b)
    if note and product:
        note.subject = product
        note.save()
    return note


@writing
def clear_notes(using: str, a: int, b: int, c: int) -> object:
    product = some(Product, using, a)
    return product and product.notes.clear()


@writing
def create_child(using: str, a: int, b: int, c: int) -> object:
    maker = some(Maker, using, a)
    return maker and Special.objects.using(using).create(name=f"p{b}", maker=maker, discount=c)


@writing
def make_a_child_of_it(using: str, a: int, b: int, c: int) -> object:
    product = some(Product, using, a)
    if product and not hasattr(product, "special"):
        child = Special(product_ptr=product, discount=b)
        child.save_base(raw=True, using=using)
    return product


@writing
def save_child(using: str, a: int, b: int, c: int) -> object:
    if child := some(Special, using, a):
        child.name, child.discount = f"p{b}", c
        child.save()
    return child


@writing
def delete_child_alone(using: str, a: int, b: int, c: int) -> object:
    child = some(Special, using, a)
    return child and child.delete(keep_parents=True)


@writing
def save_proxy(using: str, a: int, b: int, c: int) -> object:
    if product := some(Cheap, using, a):
        product.price = b
        product.save()
    return product


@writing
def load_fixture(using: str, a: int, b: int, c: int) -> object:
    product = some(Product, using, a)
    if product:
        product.price = b
        for loaded in serializers.deserialize("json", serializers.serialize("json", [product])):
            loaded.save(using=using)
    return product


def execute(using: str, sql: str, *params: object) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(sql, params)


@writing
def raw_update(using: str, a: int, b: int, c: int) -> object:
    return execute(using, "UPDATE catalog_product SET price = %s WHERE id > %s", a, b)


@writing
def raw_insert(using: str, a: int, b: int, c: int) -> object:
    return execute(
        using,
        "INSERT INTO catalog_review (product_id, stars) SELECT id, %s FROM catalog_product"
        " WHERE price > %s",
        a,
        b * 10,
    )


@writing
def raw_upsert(using: str, a: int, b: int, c: int) -> object:
    return execute(
        using,
        "INSERT INTO catalog_maker (code, name) VALUES (%s, %s) ON CONFLICT (code) DO UPDATE"
        " SET name = excluded.name",
        f"m{a}",
        f"m{b}",
    )


@writing
def raw_delete(using: str, a: int, b: int, c: int) -> object:
    return execute(using, "DELETE FROM catalog_review WHERE stars >= %s", a)


@writing
def raw_many(using: str, a: int, b: int, c: int) -> object:
    with connections[using].cursor() as cursor:
        cursor.executemany(
            "UPDATE catalog_label SET name = %s WHERE id = %s", [(f"l{a}", b), (f"l{b}", c)]
        )
    return None


@writing
def raw_update_returning(using: str, a: int, b: int, c: int) -> object:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "UPDATE catalog_category SET name = %s WHERE id = %s RETURNING name", [f"c{a}", b]
        )
        return cursor.fetchall()


@writing
def truncate(using: str, a: int, b: int, c: int) -> object:
    truncating = connections[using].vendor == "postgresql"
    return execute(using, f"{'TRUNCATE' if truncating else 'DELETE FROM'} catalog_detail")


@writing
def alter(using: str, a: int, b: int, c: int) -> object:
    execute(using, "ALTER TABLE catalog_note RENAME COLUMN text TO other")
    execute(using, "ALTER TABLE catalog_note RENAME COLUMN other TO text")
    return None


@writing
def write_other_database(using: str, a: int, b: int, c: int) -> object:
    return Product(pk=a, name=f"other {b}", maker_id="none").save(using="other")
