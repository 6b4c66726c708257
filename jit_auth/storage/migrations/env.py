"""alembic's entry: runs the revisions on the connection, and inside the transaction, that `schema` hands over."""

from alembic import context

from jit_auth.storage import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    transactional_ddl=False,  # the transaction is the caller's: all revisions or none
)
context.run_migrations()
