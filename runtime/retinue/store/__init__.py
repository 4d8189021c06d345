"""Conversations, responses and background runs, kept in SQLite or PostgreSQL.

`address` is light; the other modules bring in SQLAlchemy, and are loaded when a store is used.
"""
