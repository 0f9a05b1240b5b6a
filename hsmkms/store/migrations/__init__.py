"""How the tables came to be: one folder a kind of store, one script a step, run by Alembic."""
