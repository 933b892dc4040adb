"""An application: orders in its own table and with its own metadata, tasks and what becomes of them in pgstate."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, MetaData, Text, select
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, foreign, mapped_column, relationship

import pgstate
from pgstate import State, models, ops


class Base(AsyncAttrs, DeclarativeBase):
    metadata = MetaData()


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id))
    item: Mapped[str]
    status: Mapped[str] = mapped_column(default="placed")
    task_key: Mapped[str] = mapped_column(Text(collation="C"), unique=True)

    customer: Mapped[Customer] = relationship(lazy="raise")
    task: Mapped[models.Entry | None] = relationship(
        models.Entry, primaryjoin=lambda: foreign(Order.task_key) == models.Entry.key, viewonly=True
    )


class SoldOut(Exception):
    pass


async def place(session: AsyncSession, number: int, customer: int, item: str) -> None:
    """An order and its task: both, or neither."""
    async with session.begin():
        key = pgstate.key("tasks", f"order-{number}")
        session.add(Order(id=number, customer_id=customer, item=item, task_key=key))
        await pgstate.orm.put(session, key, {"order": number}, expect=0)
        if item == "unicorn":
            raise SoldOut(item)


async def work(state: State, sessions: async_sessionmaker[AsyncSession], *, crash_at: int | None = None) -> int:
    """An agent that works until nothing is left: each order is shipped and its task completed in one transaction."""
    shipped = 0
    while task := await state.claim_next("tasks/*", lease=30):
        async with sessions() as session, session.begin():
            order = await session.get_one(Order, task.value["order"])
            order.status = "shipped"
            await session.flush()
            await state.bind(session).apply(
                guards=[ops.token(task.key, task.token)],
                operations=[
                    ops.merge("shipped/count", 1, "add"),
                    ops.merge("shipped/items", [order.item], "union"),
                    ops.complete(task.key, task.token),
                ],
            )
            if order.id == crash_at:
                raise SoldOut(order.item)
        shipped += 1
    return shipped


def open_tasks(customer: str) -> Any:
    """Orders of a customer whose task is still there, with who works on it."""
    return (
        select(Order.id, models.Entry.value, models.Claim.holder)
        .join(Order.customer)
        .join(models.Entry, models.Entry.key == Order.task_key)
        .outerjoin(models.Claim, models.Claim.key == models.Entry.key)
        .where(Customer.name == customer, models.Entry.matches("tasks/*"))
        .order_by(Order.id)
    )
