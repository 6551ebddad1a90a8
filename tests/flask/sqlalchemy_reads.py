"""Every way to read, as functions of a session that return plain data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    and_,
    column,
    exists,
    func,
    literal,
    or_,
    select,
    table,
    text,
    tuple_,
    union_all,
)
from sqlalchemy.orm import (
    Session,
    aliased,
    contains_eager,
    joinedload,
    selectinload,
    subqueryload,
    with_polymorphic,
)

from tests.flask.sqlalchemy_models import (
    Article,
    Author,
    Comment,
    Country,
    Label,
    Membership,
    Note,
    Page,
    Question,
    Topic,
    labelled,
)

Read = Callable[[Session], Any]


def _one(note: Note | None) -> Any:
    return None if note is None else (note.id, note.title, note.votes, note.author_id)


def _get(key: int) -> Read:
    return lambda session: _one(session.get(Note, key))


def _author_of(key: int) -> Read:
    def read(session: Session) -> Any:
        note = session.get(Note, key)
        return note and note.author and note.author.name

    return read


def _labels_of(key: int) -> Read:
    def read(session: Session) -> Any:
        note = session.get(Note, key)
        return note and sorted(label.slug for label in note.labels)

    return read


def _rows(statement: Any) -> Read:
    return lambda session: [tuple(row) for row in session.execute(statement)]


def _core(statement: Any) -> Read:
    return lambda session: [tuple(row) for row in session.connection().execute(statement)]


def _eager(option: Any) -> Read:
    def read(session: Session) -> Any:
        statement = select(Author).options(option(Author.notes)).order_by(Author.id)
        return [
            (author.name, sorted(note.title for note in author.notes))
            for author in session.scalars(statement).unique()
        ]

    return read


def _comments(session: Session) -> Any:
    notes = session.scalars(select(Note).options(selectinload(Note.comments)).order_by(Note.id))
    return [(note.id, sorted(comment.text for comment in note.comments)) for note in notes]


def _filtered_eager(session: Session) -> Any:
    statement = (
        select(Note)
        .join(Note.labels)
        .options(contains_eager(Note.labels))
        .where(Label.slug == "red")
        .order_by(Note.id)
        .execution_options(populate_existing=not session.dirty)
    )
    return [note.id for note in session.scalars(statement).unique()]


def _polymorphic(session: Session) -> Any:
    both = with_polymorphic(Page, [Article])
    return [
        (page.id, page.title, page.body if isinstance(page, Article) else None)
        for page in session.scalars(select(both).order_by(both.id))
    ]


def _article(session: Session) -> Any:
    page = session.get(Page, 2)
    return page and (page.title, page.body if isinstance(page, Article) else None)


def _counted(session: Session) -> Any:
    author = session.get(Author, 1)
    return author and author.note_count


def _country(session: Session) -> Any:
    country = session.get(Country, "fr")
    return country and country.name


def _slugs(session: Session) -> Any:
    note = session.get(Note, 1)
    return note and (sorted(note.slugs), note.popular)


def _topic(key: int) -> Read:
    def read(session: Session) -> Any:
        topic = session.get(Topic, key)
        if topic is None:
            return None
        below = session.scalars(topic.below.select().order_by(Topic.id))
        above = topic.above and topic.above.name
        return (topic.name, topic.version, topic.length, above, [one.name for one in below])

    return read


def _membership(session: Session) -> Any:
    found = session.get(Membership, (1, 2))
    return found and (found.role, found.topic.name)


def _branch(session: Session) -> Any:
    branch = select(Topic.id).where(Topic.id == 2).cte("branch", recursive=True)
    branch = branch.union_all(select(Topic.id).where(Topic.parent_id == branch.c.id))
    return sorted(session.scalars(select(Topic.name).join(branch, branch.c.id == Topic.id)))


def _lateral(session: Session) -> Any:
    best = select(Note.title).where(Note.author_id == Author.id).order_by(Note.votes.desc())
    if session.get_bind().dialect.name == "sqlite":
        newest = best.limit(1).scalar_subquery()
        return [tuple(row) for row in session.execute(select(Author.id, newest))]
    newest = best.limit(1).lateral()
    statement = select(Author.id, newest.c.title).outerjoin(newest, literal(1) == 1)
    return [tuple(row) for row in session.execute(statement.order_by(Author.id))]


def _from_text(session: Session) -> Any:
    statement = select(Note).from_statement(text("SELECT * FROM note WHERE id < 3 ORDER BY id"))
    return [_one(note) for note in session.scalars(statement)]


def _core_session(session: Session) -> Any:
    statement = select(Note.__table__).where(Note.__table__.c.id == 3)
    return [tuple(row) for row in session.execute(statement)]


def _tree(session: Session) -> Any:
    chain = select(literal(1).label("n")).cte("chain", recursive=True)
    chain = chain.union_all(select(chain.c.n + 1).where(chain.c.n < 4))
    statement = select(Note.title).join(chain, chain.c.n == Note.id).order_by(Note.id)
    return list(session.scalars(statement))


_other = aliased(Note)

READS: dict[str, Read] = {
    **{f"get {key}": _get(key) for key in (1, 2, 9)},
    "author of 1": _author_of(1),
    "labels of 1": _labels_of(1),
    "by key": _rows(select(Note.title, Note.votes).where(Note.id == 2)),
    "by keys": _core(select(Note.id, Note.title).where(Note.id.in_([1, 3])).order_by(Note.id)),
    "key and more": _rows(select(Note.title).where(and_(Note.id == 1, Note.votes >= 0))),
    "key or more": _rows(
        select(Note.id).where(or_(Note.id == 1, Note.votes > 2)).order_by(Note.id)
    ),
    "key twice": _rows(
        select(Note.title, _other.title)
        .join(_other, _other.author_id == Note.author_id)
        .where(Note.id == 1)
        .order_by(_other.id)
    ),
    "count": _rows(select(func.count()).select_from(Note)),
    "sum": _core(select(func.sum(Note.votes))),
    "join": _rows(select(Note.title, Author.name).join(Note.author).order_by(Note.id)),
    "outer join": _rows(select(Note.title, Author.name).outerjoin(Note.author).where(Note.id == 1)),
    "in subquery": _rows(
        select(Author.name)
        .where(Author.id.in_(select(Note.author_id).where(Note.votes > 0)))
        .order_by(Author.id)
    ),
    "exists": _core(select(exists().where(Comment.note_id == 1))),
    "scalar subquery": _rows(
        select(
            Author.id,
            select(func.max(Note.title)).where(Note.author_id == Author.id).scalar_subquery(),
        ).order_by(Author.id)
    ),
    "union": _rows(
        union_all(select(Note.title), select(Author.name), select(Label.slug)).order_by(text("1"))
    ),
    "recursive": _tree,
    "composite key": _core(
        select(labelled).where(labelled.c.note_id == 1, labelled.c.label_id == 1)
    ),
    "composite keys": _core(
        select(labelled)
        .where(tuple_(labelled.c.note_id, labelled.c.label_id).in_([(1, 1), (2, 1)]))
        .order_by(labelled.c.note_id)
    ),
    "joined eager": _eager(joinedload),
    "select-in eager": _eager(selectinload),
    "subquery eager": _eager(subqueryload),
    "comments": _comments,
    "contains eager": _filtered_eager,
    "polymorphic": _polymorphic,
    "article": _article,
    "column property": _counted,
    "association proxy": _slugs,
    **{f"topic {key}": _topic(key) for key in (1, 2, 4)},
    "membership": _membership,
    "branch": _branch,
    "questions": _rows(select(Question.name).order_by(Question.id)),
    "question by key": _rows(select(Question.name).where(Question.id == 3)),
    "hybrid": _rows(select(Note.id).where(Note.popular).order_by(Note.id)),
    "lateral": _lateral,
    "from statement": _from_text,
    "core in a session": _core_session,
    "window": _rows(
        select(
            Note.id, func.rank().over(order_by=Note.votes.desc(), partition_by=Note.author_id)
        ).order_by(Note.id)
    ),
    "without metadata": _rows(
        select(column("title")).select_from(table("note")).where(column("id") == 1)
    ),
    "text key": _country,
    "text": _rows(text("SELECT title FROM note WHERE votes >= 0 ORDER BY id")),
    "text about a view": _rows(text("SELECT * FROM titles ORDER BY 1")),
    "query": lambda session: session.query(Note).filter_by(author_id=1).count(),
    "stream": lambda session: [
        row.title for row in session.execute(select(Note.title).order_by(Note.id)).yield_per(2)
    ],
}
