"""Tables of what is indexed for search."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, PrimaryKeyConstraint, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REAL, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from pgstate.models._base import BigInt, KeyMultirange, Model, Name, Now, Xid8


class VectorIndexRow(Model):
    """Table `vector_index`: indexes of vectors, each of one model."""

    __tablename__ = "vector_index"
    __table_args__ = (
        PrimaryKeyConstraint("name", name="vector_index_pkey"),
        UniqueConstraint("id", name="vector_index_id_key"),
        CheckConstraint("name ~ '^[a-z][a-z0-9_]{0,62}$'", name="vector_index_name_form"),
        CheckConstraint("dims between 1 and 16000", name="vector_index_dims_range"),
        CheckConstraint("distance in ('cosine', 'l2', 'inner_product')", name="vector_index_distance_known"),
        CheckConstraint("method in ('hnsw', 'ivfflat', 'exact')", name="vector_index_method_known"),
        CheckConstraint("type in ('vector', 'halfvec')", name="vector_index_type_known"),
    )

    id: Mapped[int] = mapped_column(server_default=text("nextval('pgstate.vector_index_id_seq')"))
    name: Mapped[Name]
    model: Mapped[str]
    dims: Mapped[int]
    distance: Mapped[str]
    method: Mapped[str]
    type: Mapped[str]
    options: Mapped[Any] = mapped_column(JSONB, nullable=False)
    created_by: Mapped[str]
    created_at: Mapped[Now]


class SearchRuleRow(Model):
    """Table `search_rule`: what is indexed for search."""

    __tablename__ = "search_rule"
    __table_args__ = (
        PrimaryKeyConstraint("subtree", name="search_rule_pkey"),
        UniqueConstraint("id", name="search_rule_id_key"),
        ForeignKeyConstraint(["vectors"], [VectorIndexRow.name], name="search_rule_vectors_fkey"),
    )

    id: Mapped[int] = mapped_column(server_default=text("nextval('pgstate.search_rule_id_seq')"))
    subtree: Mapped[Name]
    nearness: Mapped[int]
    ranges: Mapped[Any] = mapped_column(KeyMultirange, nullable=False)
    salt: Mapped[str] = mapped_column(server_default=text("gen_random_uuid()::text"))
    config: Mapped[str]
    fields: Mapped[list[str]] = mapped_column(ARRAY(Text))
    vectors: Mapped[Name | None]
    vector_fields: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    set_by: Mapped[str]
    set_at: Mapped[Now]


class SearchBuildRow(Model):
    """Table `search_build`: where the index for search is still to be built, and how far that has come."""

    __tablename__ = "search_build"
    __table_args__ = (PrimaryKeyConstraint("subtree", name="search_build_pkey"),)

    subtree: Mapped[Name]
    after: Mapped[Name] = mapped_column(server_default=text("''"))
    barrier: Mapped[int | None] = mapped_column(Xid8)
    asked_at: Mapped[Now]


class SearchDocRow(Model):
    """Table `search_doc`: the words of entries."""

    __tablename__ = "search_doc"
    __table_args__ = (
        PrimaryKeyConstraint("key", name="search_doc_pkey"),
        Index("search_doc_scoped_idx", "scoped", postgresql_using="gin"),
    )

    key: Mapped[Name]
    rule_id: Mapped[int]
    version: Mapped[BigInt]
    words: Mapped[str] = mapped_column(TSVECTOR, nullable=False)
    scoped: Mapped[str] = mapped_column(TSVECTOR, nullable=False)
    digest: Mapped[bytes | None]


class EmbeddingRow(Model):
    """Table `embedding`: vectors of entries."""

    __tablename__ = "embedding"
    __table_args__ = (
        PrimaryKeyConstraint("key", "index_id", "chunk", name="embedding_pkey"),
        ForeignKeyConstraint(["index_id"], [VectorIndexRow.id], name="embedding_index_fkey"),
    )

    key: Mapped[Name]
    index_id: Mapped[int]
    chunk: Mapped[int]
    digest: Mapped[bytes]
    vector: Mapped[list[float]] = mapped_column(ARRAY(REAL))


class EmbeddingWantedRow(Model):
    """Table `embedding_wanted`: entries that wait for their vectors."""

    __tablename__ = "embedding_wanted"
    __table_args__ = (PrimaryKeyConstraint("key", name="embedding_wanted_pkey"),)

    key: Mapped[Name]
    digest: Mapped[bytes]
