"""Nouns: frozen dataclasses, enums and NewTypes that every floor above may hold in its hands."""
