"""Alembic runs this script for every migration; the connection comes from ``store/schema.py``."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
